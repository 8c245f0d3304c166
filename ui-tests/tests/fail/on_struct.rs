use memscope_rs::tracked;

#[tracked]
pub struct Service {
    _number: usize,
}

fn main() {}
