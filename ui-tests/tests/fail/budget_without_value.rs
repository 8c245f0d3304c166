use memscope_rs::tracked;

#[tracked(budget)]
async fn load() {}

fn main() {}
