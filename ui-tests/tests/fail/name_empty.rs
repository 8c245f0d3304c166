use memscope_rs::tracked;

#[tracked(name = "")]
async fn load() {}

fn main() {}
