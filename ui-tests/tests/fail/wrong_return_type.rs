use memscope_rs::tracked;

#[tracked]
async fn number() -> u32 {
    "five"
}

#[tracked]
async fn early(flag: bool) -> u32 {
    if flag {
        return "five";
    }
    5
}

#[tracked]
async fn nothing() {
    5
}

fn main() {}
