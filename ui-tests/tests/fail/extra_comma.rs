use memscope_rs::tracked;

#[tracked(name = "load",, task_type = "io")]
async fn load() {}

fn main() {}
