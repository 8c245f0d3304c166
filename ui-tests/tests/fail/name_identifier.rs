use memscope_rs::tracked;

#[tracked(name = network)]
async fn load() {}

fn main() {}
