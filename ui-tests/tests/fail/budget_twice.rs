use memscope_rs::tracked;

#[tracked(budget = "1MiB", budget = "2MiB")]
async fn load() {}

fn main() {}
