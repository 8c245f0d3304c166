use memscope_rs::Trackable;

#[derive(Trackable)]
struct Cache(#[trackable] Vec<u8>);

fn main() {}
