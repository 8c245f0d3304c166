use memscope_rs::tracked;

struct Service;

impl Service {
    #[tracked(task_type = "io")]
    fn load(&self) -> usize {
        1
    }
}

fn main() {}
