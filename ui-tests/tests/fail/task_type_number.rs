use memscope_rs::tracked;

#[tracked(task_type = 5)]
async fn load() {}

fn main() {}
