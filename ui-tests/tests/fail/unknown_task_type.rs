use memscope_rs::tracked;

#[tracked(task_type = "database")]
async fn load() {}

fn main() {}
