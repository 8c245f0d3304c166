use memscope_rs::track_var;

fn main() {
    track_var!(deep:);
}
