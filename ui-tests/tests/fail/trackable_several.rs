use memscope_rs::Trackable;

#[derive(Trackable)]
#[trackable(krate = memscope_rs)]
struct Cache {
    #[trackable(skip, deep)]
    rows: Vec<u8>,
    #[trackable = "skip"]
    names: Vec<u8>,
}

fn main() {}
