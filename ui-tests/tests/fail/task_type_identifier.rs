use memscope_rs::tracked;

#[tracked(task_type = io)]
async fn load() {}

fn main() {}
