//! Every form of function and block that `#[tracked]` takes, under strict lints. Each is run, and
//! its row in the report has the right name, kind, place and bytes.

#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic, clippy::nursery)]
#![allow(unreachable_pub, reason = "`clippy::redundant_pub_crate` wants the opposite")]

use std::{
    cell::{Cell, RefCell},
    fmt::{Display, Write as _},
    future::Future,
    num::ParseIntError,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use memscope_macros::tracked;
use memscope_rs::async_memory::{SiteProfile, TaskType, get_memory_snapshot};

/// Polls until ready, allocating nothing.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("not ready after 100 polls")
}

thread_local! {
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// What every body does: says where it is, allocates, waits.
async fn hold(line: u32, bytes: usize) -> Vec<u8> {
    LINE.set(line);
    let held = vec![1; bytes];
    let mut waited = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    held
}

const fn assert_send<T: Send>(value: T) -> T {
    value
}

#[track_caller]
fn site(name: &str) -> SiteProfile {
    let sites = get_memory_snapshot().sites().to_vec();
    let here: Vec<_> = sites.into_iter().filter(|site| site.name == name).collect();
    assert_eq!(here.len(), 1, "rows named {name}");
    here.into_iter().next().expect("one row")
}

/// One call has run to its end, in the function whose name is in the line before the call of
/// `hold`.
#[track_caller]
fn assert_row(name: &str, task_type: TaskType, bytes: u64) {
    let site = site(name);
    assert_eq!((site.spawned, site.completed), (1, 1), "{name}");
    assert_eq!((site.file.as_ref(), site.line), (file!(), LINE.get() - 1), "{name}");
    assert_eq!(site.task_type, task_type, "{name}");
    assert_eq!(site.allocated_bytes, bytes, "{name}");
}

/// Documented.
#[tracked]
pub async fn free() -> Vec<u8> {
    hold(line!(), 101).await
}

#[tracked]
async fn without_output() {
    drop(hold(line!(), 102).await);
}

#[tracked(task_type = "io", name = "a name: \"quoted\"\n🦀")]
async fn named() -> Vec<u8> {
    hold(line!(), 103).await
}

#[tracked(crate = ::memscope_rs, task_type = "network",)]
async fn with_path() -> Vec<u8> {
    hold(line!(), 104).await
}

#[test]
fn free_functions() {
    block_on(free());
    assert_row("free", TaskType::Unspecified, 101);
    block_on(without_output());
    assert_row("without_output", TaskType::Unspecified, 102);
    block_on(named());
    assert_row("a name: \"quoted\"\n🦀", TaskType::IoIntensive, 103);
    block_on(with_path());
    assert_row("with_path", TaskType::NetworkIntensive, 104);
}

/// All kinds of task.
#[tracked(task_type = "mixed")]
mod kinds {
    use super::hold;

    #[tracked(task_type = "cpu")]
    pub async fn cpu() -> Vec<u8> {
        hold(line!(), 1).await
    }

    #[tracked(task_type = "io")]
    pub async fn io() -> Vec<u8> {
        hold(line!(), 2).await
    }

    #[tracked(task_type = "network")]
    pub async fn network() -> Vec<u8> {
        hold(line!(), 3).await
    }

    #[tracked(task_type = "memory")]
    pub async fn memory() -> Vec<u8> {
        hold(line!(), 4).await
    }

    #[tracked(task_type = "streaming")]
    pub async fn streaming() -> Vec<u8> {
        hold(line!(), 5).await
    }

    #[tracked(task_type = "background")]
    pub async fn background() -> Vec<u8> {
        hold(line!(), 6).await
    }

    pub async fn mixed() -> Vec<u8> {
        hold(line!(), 7).await
    }
}

#[test]
fn kinds_of_tasks() {
    block_on(kinds::cpu());
    assert_row("cpu", TaskType::CpuIntensive, 1);
    block_on(kinds::io());
    assert_row("io", TaskType::IoIntensive, 2);
    block_on(kinds::network());
    assert_row("network", TaskType::NetworkIntensive, 3);
    block_on(kinds::memory());
    assert_row("memory", TaskType::MemoryIntensive, 4);
    block_on(kinds::streaming());
    assert_row("streaming", TaskType::Streaming, 5);
    block_on(kinds::background());
    assert_row("background", TaskType::Background, 6);
    block_on(kinds::mixed());
    assert_row("mixed", TaskType::Mixed, 7);
}

#[tracked]
async fn generic<T, const N: usize>(items: [T; N], mut text: String) -> String
where
    T: Clone + Display,
{
    hold(line!() - 3, 201).await;
    for item in items.clone() {
        write!(text, "{item}").expect("room in a string");
    }
    write!(text, "{N}").expect("room in a string");
    text
}

#[tracked]
async fn borrowed<'a>(first: &'a str, second: &str) -> &'a str {
    hold(line!(), 202).await;
    if second.is_empty() {
        return first;
    }
    &first[1..]
}

#[tracked]
async fn elided(text: &str, words: &mut std::str::Chars<'_>) -> usize {
    hold(line!(), 203).await;
    text.len() + words.count()
}

#[tracked]
async fn implemented(items: impl IntoIterator<Item = u8>, offset: &u8) -> impl Iterator<Item = u8> {
    hold(line!(), 204).await;
    let offset = *offset;
    items.into_iter().map(move |item| item + offset)
}

#[tracked]
async fn implemented_inside(
    items: &[u8],
    text: &str,
) -> Result<impl Iterator<Item = u8>, ParseIntError> {
    hold(line!() - 3, 205).await;
    let offset: u8 = text.parse()?;
    Ok(items.iter().map(move |item| item + offset))
}

/// Two numbers.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    x: u8,
    y: u8,
}

#[tracked]
async fn patterns(
    (a, mut b): (u8, u8),
    Point { x, y: down }: Point,
    [first, ..]: [u8; 3],
    _: String,
    _unused: String,
    &last: &u8,
) -> u8 {
    hold(line!() - 7, 206).await;
    b += 1;
    a + b + x + down + first + last
}

#[tracked]
async fn conditional(#[cfg(any())] missing: u8, #[cfg(not(any()))] present: String) -> usize {
    hold(line!(), 207).await;
    present.len()
}

#[test]
fn generics_lifetimes_and_patterns() {
    assert_eq!(block_on(generic([1, 2], String::with_capacity(100))), "122");
    assert_row("generic", TaskType::Unspecified, 201);
    assert_eq!(block_on(borrowed("abc", "x")), "bc");
    assert_row("borrowed", TaskType::Unspecified, 202);
    assert_eq!(block_on(elided("abc", &mut "x".chars())), 4);
    assert_row("elided", TaskType::Unspecified, 203);
    assert!(block_on(implemented([1, 2], &3)).eq([4, 5]));
    assert_row("implemented", TaskType::Unspecified, 204);
    assert!(block_on(implemented_inside(&[1, 2], "5")).expect("a number").eq([6, 7]));
    assert_row("implemented_inside", TaskType::Unspecified, 205);
    assert_eq!(
        block_on(patterns((1, 1), Point { x: 3, y: 4 }, [5; 3], String::new(), String::new(), &6)),
        21
    );
    assert_row("patterns", TaskType::Unspecified, 206);
    assert_eq!(block_on(conditional("four".into())), 4);
    assert_row("conditional", TaskType::Unspecified, 207);
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tracked]
async fn fallible(text: &str) -> Result<Box<dyn Fn(u8) -> u8 + Send>, BoxError> {
    hold(line!(), 301).await;
    if text.is_empty() {
        return Err("empty".into());
    }
    let number = text.parse::<u8>()?;
    if number == 0 {
        return Ok(Box::new(|_| 0));
    }
    Ok(Box::new(move |other| number + other))
}

#[tracked]
async fn closures_and_blocks(values: Vec<u8>) -> Vec<usize> {
    let held = hold(line!(), 302).await;
    let outer = values.len();
    let inner = async { values.len() + held.len() }.await;
    'found: {
        if outer == 1 {
            break 'found;
        }
        return [outer, inner].into_iter().collect();
    }
    vec![]
}

#[tracked]
async fn diverging() -> ! {
    hold(line!(), 303).await;
    loop {
        std::future::pending::<()>().await;
    }
}

#[tracked(name = "recursion")]
async fn recursion(depth: usize) -> usize {
    LINE.set(line!());
    if depth == 0 { 0 } else { 1 + Box::pin(recursion(depth - 1)).await }
}

#[must_use]
#[tracked]
async fn must_use() -> usize {
    hold(line!(), 304).await.len()
}

#[tracked]
async fn inner_attributes() -> usize {
    #![allow(clippy::let_and_return, reason = "this is what is tested")]

    let length = hold(line!() - 2, 305).await.len();
    length
}

#[test]
fn bodies() {
    assert_eq!(block_on(assert_send(fallible("5"))).expect("a closure")(1), 6);
    let row = site("fallible");
    assert_eq!((row.line, row.completed), (LINE.get() - 1, 1));
    assert_eq!(block_on(fallible("")).err().expect("an error").to_string(), "empty");
    assert!(block_on(fallible("x")).is_err());
    assert_eq!(site("fallible").completed, 3);

    assert_eq!(block_on(closures_and_blocks(vec![0; 2])), [2, 304]);
    assert_row("closures_and_blocks", TaskType::Unspecified, 302 + 16);

    let mut future = Box::pin(diverging());
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(future.as_mut().poll(&mut context).is_pending());
    drop(future);
    let row = site("diverging");
    assert_eq!((row.cancelled, row.allocated_bytes, row.line), (1, 303, LINE.get() - 1));

    assert_eq!(block_on(assert_send(recursion(3))), 3);
    assert_eq!((site("recursion").completed, site("recursion").line), (4, LINE.get() - 1));

    assert_eq!(block_on(assert_send(must_use())), 304);
    assert_row("must_use", TaskType::Unspecified, 304);
    assert_eq!(block_on(inner_attributes()), 305);
    assert_row("inner_attributes", TaskType::Unspecified, 305);
}

#[tracked]
async fn panics() {
    hold(line!(), 1).await;
    std::panic::resume_unwind(Box::new("on purpose"));
}

#[tracked]
async fn never_polled(_held: Vec<u8>) {}

#[test]
fn a_panic_and_a_dropped_future_have_their_state() {
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(panics()))).is_err());
    assert_eq!(site("panics").panicked, 1);
    drop(never_polled(vec![1]));
    assert_eq!(site("never_polled").cancelled, 1);
}

/// Has methods.
#[derive(Clone, Debug)]
pub struct Service {
    number: usize,
}

impl Service {
    #[tracked]
    async fn by_ref(&self) -> usize {
        hold(line!(), 401).await.len() + self.number
    }

    #[tracked]
    async fn by_mut(&mut self, step: usize) -> &mut usize {
        hold(line!(), 402).await;
        self.number += step;
        &mut self.number
    }

    #[tracked]
    async fn by_value(self) -> usize {
        hold(line!(), 403).await.len() + self.number
    }

    #[tracked]
    async fn by_mut_value(mut self) -> usize {
        self.number += hold(line!(), 404).await.len();
        self.number
    }

    #[tracked]
    async fn by_pin(self: Pin<&mut Self>, other: &Self) -> usize {
        hold(line!(), 405).await.len() + self.number + other.number
    }

    #[tracked]
    async fn by_box(self: Box<Self>, text: String) -> usize {
        hold(line!(), 406).await.len() + self.number + text.len()
    }

    #[tracked]
    async fn by_arc(self: Arc<Self>) -> usize {
        hold(line!(), 407).await.len() + self.number
    }

    #[tracked]
    async fn make(number: usize) -> Self {
        hold(line!(), 408).await;
        Self { number }
    }
}

#[test]
fn methods() {
    let mut service = block_on(Service::make(1));
    assert_row("make", TaskType::Unspecified, 408);
    assert_eq!(block_on(service.by_ref()), 402);
    assert_row("by_ref", TaskType::Unspecified, 401);
    assert_eq!(*block_on(service.by_mut(1)), 2);
    assert_row("by_mut", TaskType::Unspecified, 402);
    assert_eq!(block_on(assert_send(service.clone().by_value())), 405);
    assert_row("by_value", TaskType::Unspecified, 403);
    assert_eq!(block_on(service.clone().by_mut_value()), 406);
    assert_row("by_mut_value", TaskType::Unspecified, 404);
    assert_eq!(block_on(Pin::new(&mut service.clone()).by_pin(&service)), 409);
    assert_row("by_pin", TaskType::Unspecified, 405);
    assert_eq!(block_on(Box::new(service.clone()).by_box("x".into())), 409);
    assert_row("by_box", TaskType::Unspecified, 406);
    assert_eq!(block_on(Arc::new(service).by_arc()), 409);
    assert_row("by_arc", TaskType::Unspecified, 407);
}

/// In the open: an `async fn` in here would make the compiler warn.
pub trait Fetch {
    /// Declared as a function that returns a future.
    fn fetch(&self, path: &str) -> impl Future<Output = usize> + Send;

    /// Has a body.
    #[tracked(task_type = "network")]
    async fn fetch_twice(&self, path: &str) -> usize {
        hold(line!(), 501).await;
        self.fetch(path).await + self.fetch(path).await
    }
}

impl Fetch for Service {
    #[tracked(name = "Service::fetch", task_type = "network")]
    async fn fetch(&self, path: &str) -> usize {
        hold(line!(), 502).await;
        self.number + path.len()
    }
}

trait Declared {
    #[tracked]
    async fn declared(&self) -> usize;
}

impl Declared for Service {
    #[tracked]
    async fn declared(&self) -> usize {
        hold(line!(), 503).await.len() + self.number
    }
}

#[tracked(task_type = "background")]
trait Whole {
    const NUMBER: usize = 3;

    async fn required(&self) -> usize;

    async fn provided(&self) -> usize {
        hold(line!(), 504).await;
        self.required().await + Self::NUMBER
    }
}

#[tracked(task_type = "streaming")]
impl Whole for Service {
    async fn required(&self) -> usize {
        hold(line!(), 505).await;
        self.number
    }
}

#[test]
fn traits() {
    let service = Service { number: 1 };
    assert_eq!(block_on(assert_send(service.fetch_twice("ab"))), 6);
    assert_eq!(site("Service::fetch").allocated_bytes, 2 * 502);
    assert_eq!(site("Service::fetch").line, LINE.get() - 1);
    assert_eq!(site("fetch_twice").allocated_bytes, 501);
    assert_eq!(block_on(service.declared()), 504);
    assert_row("declared", TaskType::Unspecified, 503);
    assert_eq!(block_on(service.provided()), 4);
    assert_row("Service::required", TaskType::Streaming, 505);
    assert_eq!(site("Whole::provided").allocated_bytes, 504);
    assert_eq!(site("Whole::provided").task_type, TaskType::Background);
}

/// A module that is tracked whole.
#[tracked(task_type = "cpu")]
mod block {
    #![allow(clippy::let_and_return, reason = "inner attributes stay where they are")]

    use super::hold;

    pub const LESS: bool = 1 < 2;

    #[derive(Debug)]
    pub struct Array<const N: usize = { 1 + 2 }>(pub [u8; N]);

    macro_rules! not_looked_into {
        ($name:ident) => {
            pub async fn $name() {}
        };
    }
    not_looked_into!(from_macro);

    pub async fn inside() -> usize {
        hold(line!(), 601).await.len()
    }

    #[tracked(skip)]
    pub async fn skipped() -> usize {
        hold(line!(), 602).await.len()
    }

    pub const fn not_async() -> usize {
        603
    }

    impl<const N: usize> Array<N> {
        pub async fn method(&self) -> usize {
            hold(line!(), 604).await.len() + self.0.len()
        }

        #[tracked(name = "renamed", task_type = "memory")]
        pub async fn named(&self) -> usize {
            hold(line!(), 605).await.len() + self.0.len()
        }
    }

    pub mod deep {
        use super::hold;

        pub async fn down() -> usize {
            let held = hold(line!(), 606).await;
            held.len()
        }

        #[memscope_macros::tracked(task_type = "io")]
        pub mod other {
            pub async fn bottom() -> usize {
                super::hold(line!(), 607).await.len()
            }
        }
    }

    #[tracked(skip)]
    pub mod left_out {
        pub async fn untouched() {
            super::hold(line!(), 608).await;
        }
    }
}

#[test]
fn blocks() {
    assert_eq!(block_on(block::inside()), 601);
    assert_row("inside", TaskType::CpuIntensive, 601);
    assert_eq!(block_on(block::skipped()), 602);
    block_on(block::from_macro());
    block_on(block::left_out::untouched());
    let names: Vec<_> =
        get_memory_snapshot().sites().iter().map(|site| site.name.clone()).collect();
    assert!(
        !names.iter().any(|name| ["skipped", "from_macro", "untouched"].contains(&&**name)),
        "{names:?}"
    );
    assert_eq!(block::not_async(), 603);
    let array = block::Array([0; 3]);
    assert_eq!(block_on(array.method()), 607);
    assert_row("Array::method", TaskType::CpuIntensive, 604);
    assert_eq!(block_on(array.named()), 608);
    assert_row("renamed", TaskType::MemoryIntensive, 605);
    assert_eq!(block_on(block::deep::down()), 606);
    assert_row("down", TaskType::CpuIntensive, 606);
    assert_eq!(block_on(block::deep::other::bottom()), 607);
    assert_row("bottom", TaskType::IoIntensive, 607);
    assert_eq!(std::hint::black_box(block::LESS), 1 < 2);
}

#[async_trait::async_trait]
trait Dynamic: Sync {
    async fn below(&self, text: String, (a, _): (u8, u8)) -> Result<usize, ParseIntError>;
    async fn above(&self, text: &str) -> usize;
    #[tracked]
    async fn provided_dynamically(&self) -> usize {
        hold(line!(), 701).await.len()
    }
}

#[async_trait::async_trait]
impl Dynamic for Service {
    #[tracked]
    async fn below(&self, text: String, (a, _): (u8, u8)) -> Result<usize, ParseIntError> {
        hold(line!(), 702).await;
        let parsed: usize = text.parse()?;
        Ok(parsed + self.number + usize::from(a))
    }

    #[tracked(name = "async-trait above")]
    async fn above(&self, text: &str) -> usize {
        hold(line!(), 703).await.len() + text.len()
    }
}

#[derive(Clone, Copy, Debug)]
struct Above;

#[tracked(task_type = "io")]
#[async_trait::async_trait]
impl Dynamic for Above {
    async fn below(&self, text: String, (a, _): (u8, u8)) -> Result<usize, ParseIntError> {
        hold(line!(), 704).await;
        Ok(text.len() + usize::from(a))
    }

    #[tracked(skip)]
    async fn above(&self, text: &str) -> usize {
        hold(line!(), 705).await.len() + text.len()
    }
}

#[derive(Clone, Copy, Debug)]
struct Below;

#[async_trait::async_trait]
#[tracked(task_type = "io")]
impl Dynamic for Below {
    async fn below(&self, text: String, (a, _): (u8, u8)) -> Result<usize, ParseIntError> {
        hold(line!(), 706).await;
        Ok(text.len() + usize::from(a))
    }

    async fn above(&self, text: &str) -> usize {
        hold(line!(), 707).await.len() + text.len()
    }
}

#[test]
fn async_trait_above_and_below() {
    let all: [&dyn Dynamic; 3] = [&Service { number: 1 }, &Above, &Below];
    assert_eq!(block_on(all[0].below("5".into(), (1, 2))), Ok(7));
    assert_row("below", TaskType::Unspecified, 702);
    assert_eq!(block_on(all[0].above("ab")), 705);
    assert_row("async-trait above", TaskType::Unspecified, 703);
    assert_eq!(block_on(all[0].provided_dynamically()), 701);
    assert_row("provided_dynamically", TaskType::Unspecified, 701);
    assert_eq!(block_on(all[1].below("5".into(), (1, 2))), Ok(2));
    assert_row("Above::below", TaskType::IoIntensive, 704);
    assert_eq!(block_on(all[1].above("ab")), 707);
    assert!(get_memory_snapshot().sites().iter().all(|site| site.name != "Above::above"));
    assert_eq!(block_on(all[2].below("5".into(), (1, 2))), Ok(2));
    assert_row("Below::below", TaskType::IoIntensive, 706);
    assert_eq!(block_on(all[2].above("ab")), 709);
    assert_row("Below::above", TaskType::IoIntensive, 707);
}

#[tokio::test]
#[tracked(name = "tokio above")]
async fn tokio_above() {
    hold(line!(), 801).await;
    tokio::task::yield_now().await;
    assert_eq!(site("tokio above").spawned, 1);
    assert_eq!(site("tokio above").line, LINE.get() - 1);
}

#[tracked(name = "tokio below")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tokio_below() -> Result<(), ParseIntError> {
    hold(line!(), 802).await;
    let _: u8 = "5".parse()?;
    let row = site("tokio below");
    assert_eq!((row.spawned, row.live_bytes > 0 || row.allocated_bytes >= 802), (1, true));
    Ok(())
}

mod with_main {
    use super::{hold, tracked};

    #[tokio::main(flavor = "current_thread")]
    #[tracked]
    pub async fn main() -> usize {
        hold(line!(), 803).await.len()
    }

    #[tracked(name = "main below")]
    #[tokio::main(flavor = "current_thread")]
    pub async fn main_below() -> usize {
        hold(line!(), 804).await.len()
    }
}

#[tracked]
fn by_hand(length: usize) -> impl Future<Output = usize> {
    async move { hold(line!() - 1, 805).await.len() + length }
}

#[tracked]
fn boxed_by_hand(length: usize) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    let more = length + 1;
    Box::pin(async move { hold(line!() - 1, 806).await.len() + more })
}

#[test]
fn futures_made_by_others() {
    assert_eq!(with_main::main(), 803);
    assert_row("main", TaskType::Unspecified, 803);
    assert_eq!(with_main::main_below(), 804);
    assert_row("main below", TaskType::Unspecified, 804);
    assert_eq!(block_on(by_hand(1)), 806);
    let row = site("by_hand");
    assert_eq!((row.completed, row.allocated_bytes, row.line), (1, 805, LINE.get()));
    assert_eq!(block_on(boxed_by_hand(1)), 808);
    assert_row("boxed_by_hand", TaskType::Unspecified, 806);
}

#[tracked(task_type = "network")]
async fn handler(
    axum::extract::State(number): axum::extract::State<Arc<usize>>,
    axum::extract::Path(id): axum::extract::Path<usize>,
    body: String,
) -> Result<String, axum::http::StatusCode> {
    if id == 0 {
        return Err(axum::http::StatusCode::NOT_FOUND);
    }
    tokio::task::yield_now().await;
    Ok(format!("{number} {id} {body}"))
}

#[tokio::test]
async fn axum_handlers() {
    use futures::FutureExt as _;
    let router: axum::Router =
        axum::Router::new().route("/{id}", axum::routing::post(handler)).with_state(Arc::new(7));
    drop(router);
    let spawned = tokio::spawn(handler(
        axum::extract::State(Arc::new(7)),
        axum::extract::Path(1),
        "body".to_owned(),
    ));
    assert_eq!(spawned.map(|joined| joined.expect("no panic")).await, Ok("7 1 body".to_owned()));
    assert_eq!(
        (site("handler").completed, site("handler").task_type),
        (1, TaskType::NetworkIntensive)
    );
}

#[test]
fn futures_are_send_as_the_plain_ones() {
    #[tracked]
    async fn not_sync(cell: Cell<u8>, refs: RefCell<String>, unused: Cell<u8>) -> u8 {
        hold(line!(), 1).await;
        drop((refs, unused));
        cell.get()
    }
    #[tracked]
    async fn not_send_but_dropped(count: &str) -> usize {
        let shared = Rc::new(count.len());
        let length = *shared;
        drop(shared);
        length
    }
    assert_eq!(
        block_on(assert_send(not_sync(Cell::new(1), RefCell::new(String::new()), Cell::new(2)))),
        1
    );
    assert_eq!(block_on(assert_send(not_send_but_dropped("ab"))), 2);
}

/// Names of the user that are also names in the expansion, and macros that write functions.
mod hygiene {
    #![allow(
        non_camel_case_types,
        dead_code,
        non_upper_case_globals,
        reason = "they only have to be in the way"
    )]

    use memscope_macros::tracked as renamed;

    struct Future;
    struct Result;
    struct Option;
    struct Some;
    struct None;
    struct Callsite;
    struct TaskType;
    struct Infallible;
    trait Send {}
    const track: u8 = 1;
    const output: u8 = 2;
    const __MEMSCOPE_CALLSITE: u8 = 3;
    mod core {}
    mod std {}
    mod memscope_rs {}
    mod __private {}

    #[renamed(name = "in the way")]
    pub async fn in_the_way(
        callsite: u8,
        future: String,
        body: String,
        r#async: u8,
        __memscope_arg1: String,
    ) -> usize {
        let sum = callsite + output + track + __MEMSCOPE_CALLSITE + r#async;
        future.len() + body.len() + usize::from(sum) + __memscope_arg1.len()
    }

    pub use ::memscope_rs as reexport;

    macro_rules! make {
        ($(#[$attribute:meta])* $visibility:vis $name:ident($argument:ident: $ty:ty) -> $output:ty $body:block) => {
            $(#[$attribute])*
            #[renamed(name = "made", crate = $crate::macro_forms::hygiene::reexport)]
            $visibility async fn $name($argument: $ty, hidden: u8, _other: u8) -> $output {
                let _ = hidden;
                let result = $body;
                result
            }

            mod inner {
                #[::memscope_macros::tracked(name = "made twice", crate = crate::macro_forms::hygiene::reexport)]
                $visibility async fn $name($argument: $ty) -> $output $body
            }
        };
    }
    make!(#[allow(clippy::ptr_arg, reason = "a reference to something")] pub made(value: &Vec<u8>) -> &Vec<u8> { value });

    pub async fn both(value: &Vec<u8>) -> usize {
        made(value, 1, 2).await.len() + inner::made(value).await.len()
    }
}

#[test]
fn names_of_the_user_do_not_clash() {
    assert_eq!(block_on(hygiene::in_the_way(1, "ab".into(), "c".into(), 4, "defg".into())), 18);
    assert_eq!(site("in the way").completed, 1);
    assert_eq!(block_on(hygiene::both(&vec![1, 2])), 4);
    assert_eq!((site("made").completed, site("made twice").completed), (1, 1));
}
