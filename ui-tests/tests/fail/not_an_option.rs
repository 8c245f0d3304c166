use memscope_rs::tracked;

#[tracked("network")]
async fn load() {}

fn main() {}
