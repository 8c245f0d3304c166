use memscope_rs::tracked;

#[tracked(budget = "0KiB")]
async fn load() {}

fn main() {}
