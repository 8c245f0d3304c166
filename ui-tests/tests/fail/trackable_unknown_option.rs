use memscope_rs::Trackable;

#[derive(Trackable)]
struct Cache {
    #[trackable(shallow)]
    rows: Vec<u8>,
}

fn main() {}
