#[memscope_rs::test(leaks = 0, leaks = 0)]
fn fits() {}

fn main() {}
