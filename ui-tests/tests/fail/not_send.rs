use memscope_rs::tracked;

#[tracked]
async fn load() -> usize {
    let shared = std::rc::Rc::new(1);
    std::future::ready(()).await;
    *shared
}

fn spawn(_: impl Send) {}

fn start() {
    spawn(load());
}

fn main() {
    start();
}
