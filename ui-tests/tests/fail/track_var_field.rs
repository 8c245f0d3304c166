use memscope_rs::track_var;

fn main() {
    let x = (1, 2);
    track_var!(x.);
}
