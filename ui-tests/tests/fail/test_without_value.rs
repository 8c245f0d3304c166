#[memscope_rs::test(leaks)]
fn fits() {}

fn main() {}
