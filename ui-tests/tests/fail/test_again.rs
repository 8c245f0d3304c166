#[memscope_rs::test(leaks = 0)]
#[memscope_rs::test]
fn fits() {}

fn main() {}
