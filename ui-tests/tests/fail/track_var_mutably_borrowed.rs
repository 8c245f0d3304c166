use memscope_rs::track_var;

fn main() {
    let mut x = vec![1];
    let first = &mut x;
    track_var!(x);
    first.push(1);
}
