use memscope_rs::tracked;

#[tracked]
const fn load() -> usize {
    1
}

fn main() {}
