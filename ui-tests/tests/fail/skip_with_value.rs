use memscope_rs::tracked;

#[tracked]
mod service {
    #[tracked(skip = true)]
    pub async fn load() {}
}

fn main() {}
