use memscope_rs::tracked;

#[tracked]
#[tracked(name = "load")]
async fn load() {}

fn main() {}
