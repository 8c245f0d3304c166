//! A library without the standard library. Its few kilobytes of debug information suit a test that
//! reads it thousands of times.
#![no_std]

use core::{
    future::Future,
    hint::black_box,
    panic::PanicInfo,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

struct Turn;

impl Future for Turn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

struct Wrapper<F> {
    inner: F,
}

impl<F: Future> Future for Wrapper<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        unsafe { self.map_unchecked_mut(|it| &mut it.inner) }.poll(cx)
    }
}

async fn inner(seed: u8) -> u8 {
    let x = [seed; 64];
    Turn.await;
    let x = [black_box(&x)[1] as u16; 16];
    Turn.await;
    black_box(&x)[0] as u8
}

async fn outer(seed: Option<u8>) -> u8 {
    Wrapper { inner: inner(seed.unwrap_or(1)) }.await
}

#[unsafe(no_mangle)]
pub extern "C" fn run() -> ! {
    let mut future = pin!(outer(black_box(None)));
    loop {
        let future: &mut dyn Future<Output = u8> = unsafe { future.as_mut().get_unchecked_mut() };
        let future = unsafe { Pin::new_unchecked(black_box(future)) };
        _ = black_box(future.poll(&mut Context::from_waker(Waker::noop())));
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        PANICS.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    }
}

static PANICS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
