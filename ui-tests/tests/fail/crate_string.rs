use memscope_rs::tracked;

#[tracked(crate = "memscope_rs")]
async fn load() {}

fn main() {}
