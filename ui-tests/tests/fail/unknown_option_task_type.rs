use memscope_rs::tracked;

#[tracked(io)]
async fn load() {}

fn main() {}
