use memscope_rs::track_var;

fn main() {
    let load = || vec![1];
    track_var!(load());
}
