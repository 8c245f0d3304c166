use memscope_rs::Trackable;

#[derive(Trackable)]
enum Cache {
    Rows(#[trackable(skp)] Vec<u8>),
}

fn main() {}
