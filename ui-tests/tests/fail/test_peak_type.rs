#[memscope_rs::test(peak = true)]
fn fits() {}

fn main() {}
