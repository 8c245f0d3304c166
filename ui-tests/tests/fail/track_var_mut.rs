use memscope_rs::track_var;

fn main() {
    let mut x = vec![1];
    track_var!(mut x);
    x.push(2);
}
