use memscope_rs::tracked;

#[tracked]
const LIMIT: usize = 1;

fn main() {}
