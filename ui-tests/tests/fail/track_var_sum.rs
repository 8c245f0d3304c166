use memscope_rs::track_var;

fn main() {
    let (a, b) = (1, 2);
    track_var!(a + b);
}
