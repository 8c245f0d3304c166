// Futures behind `dyn Future`, as a runtime holds them: each has a vtable.

use std::{future::Future, pin::Pin};

/// A wrapper, as libraries define them: not a state machine itself.
struct Named<F> {
    _name: &'static str,
    inner: F,
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<F::Output> {
        unsafe { self.map_unchecked_mut(|it| &mut it.inner) }.poll(cx)
    }
}

fn main() {
    let tasks: [Pin<Box<dyn Future<Output = usize>>>; 3] = [
        Box::pin(shop::handle(1)),
        Box::pin(shop::order([1; 1000])),
        Box::pin(Named { _name: "race", inner: shop::race() }),
    ];
    println!("{}", tasks.into_iter().map(shop::run).sum::<usize>());
}
