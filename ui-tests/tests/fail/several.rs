use memscope_rs::tracked;

#[tracked(task_type = "nework", nme = "load")]
fn load() {}

fn main() {}
