use memscope_rs::track_var;

fn main() {
    let x = vec![1];
    track_var!(quickly: x);
}
