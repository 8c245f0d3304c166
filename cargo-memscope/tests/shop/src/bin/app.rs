/// Awaits a future of another crate: after link-time optimisation, its type is in another unit.
async fn checkout() -> usize {
    shop::order([2; 1000]).await
}

fn main() {
    let order = shop::run(shop::order([0; 1000])) + shop::run(checkout());
    println!("{}", order + shop::run(shop::handle(1)) + shop::run(shop::race()));
}
