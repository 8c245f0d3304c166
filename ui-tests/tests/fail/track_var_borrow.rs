use memscope_rs::track_var;

fn main() {
    let mut x = (vec![1], 2);
    track_var!(&mut x.0);
    x.1 = 3;
}
