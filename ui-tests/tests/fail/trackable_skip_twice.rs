use memscope_rs::Trackable;

#[derive(Trackable)]
struct Cache(#[trackable(skip, skip)] Vec<u8>);

fn main() {}
