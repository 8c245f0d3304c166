use memscope_rs::tracked;

struct Service;

#[tracked(task_type = "io")]
impl Service {
    #[tracked(task_type = "nework")]
    async fn load(&self) {}

    #[tracked]
    fn store(&self) {}

    async fn fine(&self) {}
}

fn main() {}
