fn main() {
    shop::run(shop::turn());
}
