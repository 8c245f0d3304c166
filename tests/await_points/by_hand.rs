//! Hand-written futures that lend out what they own. The walk reads none of it, and says where it
//! ended.
//!
//! Memory that another thread may write is made unreadable here: whole pages, which the task gives
//! back when it is dropped. A walk that reads a byte of them is killed, on each run.

use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn},
    hint::black_box,
    marker::PhantomPinned,
    pin::{Pin, pin},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::select};
use memscope_rs::async_memory::{AwaitPoint, track};
use memscope_tests::{conserved, poll};
use tokio::time::timeout;
use tracing::Instrument;

use super::{ALLOCATOR, LEAF, lines, of, on, waits, wrappers::with_timers};

const PAGE: usize = 4096;

#[repr(align(4096))]
struct Page([u8; PAGE]);

/// A state machine of whole pages.
async fn paged() {
    let page = Page([1; PAGE]);
    pending::<()>().await;
    black_box(&page.0);
}

/// Pages that cannot be read until this is dropped.
struct Taken {
    first: *mut libc::c_void,
    bytes: usize,
}

impl Taken {
    fn protect(&self, access: libc::c_int) {
        // SAFETY: the pages are those of one value, wholly, as `take` asserts, and of the heap, so
        // they may be read and written when they are given back.
        let done = unsafe { libc::mprotect(self.first, self.bytes, access) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.protect(libc::PROT_READ | libc::PROT_WRITE);
    }
}

thread_local! {
    static TAKEN: RefCell<Vec<Taken>> = const { RefCell::new(Vec::new()) };
}

/// Lends a value on the heap: from here on nothing of it can be read.
fn take<F>(value: &mut F) {
    let first: *mut F = value;
    assert_eq!((first.addr() % PAGE, size_of::<F>() % PAGE), (0, 0), "these are whole pages");
    let taken = Taken { first: first.cast(), bytes: size_of::<F>() };
    taken.protect(libc::PROT_NONE);
    TAKEN.with_borrow_mut(|all| all.push(taken));
}

/// Where a task waits that has lent something meanwhile.
fn waits_lending<F: Future>(future: F) -> AwaitPoint {
    on();
    let mut task = Box::pin(track(future));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    assert!(TAKEN.with_borrow(|all| !all.is_empty()), "something is lent");
    let snapshot = conserved(&ALLOCATOR);
    TAKEN.take();
    of(&snapshot, id).expect("a place").clone()
}

/// That the walk ended at a type written by hand, of this name.
#[track_caller]
fn ends_at(point: &AwaitPoint, name: &str) {
    let start = format!("waits for await_points::by_hand::{name}");
    assert!(point.stops.starts_with(&start), "{point:#?}");
    assert!(point.stops.contains("which is written by hand"), "{point:#?}");
}

/// That the walk ended at a pointer, below a type written by hand of this name.
#[track_caller]
fn ends_at_a_pointer_in(point: &AwaitPoint, name: &str) {
    let part = format!("the walk ends there, as await_points::by_hand::{name}");
    assert!(point.stops.contains(&part), "{point:#?}");
    assert!(point.stops.contains("around it is written by hand"), "{point:#?}");
}

/// How a value lends what it has.
trait Lend {
    fn lend(&mut self);
}

impl<F> Lend for Box<F> {
    fn lend(&mut self) {
        take(&mut **self);
    }
}

impl<F> Lend for &mut F {
    fn lend(&mut self) {
        take(&mut **self);
    }
}

impl<F> Lend for Pin<Box<F>> {
    fn lend(&mut self) {
        // SAFETY: nothing is moved.
        take(unsafe { self.as_mut().get_unchecked_mut() });
    }
}

impl<P: Lend> Lend for Option<P> {
    fn lend(&mut self) {
        self.as_mut().expect("it is there").lend();
    }
}

/// Has lent what it has, and learns by `is_back` when it has it again.
struct Offload<P> {
    child: P,
    is_back: Arc<AtomicBool>,
}

fn offload<P: Lend>(child: P) -> Offload<P> {
    Offload { child, is_back: Arc::default() }
}

impl<P: Lend> Future for Offload<P> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        this.child.lend();
        if this.is_back.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_box_that_a_future_by_hand_has_lent_is_not_followed() {
    let point = waits_lending(offload(Box::new(paged())));
    assert!(point.frames.is_empty(), "{point:#?}");
    ends_at(&point, "Offload<");

    let line = line!() + 1;
    let point = waits_lending(async { offload(Box::pin(paged())).await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at(&point, "Offload<");
}

#[test]
fn a_reference_that_a_future_by_hand_has_lent_is_not_followed() {
    let mut child = Box::new(paged());
    let line = line!() + 1;
    let point = waits_lending(async { offload(&mut *child).await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at(&point, "Offload<");
}

#[test]
fn an_optional_box_that_a_future_by_hand_has_lent_is_not_followed() {
    let line = line!() + 1;
    let point = waits_lending(async { offload(Some(Box::new(paged()))).await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at(&point, "Offload<");
}

/// The same, as an enum.
enum Stage<F> {
    Lent(Box<F>, Arc<AtomicBool>),
    Over,
}

impl<F> Future for Stage<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        if let Self::Lent(child, is_back) = this {
            child.lend();
            if is_back.load(Ordering::Relaxed) {
                *this = Self::Over;
            }
        }
        if let Self::Over = this { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_variant_by_hand_is_not_read() {
    let line = line!() + 2;
    let stage = || Stage::Lent(Box::new(paged()), Arc::default());
    let point = waits_lending(async { stage().await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at(&point, "Stage<");
}

/// Lends a part of itself, which cannot move.
struct Inline<F, Shared> {
    child: F,
    _shared: Shared,
}

impl<F, Shared> Future for Inline<F, Shared> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved.
        take(unsafe { &mut self.get_unchecked_mut().child });
        Poll::Pending
    }
}

#[test]
fn a_part_that_a_future_by_hand_may_have_lent_is_not_read() {
    fn check<Shared>(shared: Shared) {
        let child = Inline { child: paged(), _shared: shared };
        let line = line!() + 1;
        let point = waits_lending(async { (child.await,) });
        assert_eq!(lines(&point), [line], "{point:#?}");
        ends_at(&point, "Inline<");
    }
    check(PhantomPinned);
    check(Arc::new(AtomicBool::new(false)));
    check(AtomicBool::new(false));
    check([Some(AtomicU64::new(0))]);
    check(ptr::from_ref(&PAGE));
    check(RefCell::new(0_u8));
    check(fake::Timer { signal: &PAGE });
}

/// Lends the first part of a pair.
struct Pair<F, Shared>(Option<(F, Shared)>);

impl<F, Shared> Future for Pair<F, Shared> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved.
        if let Some((child, _)) = unsafe { &mut self.get_unchecked_mut().0 } {
            take(child);
        }
        Poll::Pending
    }
}

#[test]
fn a_part_is_not_read_where_what_is_shared_stands_beside_it_further_in() {
    let line = line!() + 1;
    let point = waits_lending(async { Pair(Some((paged(), Arc::new(0)))).await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at(&point, "Pair<");
}

/// Numbers and text besides its future: it has nothing by which it could learn that it has a part
/// of itself back.
struct Plain<F> {
    child: F,
    name: &'static str,
    label: Option<String>,
    started: Instant,
    rounds: [u32; 3],
}

fn plain<F>(child: F) -> Plain<F> {
    Plain { child, name: "plain", label: None, started: Instant::now(), rounds: [0; 3] }
}

impl<F: Future> Future for Plain<F> {
    type Output = F::Output;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        black_box((self.name, &self.label, self.started, self.rounds));
        // SAFETY: the child is moved no more than this is.
        unsafe { self.map_unchecked_mut(|it| &mut it.child) }.poll(context)
    }
}

/// Waits, and does nothing else.
struct Idle<P>(P, u64);

impl<P> Future for Idle<P> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(self.1);
        Poll::Pending
    }
}

#[test]
fn what_is_plain_besides_its_future_is_read_inline() {
    let line = line!() + 1;
    let point = waits(async { plain(super::leaf()).await });
    assert_eq!(lines(&point), [line, LEAF], "{point:#?}");

    // And in it another one, and a known wrapper.
    let _timers = with_timers();
    let line = line!() + 2;
    let point = waits(async {
        plain(plain(super::middle().map(drop))).await;
    });
    assert_eq!(lines(&point), [line, super::MIDDLE, LEAF], "{point:#?}");
}

#[test]
fn below_a_future_by_hand_no_pointer_is_followed() {
    // A `Box` of its own.
    let mut child = Box::new(paged());
    child.lend();
    let line = line!() + 1;
    let point = waits_lending(async { (Idle(child, 1).await,) });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at_a_pointer_in(&point, "Idle<");

    // One of a known wrapper in it.
    let mut child = Box::pin(paged());
    child.lend();
    let line = line!() + 1;
    let point = waits_lending(async { Idle(child.fuse(), 1).await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    ends_at_a_pointer_in(&point, "Idle<");

    // One of a function in it: what this awaits, and where, is inline and read.
    let line = line!() + 1;
    let boxed = async { (offload(Box::new(paged())).await,) };
    let outer = line!() + 1;
    let point = waits_lending(async { plain(boxed).await });
    assert_eq!(lines(&point), [outer, line], "{point:#?}");
    ends_at(&point, "Offload<");

    // The same where it is that function that awaits a box.
    let boxed = async { (Box::pin(super::leaf()).await,) };
    let point = waits(async { plain(boxed).await });
    assert_eq!(point.frames.len(), 2, "{point:#?}");
    ends_at_a_pointer_in(&point, "Plain<");

    // A trait object.
    let mut child = Box::pin(paged());
    child.lend();
    let object: Pin<Box<dyn Future<Output = ()>>> = child;
    let point = waits_lending(Idle(object, 1));
    assert!(point.frames.is_empty(), "{point:#?}");
    ends_at_a_pointer_in(&point, "Idle<");
}

#[test]
fn a_future_by_hand_in_a_known_wrapper_is_where_the_walk_ends() {
    type Object = Pin<Box<dyn Future<Output = ()>>>;
    #[track_caller]
    fn ends(line: u32, future: impl Future<Output = ()>) {
        let point = waits_lending(future);
        assert_eq!(lines(&point), [line], "{point:#?}");
        ends_at(&point, "Offload<");
    }
    let _timers = with_timers();
    let lent = || offload(Box::new(paged()));
    let long = Duration::from_hours(1);
    let line = line!() + 1;
    ends(line, async { timeout(long, lent()).await.unwrap_or(()) });
    ends(line + 1, async { lent().map(drop).await });
    ends(line + 2, async { lent().instrument(tracing::Span::none()).await });
    ends(line + 3, async { track(lent()).await });
    ends(line + 4, async { Box::pin(lent()).await });
    ends(line + 5, async { pin!(lent()).await });
    ends(line + 6, async { (Box::pin(lent()) as Object).await });
    ends(line + 7, async { drop(select(Box::pin(lent()), pending::<()>()).await) });

    let point = waits_lending(async {
        tokio::select! {
            () = lent() => {}
            () = pending() => {}
        }
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    ends_at(&point, "Offload<");
}

#[test]
fn what_a_closure_captures_is_not_followed() {
    // By value: a box, and what says when it is back.
    let (mut child, is_back) = (Box::new(paged()), Arc::new(AtomicBool::new(false)));
    let line = line!() + 6;
    let point = waits_lending(async {
        poll_fn(move |_| {
            child.lend();
            if is_back.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    assert_eq!(lines(&point), [line], "{point:#?}");
    assert!(point.stops.contains("{closure}, which is written by hand"), "{point:#?}");

    // By reference.
    let mut child = Box::new(paged());
    let line = line!() + 6;
    let point = waits_lending(async {
        poll_fn(|_| {
            child.lend();
            Poll::<()>::Pending
        })
        .await;
    });
    assert_eq!(lines(&point), [line], "{point:#?}");
    assert!(point.stops.contains("{closure} around it is written by hand"), "{point:#?}");

    // The same, as `select!` does, under the names that it has, beside one.
    let mut first = Box::new(paged());
    let point = waits_lending(async {
        let mut disabled = 0_u8;
        let mut futures = &mut *first;
        tokio::select! {
            biased;
            () = std::future::ready(()) => {}
            () = pending() => {}
        }
        poll_fn(|_| {
            disabled += 1;
            futures.lend();
            black_box((&mut disabled, &mut futures));
            Poll::<()>::Pending
        })
        .await;
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert!(point.stops.contains("{closure}"), "{point:#?}");
    assert!(point.stops.contains("is written by hand"), "{point:#?}");
}

/// Types with names that known ones have, too.
mod fake {
    pub(super) mod time {
        pub(in super::super) mod timeout {
            /// Like `tokio::time::timeout::Timeout`.
            pub(in super::super::super) struct Timeout<T> {
                pub(in super::super::super) value: T,
                pub(in super::super::super) delay: Option<u64>,
            }
        }
    }

    pub(super) struct Pin<P>(pub(super) P);

    #[derive(Clone, Copy)]
    pub(super) struct Timer {
        pub(super) signal: &'static usize,
    }
}

impl<F> Future for fake::time::timeout::Timeout<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(self.delay);
        black_box(&self.value);
        Poll::Pending
    }
}

impl<F> Future for fake::Pin<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(&self.0);
        Poll::Pending
    }
}

#[test]
fn a_type_is_known_by_its_whole_path_only() {
    let lent = || {
        let mut child = Box::new(paged());
        child.lend();
        child
    };
    let point = waits_lending(fake::time::timeout::Timeout { value: lent(), delay: None });
    ends_at_a_pointer_in(&point, "fake::time::timeout::Timeout<");
    let point = waits_lending(fake::Pin(lent()));
    ends_at_a_pointer_in(&point, "fake::Pin<");
    black_box(fake::Timer { signal: &PAGE }.signal);
}

#[test]
fn a_variable_with_the_name_of_what_is_awaited_is_not_taken_for_it() {
    let point = waits_lending(async {
        let mut __awaitee = Box::pin(paged());
        __awaitee.lend();
        memscope_tests::wait_once().await;
        black_box(&__awaitee);
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert_eq!(point.stops, "debug information does not tell how it goes on");
}

#[test]
fn a_box_that_a_function_has_lent_and_does_not_await_is_not_read() {
    let line = line!() + 4;
    let point = waits_lending(async {
        let mut kept = Box::pin(paged());
        kept.lend();
        super::leaf().await;
        black_box(&kept);
    });
    assert_eq!(lines(&point), [line, LEAF], "{point:#?}");
}

#[test]
fn a_way_that_was_taken_before_is_not_taken_into_what_is_lent() {
    // First it waits in a box that is its own, at the same place in memory, so that the way there
    // is remembered; then in one that it has lent.
    async fn both() {
        Box::pin(memscope_tests::wait_once()).await;
        Box::pin(memscope_tests::wait_once()).await;
        offload(Box::new(paged())).await;
    }
    on();
    let mut task = Box::pin(track(both()));
    let id = task.id().expect("an id");
    for _ in 0..2 {
        assert!(poll(&mut task).is_pending());
        assert!(of(&conserved(&ALLOCATOR), id).expect("a place").frames.len() > 1);
    }
    for _ in 0..2 {
        assert!(poll(&mut task).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        let point = of(&snapshot, id).expect("a place");
        assert_eq!(point.frames.len(), 1, "{point:#?}");
        ends_at(point, "Offload<");
        TAKEN.take();
    }
}

/// Has its child polled by threads, each for some milliseconds, and its destructor waits for them.
struct Elsewhere<F> {
    child: Box<F>,
    is_busy: Arc<AtomicBool>,
    _pinned: PhantomPinned,
}

struct Lent<F>(*mut F);

// SAFETY: what it points to is the thread's while `is_busy` says so.
unsafe impl<F: Send> Send for Lent<F> {}

static ROUNDS: AtomicU64 = AtomicU64::new(0);

impl<F: Future<Output = ()> + Send + 'static> Future for Elsewhere<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        // Pairs with the thread's release.
        if !this.is_busy.swap(true, Ordering::Acquire) {
            let (child, is_busy) = (Lent(&raw mut *this.child), Arc::clone(&this.is_busy));
            std::thread::spawn(move || {
                let child = child;
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(5) {
                    // SAFETY: the box is the thread's.
                    let child = unsafe { &mut *child.0 };
                    // SAFETY: the box's content does not move.
                    let child = unsafe { Pin::new_unchecked(child) };
                    let _ = child.poll(&mut Context::from_waker(Waker::noop()));
                    ROUNDS.fetch_add(1, Ordering::Relaxed);
                }
                is_busy.store(false, Ordering::Release);
            });
        }
        Poll::Pending
    }
}

impl<F> Drop for Elsewhere<F> {
    fn drop(&mut self) {
        // Pairs with the thread's release.
        while self.is_busy.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_box_that_threads_poll_meanwhile_is_theirs() {
    async fn large() {
        let page = [1_u8; 16_000];
        memscope_tests::wait_once().await;
        black_box(&page);
    }
    on();
    let child = Box::new(async {
        loop {
            Box::pin(large()).await;
        }
    });
    let elsewhere = Elsewhere { child, is_busy: Arc::default(), _pinned: PhantomPinned };
    let mut task = Box::pin(track(elsewhere));
    let id = task.id().expect("an id");
    let start = Instant::now();
    while ROUNDS.load(Ordering::Relaxed) < 20_000 && start.elapsed() < Duration::from_mins(1) {
        assert!(poll(&mut task).is_pending());
    }
    let snapshot = conserved(&ALLOCATOR);
    let point = of(&snapshot, id).expect("a place");
    assert!(point.frames.is_empty(), "{point:#?}");
    ends_at(point, "Elsewhere<");
}
