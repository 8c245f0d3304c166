use memscope_rs::tracked;

#[tracked(name = "a", task_type = "io", name = "b")]
async fn load() {}

fn main() {}
