use memscope_rs::tracked;

#[tracked(task_type = "netwrk")]
async fn load() {}

fn main() {}
