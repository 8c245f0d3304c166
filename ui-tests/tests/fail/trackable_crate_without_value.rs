use memscope_rs::Trackable;

#[derive(Trackable)]
#[trackable(crate)]
struct Cache(Vec<u8>);

fn main() {}
