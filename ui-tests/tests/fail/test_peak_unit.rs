#[memscope_rs::test(peak = "64KB")]
fn fits() {}

fn main() {}
