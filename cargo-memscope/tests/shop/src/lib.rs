//! Futures that the tool reports on, each for another reason.

use std::{
    future::{Future, poll_fn},
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

pub struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

pub fn turn() -> Turn {
    Turn(false)
}

pub async fn read_row(id: usize) -> usize {
    let mut buffer = [0u8; 8192];
    buffer[0] = id as u8;
    turn().await;
    black_box(&buffer).len()
}

pub async fn order(basket: [u8; 1000]) -> usize {
    turn().await;
    black_box(&basket).len()
}

pub async fn handle(id: usize) -> usize {
    read_row(id).await + 1
}

pub async fn handle_boxed(id: usize) -> usize {
    Box::pin(read_row(id)).await + 1
}

pub async fn race() -> usize {
    let mut fast = pin!(order([1; 1000]));
    let mut slow = pin!(read_row(1));
    poll_fn(|cx| match fast.as_mut().poll(cx) {
        Poll::Pending => slow.as_mut().poll(cx),
        ready => ready,
    })
    .await
}

pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(it) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return it;
        }
    }
}
