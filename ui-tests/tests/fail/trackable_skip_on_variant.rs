use memscope_rs::Trackable;

#[derive(Trackable)]
enum Cache {
    #[trackable(skip)]
    Rows(Vec<u8>),
}

fn main() {}
