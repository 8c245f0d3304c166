use memscope_rs::tracked;

#[tracked]
macro_rules! load {
    () => {};
}

fn main() {}
