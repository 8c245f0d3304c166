fn main() {
    let order = shop::run(shop::order([0; 1000]));
    println!("{}", order + shop::run(shop::handle(1)) + shop::run(shop::race()));
}
