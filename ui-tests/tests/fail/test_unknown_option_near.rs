#[memscope_rs::test(peek = "64KiB")]
fn fits() {}

fn main() {}
