use memscope_rs::tracked;

#[tracked(budget = "99999999999GiB")]
async fn load() {}

fn main() {}
