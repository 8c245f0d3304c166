use memscope_rs::tracked;

#[tracked(task_type = "io")]
enum Never {}

fn main() {}
