use memscope_rs::Trackable;

#[derive(Trackable)]
union Word {
    bytes: [u8; 4],
    number: u32,
}

fn main() {}
