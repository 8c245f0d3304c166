use memscope_rs::track_var;

fn main() {
    let x = 1_u8;
    track_var!(x as u64);
}
