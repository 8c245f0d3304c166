mod outer {
    use memscope_rs::tracked;

    #[tracked]
    mod service;
}

fn main() {}
