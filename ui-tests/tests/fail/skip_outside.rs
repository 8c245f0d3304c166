use memscope_rs::tracked;

#[tracked(skip)]
async fn load() {}

fn main() {}
