#[memscope_rs::test(leaks = 0)]
struct Cache;

fn main() {}
