use memscope_rs::{assert_memory, testing::measure_sync};

fn main() {
    let (_, profile) = measure_sync(|| ());
    assert_memory!(profile);
}
