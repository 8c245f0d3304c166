use memscope_rs::tracked;

#[tracked(budgte = "1MiB")]
async fn load() {}

fn main() {}
