use memscope_rs::tracked;

#[tracked(crate = nowhere)]
async fn load() {}

fn main() {}
