fn main() {
    let order = shop::run(shop::order([0; 1000]));
    println!("{}", order + shop::run(shop::handle_boxed(1)));
}
