//! Futures of methods: debug information has numbers in place of the types that they are of.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

trait Service {
    fn call(&self, request: [u8; 300]) -> impl Future<Output = u8>;
}

struct Shop(u8);
struct Queue<T>(T);

async fn turn() {
    let mut is_over = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut is_over, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

impl Shop {
    async fn open(&self, stock: [u8; 200]) -> u8 {
        turn().await;
        stock[1] + self.0
    }

    async fn count(stock: [u8; 100]) -> u8 {
        let counted = async {
            turn().await;
            black_box(&stock)[2]
        };
        counted.await
    }
}

impl Service for Shop {
    async fn call(&self, request: [u8; 300]) -> u8 {
        turn().await;
        request[3] + self.0
    }
}

impl<T: Copy + Into<u64>> Service for Queue<T> {
    async fn call(&self, request: [u8; 300]) -> u8 {
        turn().await;
        request[4] + u8::try_from(self.0.into()).unwrap()
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(it) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return it;
        }
    }
}

fn main() {
    let shop = Shop(black_box(1));
    black_box(run(shop.open([1; 200])));
    black_box(run(Shop::count([1; 100])));
    black_box(run(shop.call([1; 300])));
    black_box(run(Queue(1_u8).call([1; 300])));
    black_box(run(Queue(1_u32).call([1; 300])));
}
