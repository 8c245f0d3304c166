#[memscope_rs::test(leaks = -1)]
fn fits() {}

fn main() {}
