use memscope_rs::tracked;

struct Service;

#[tracked(name = "service")]
impl Service {
    async fn load(&self) {}
}

fn main() {}
