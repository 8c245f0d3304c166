use memscope_rs::tracked;

#[tracked(task_type = "io", task_type = "cpu")]
async fn load() {}

fn main() {}
