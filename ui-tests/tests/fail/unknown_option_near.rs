use memscope_rs::tracked;

#[tracked(tasktype = "io")]
async fn load() {}

fn main() {}
