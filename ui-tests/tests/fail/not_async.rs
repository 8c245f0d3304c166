use memscope_rs::tracked;

#[tracked]
fn load(path: &str) -> usize {
    path.len()
}

fn main() {}
