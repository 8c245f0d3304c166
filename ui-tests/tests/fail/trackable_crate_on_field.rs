use memscope_rs::Trackable;

#[derive(Trackable)]
struct Cache(#[trackable(crate = memscope_rs)] Vec<u8>);

fn main() {}
