#[memscope_rs::test(timeout = 5)]
fn fits() {}

fn main() {}
