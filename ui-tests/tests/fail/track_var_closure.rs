use memscope_rs::track_var;

fn main() {
    track_var!(|a: u8, b: u8| a + b);
}
