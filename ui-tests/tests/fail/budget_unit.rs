use memscope_rs::tracked;

#[tracked(budget = "64MB")]
async fn load() {}

fn main() {}
