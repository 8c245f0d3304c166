use memscope_rs::tracked;

#[tracked(name = , task_type = "io")]
async fn load() {}

fn main() {}
