use memscope_rs::Trackable;

#[derive(Trackable)]
#[trackable(skip)]
struct Cache(Vec<u8>);

fn main() {}
