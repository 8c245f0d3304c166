use memscope_rs::tracked;

#[tracked]
mod service {
    #[tracked(skip, task_type = "io")]
    pub async fn load() {}
}

fn main() {}
