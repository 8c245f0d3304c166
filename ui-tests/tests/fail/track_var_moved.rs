use memscope_rs::track_var;

fn main() {
    let x = vec![1];
    drop(x);
    track_var!(x);
}
