use memscope_rs::Trackable;

#[derive(Trackable)]
struct Cache(#[trackable(skip = true)] Vec<u8>);

fn main() {}
