use memscope_rs::Trackable;

#[derive(Trackable)]
#[repr(C, packed(2))]
struct Header {
    length: u32,
    name: Vec<u8>,
}

fn main() {}
