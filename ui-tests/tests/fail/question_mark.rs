use memscope_rs::tracked;

#[tracked]
async fn parse(text: &str) -> Option<u8> {
    let number = text.parse::<u8>()?;
    Some(number)
}

fn main() {}
