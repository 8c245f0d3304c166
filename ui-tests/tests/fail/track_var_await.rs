use memscope_rs::track_var;

async fn load() -> Vec<u8> {
    let loading = std::future::ready(vec![1]);
    track_var!(loading.await);
    Vec::new()
}

fn main() {
    drop(load());
}
