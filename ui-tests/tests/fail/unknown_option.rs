use memscope_rs::tracked;

#[tracked(kind = "io")]
async fn load() {}

fn main() {}
