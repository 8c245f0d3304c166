use memscope_rs::track_var;

fn main() {
    let (a, b, c) = (1, vec![2], 3);
    track_var!(&a, b.len(), depp: c, "text", c, c + 1, deep:, a);
}
