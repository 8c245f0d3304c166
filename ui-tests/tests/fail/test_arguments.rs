#[memscope_rs::test(leaks = 0)]
async fn fits(bytes: usize) {}

fn main() {}
