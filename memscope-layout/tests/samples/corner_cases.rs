//! Futures with everything that makes layouts hard to read. The program prints some of them for the
//! tests to compare.
//!
//! It prints one line for each future: its label, the address of its vtable relative to the file's
//! first byte, and its size. For each poll it adds the bytes of the state machine and the lines
//! that wait, outermost first.
#![allow(dead_code)]

use std::{
    cell::RefCell,
    future::Future,
    hint::black_box,
    pin::{Pin, pin},
    ptr,
    task::{Context, Poll, Waker},
};

thread_local! { static LINES: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) }; }

fn enter(line: u32) {
    LINES.with_borrow_mut(|it| it.push(line));
}

fn leave() {
    LINES.with_borrow_mut(|it| it.pop());
}

/// Waits once.
#[derive(Default)]
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn turn() -> Turn {
    Turn::default()
}

// An argument that the body moves takes space twice.
async fn held_twice<F: Future>(future: F) -> F::Output {
    future.await
}

async fn argument_by_value(page: [u8; 1000]) -> usize {
    turn().await;
    black_box(&page).len()
}

// Several live variables with one name.
async fn shadowed(seed: u8) -> usize {
    let x = [seed; 100];
    turn().await;
    let x = black_box([x[0].into(); 50]);
    let _: &[u16; 50] = &x;
    turn().await;
    let y = black_box(&x).len();
    let x = [y as u32; 7];
    turn().await;
    black_box(&x).len()
}

async fn branches(which: u8) -> usize {
    match which {
        0 => {
            let large = [0u8; 2000];
            turn().await;
            black_box(&large).len()
        }
        1 => {
            let larger = [0u16; 1500];
            turn().await;
            black_box(&larger).len()
        }
        _ => {
            let (heap, text) = (vec![1u8, 2], String::from("text"));
            turn().await;
            drop(text);
            turn().await;
            heap.len()
        }
    }
}

// A function item has no bytes, a function pointer has eight.
async fn functions(pointer: fn(u8) -> u8) -> u8 {
    let item = plus_one;
    let closure = |it: u8| it + 1;
    turn().await;
    item(closure(pointer(1)))
}

fn plus_one(it: u8) -> u8 {
    it + 1
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Aligned([u8; 3]);

async fn aligned(it: Aligned) -> u8 {
    let copy = black_box(it);
    turn().await;
    copy.0[0] + it.0[1]
}

async fn generic<T: Copy, const N: usize>(it: T) -> usize {
    let many = [it; N];
    turn().await;
    black_box(&many).len()
}

trait Service {
    fn call(&self) -> impl Future<Output = u32>;
}

struct Small(u32);
struct Large(u64);

impl Service for Small {
    async fn call(&self) -> u32 {
        let work = [0u8; 100];
        turn().await;
        black_box(&work).len() as u32 + self.0
    }
}

impl Service for Large {
    async fn call(&self) -> u32 {
        let work = [0u8; 900];
        turn().await;
        black_box(&work).len() as u32 + self.0 as u32
    }
}

async fn serve<S: Service>(service: S) -> u32 {
    service.call().await
}

fn recurse(depth: u32) -> Pin<Box<dyn Future<Output = u32>>> {
    Box::pin(async move {
        let local = [depth; 8];
        turn().await;
        if depth == 0 { black_box(&local)[0] } else { recurse(depth - 1).await }
    })
}

async fn boxed_child() -> usize {
    Box::pin(branches(1)).await
}

fn blocks() -> (impl Future<Output = usize>, impl Future<Output = usize>) {
    let first = async {
        let a = [0u8; 11];
        turn().await;
        black_box(&a).len()
    };
    let second = async {
        let inner = async {
            let deep = [0u8; 77];
            turn().await;
            black_box(&deep).len()
        };
        inner.await
    };
    (first, second)
}

async fn closures() -> usize {
    let ask = async |n: usize| {
        let answer = [0u8; 55];
        turn().await;
        black_box(&answer).len() + n
    };
    ask(1).await + ask(2).await
}

/// A hand-written wrapper, as libraries define them.
struct Wrapper<F> {
    name: &'static str,
    inner: F,
}

impl<F: Future> Future for Wrapper<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        unsafe { self.map_unchecked_mut(|it| &mut it.inner) }.poll(cx)
    }
}

async fn wrapped() -> usize {
    Wrapper { name: "w", inner: branches(0) }.await
}

/// A future that is running, or done.
enum Arm<F: Future> {
    Runs(F),
    Done(F::Output),
    Taken,
}

/// Like `join!`: both arms are inline, and polled through a closure.
async fn joined() -> usize {
    let arms = (Arm::Runs(branches(0)), Arm::Runs(shadowed(1)));
    let mut arms = pin!(arms);
    std::future::poll_fn(move |cx| {
        let arms = unsafe { arms.as_mut().get_unchecked_mut() };
        let first = poll_arm(&mut arms.0, cx);
        let second = poll_arm(&mut arms.1, cx);
        if first && second { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    2
}

fn poll_arm<F: Future>(arm: &mut Arm<F>, cx: &mut Context<'_>) -> bool {
    if let Arm::Runs(future) = arm {
        match unsafe { Pin::new_unchecked(future) }.poll(cx) {
            Poll::Ready(value) => *arm = Arm::Done(value),
            Poll::Pending => return false,
        }
    }
    true
}

/// Like `select!`: the arms are variables.
async fn selected() -> usize {
    let mut fast = pin!(Small(1).call());
    let mut slow = pin!(Large(1).call());
    std::future::poll_fn(|cx| {
        let slow = slow.as_mut().poll(cx);
        if fast.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { slow.map(drop) }
    })
    .await;
    1
}

mod one {
    pub mod same {
        pub async fn name() {
            let it = [0u8; 31];
            crate::turn().await;
            std::hint::black_box(&it);
        }
    }
}

mod two {
    pub mod same {
        pub async fn name() {
            let it = [0u8; 32];
            crate::turn().await;
            std::hint::black_box(&it);
        }
    }
}

// More states than fit into one byte.
macro_rules! times_four { ($($it:tt)*) => { $($it)* $($it)* $($it)* $($it)* } }
async fn many_states() {
    times_four! { times_four! { times_four! { times_four! { turn().await; } } } }
}

// The lines that wait, outermost first.
#[rustfmt::skip]
async fn chain(depth: u8) -> usize {
    enter(line!()); turn().await; leave();
    enter(line!()); let n = link(depth).await; leave();
    n
}

#[rustfmt::skip]
async fn link(depth: u8) -> usize {
    let page = [depth; 400];
    enter(line!()); turn().await; leave();
    let page = [black_box(&page)[0] as u16; 300];
    enter(line!()); turn().await; leave();
    black_box(&page).len()
}

fn show<F: Future>(label: &str, future: F) {
    let size = size_of::<F>();
    let mut future = pin!(future);
    let object: *const dyn Future<Output = F::Output> = &*future;
    let [start, vtable] =
        unsafe { std::mem::transmute::<*const dyn Future<Output = F::Output>, [usize; 2]>(object) };
    print!("{label}\t{}\t{size}", vtable - first_byte());
    for _ in 0..20 {
        let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if poll.is_ready() {
            break;
        }
        let bytes = (0..size).map(|at| unsafe { ptr::read_volatile((start as *const u8).add(at)) });
        let bytes: String = bytes.map(|it| format!("{it:02x}")).collect();
        let lines = LINES.with_borrow(|it| it.iter().map(u32::to_string).collect::<Vec<_>>());
        print!("\t{bytes} {}", lines.join(","));
    }
    println!();
}

/// Returns the address of the program's first byte, a symbol of the linker.
fn first_byte() -> usize {
    unsafe extern "C" {
        #[link_name = "__ehdr_start"]
        static FIRST: u8;
    }
    &raw const FIRST as usize
}

fn main() {
    show("held_twice", held_twice(held_twice(branches(1))));
    show("argument_by_value", argument_by_value([0; 1000]));
    show("shadowed", shadowed(1));
    show("branches", branches(2));
    show("functions", functions(plus_one));
    show("aligned", aligned(Aligned([1; 3])));
    show("generic", generic::<u8, 10>(1));
    show("generic", generic::<u64, 10>(1));
    show("serve", serve(Small(1)));
    show("serve", serve(Large(1)));
    show("recurse", recurse(3));
    show("boxed_child", boxed_child());
    let (first, second) = blocks();
    show("blocks", first);
    show("blocks", second);
    show("closures", closures());
    show("wrapped", wrapped());
    show("wrapper", Wrapper { name: "by hand", inner: branches(1) });
    show("joined", joined());
    show("selected", selected());
    show("same_name", one::same::name());
    show("same_name", two::same::name());
    show("many_states", many_states());
    show("chain", chain(1));
}
