use memscope_rs::tracked;

#[tracked(budget = 1024)]
async fn load() {}

fn main() {}
