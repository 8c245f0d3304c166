use memscope_rs::track_var;

fn main() {
    macro_rules! track {
        ($x:expr) => {
            track_var!($x)
        };
    }
    let x = vec![1];
    track!(x);
    track!(x.len());
}
