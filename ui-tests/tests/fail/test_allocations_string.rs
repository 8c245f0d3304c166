#[memscope_rs::test(allocations = "10")]
fn fits() {}

fn main() {}
