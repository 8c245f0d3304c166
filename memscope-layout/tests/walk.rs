//! A program reads where its own futures wait: through wrappers, enums, pinned variables, boxes and
//! trait objects.
//!
//! The runtime does the same. It needs debug information, which test builds contain unless they are
//! optimised.
#![cfg(all(target_os = "linux", debug_assertions))]
#![expect(unsafe_code, reason = "it reads its own futures, byte by byte")]

use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    hint::black_box,
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{self, AtomicU8},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use memscope_layout::{Discriminant, Layouts, Shape, TypeId};

static LAYOUTS: LazyLock<Layouts> = LazyLock::new(|| Layouts::read("/proc/self/exe").unwrap());

/// Returns the address of the program's first byte.
fn first_byte() -> u64 {
    unsafe extern "C" {
        #[link_name = "__ehdr_start"]
        static FIRST: u8;
    }
    (&raw const FIRST).addr() as u64
}

fn read(start: *const u8, offset: u64, size: u64) -> u64 {
    let bytes = (0..size).map(|at| {
        // SAFETY: the future has these bytes according to its layout, and it is not polled
        // meanwhile.
        unsafe { start.wrapping_add(usize::try_from(offset + at).unwrap()).read_volatile() }
    });
    bytes.enumerate().fold(0, |sum, (at, byte)| sum | u64::from(byte) << (8 * at))
}

fn discriminant(start: *const u8, it: Discriminant) -> u64 {
    read(start, it.offset, it.size)
}

/// Returns the type behind a vtable. The second word of a vtable is the size.
fn behind(vtable: u64) -> Option<TypeId> {
    let size = read(std::ptr::with_exposed_provenance(usize::try_from(vtable).unwrap()), 8, 8);
    LAYOUTS.by_vtable(vtable - first_byte() + LAYOUTS.base_address(), size)
}

/// Collects where the value at `start` waits: the lines, and finally the name of the type without a
/// layout.
fn walk(id: TypeId, start: *const u8, found: &mut Vec<String>) {
    let future = LAYOUTS.future_type(id).unwrap();
    let at = |offset: u64| start.wrapping_add(usize::try_from(offset).unwrap());
    let to = |address: u64| std::ptr::with_exposed_provenance(usize::try_from(address).unwrap());
    let fields = match &future.shape {
        Shape::Coroutine(index) => {
            let coroutine = &LAYOUTS.coroutines()[*index];
            let state = coroutine.state(discriminant(start, coroutine.discriminant.unwrap()));
            if let Some(awaited) = state.unwrap().awaited() {
                found.push(state.unwrap().place.as_ref().unwrap().line.to_string());
                return walk(awaited.future_type.unwrap(), at(awaited.offset), found);
            }
            return;
        }
        Shape::Pointer { to: id, .. } => return walk(*id, to(read(start, 0, 8)), found),
        Shape::TraitObject { data_offset, vtable_offset, .. } => {
            let id = behind(read(start, *vtable_offset, 8)).expect("a vtable of this program");
            return walk(id, to(read(start, *data_offset, 8)), found);
        }
        Shape::Struct(fields) => fields,
        Shape::Enum { discriminant: it, .. } => {
            let value = it.map_or(0, |it| discriminant(start, it));
            &future.variant(value).unwrap().fields
        }
        _ => return found.push(future.name.to_string()),
    };
    match &fields[..] {
        [field] if field.is_certain => walk(field.future_type, at(field.offset), found),
        _ => found.push(format!("{} of {}", fields.len(), future.name)),
    }
}

/// Returns the first byte of a future, and its type.
fn look<F: Future>(future: &F) -> (*const u8, TypeId) {
    let object: *const dyn Future<Output = F::Output> = &raw const *future;
    // SAFETY: a pointer to a trait object consists of these two addresses.
    let [start, vtable] = unsafe {
        std::mem::transmute::<*const dyn Future<Output = F::Output>, [*const u8; 2]>(object)
    };
    (start, behind(vtable.expose_provenance() as u64).unwrap())
}

/// Polls the future once, and returns where it then waits.
fn waits<F: Future>(future: F) -> Vec<String> {
    let mut future = pin!(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let (start, id) = look(&*future);
    let mut found = Vec::new();
    walk(id, start, &mut found);
    found
}

struct Never;

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

struct Wrapper<F> {
    _name: &'static str,
    inner: F,
}

impl<F: Future> Future for Wrapper<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned together with the whole value.
        unsafe { self.map_unchecked_mut(|it| &mut it.inner) }.poll(cx)
    }
}

#[expect(dead_code, reason = "only one variant is ever made")]
enum Arm<F: Future> {
    Done(F::Output),
    Runs(F),
}

impl<F: Future> Future for Arm<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the field is pinned together with the whole value.
        match unsafe { self.get_unchecked_mut() } {
            // SAFETY: as above.
            Self::Runs(future) => unsafe { Pin::new_unchecked(future) }.poll(cx).map(drop),
            Self::Done(_) => Poll::Ready(()),
        }
    }
}

const LEAF: u32 = line!() + 2;
async fn leaf() {
    Never.await;
}

fn lines(lines: &[u32]) -> Vec<String> {
    let last = ["walk::Never".to_owned()];
    lines.iter().map(u32::to_string).chain(last).collect()
}

#[test]
fn a_chain_of_awaits_is_followed_through_wrappers_and_enums() {
    let line = line!() + 1;
    let future = async { Wrapper { _name: "w", inner: Arm::Runs(leaf()) }.await };
    assert_eq!(waits(future), lines(&[line, LEAF]));
}

#[test]
fn a_box_and_a_trait_object_lead_to_what_is_in_them() {
    let line = line!() + 2;
    let future = async {
        Box::pin(async {
            let object: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(leaf());
            object.await;
        })
        .await;
    };
    assert_eq!(waits(future), lines(&[line + 4, line + 2, LEAF]));
}

#[test]
fn a_pinned_variable_is_found_behind_the_reference_to_it() {
    let line = line!() + 3;
    let future = async {
        let mut inner = pin!(leaf());
        (&mut inner).await;
    };
    assert_eq!(waits(future), lines(&[line, LEAF]));
}

#[test]
fn futures_side_by_side_are_where_the_walk_ends() {
    let future = async {
        let (mut one, mut two) = (pin!(leaf()), pin!(leaf()));
        poll_fn(|cx| match one.as_mut().poll(cx) {
            Poll::Pending => two.as_mut().poll(cx),
            Poll::Ready(()) => Poll::Ready(()),
        })
        .await;
    };
    let found = waits(future);
    assert!(found.last().unwrap().starts_with("2 of walk::"), "{found:?}");
}

/// A value beside a future.
struct Beside<B, F>(B, F);

impl<B, F> Future for Beside<B, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box((&self.0, &self.1));
        Poll::Pending
    }
}

/// Returns `true` if a future with this value beside it is plain.
fn is_plain<B>(beside: B) -> bool {
    let (_, id) = look(&Beside(beside, leaf()));
    LAYOUTS.future_type(id).unwrap().is_plain_besides
}

#[test]
fn what_has_numbers_and_text_is_plain_besides_its_futures() {
    let number = AtomicU8::new(0);
    assert!(is_plain(()));
    assert!(is_plain((1_u8, 'c', true, 1.5_f32)));
    assert!(is_plain([Some(Duration::from_secs(1)); 2]));
    assert!(is_plain(("text", String::new(), Instant::now())));
    assert!(is_plain(Ordering::Less));
    assert!(is_plain(PhantomData::<Rc<u8>>));
    assert!(is_plain(leaf as fn() -> _));
    assert!(is_plain(Box::pin(leaf())), "a future itself");

    assert!(!is_plain(AtomicU8::new(0)));
    assert!(!is_plain(&number));
    assert!(!is_plain(&raw const number));
    assert!(!is_plain([(1, Some(Rc::new(1)))]));
    assert!(!is_plain(PhantomPinned));
    assert!(!is_plain(Vec::<u8>::new()), "it has a pointer");
    assert!(!is_plain(MaybeUninit::<u8>::uninit()));
    assert!(!is_plain(|| number.load(atomic::Ordering::Relaxed)), "it captures");
}

/// Returns `true` if nothing in a future with this value beside it may be waited for.
fn is_data<B>(beside: B) -> bool {
    let (_, id) = look(&Beside(beside, leaf()));
    LAYOUTS.future_type(id).unwrap().is_data_besides
}

#[test]
fn what_is_polled_may_be_waited_for_and_data_of_the_library_may_not() {
    /// A future without a state machine.
    struct Turn(bool);
    impl Future for Turn {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(pin!(Turn(true)).poll(&mut context), Poll::Ready(()));

    assert!(is_data(()));
    assert!(is_data((1_u8, Some(Duration::from_secs(1)), "text", PhantomData::<Turn>)));
    assert!(is_data((Instant::now(), Ordering::Less, leaf as fn() -> _)));
    assert!(is_data(|| 1), "a closure");
    assert!(is_data(Box::pin(leaf())), "a future itself");
    assert!(is_data((Rc::new(1), Arc::<str>::from("a"), Vec::<Option<u8>>::new(), PhantomPinned)));
    assert!(is_data((HashMap::<u8, String>::new(), VecDeque::<u8>::new(), Box::<[u8]>::from([]))));
    assert!(is_data((&mut 1, &Ordering::Less, &[1_u8][..])));

    assert!(!is_data(Turn(true)));
    assert!(is_plain(Turn(true)));
    assert!(!is_data(Some([(1, Turn(true))])));
    assert!(!is_data(vec![Turn(true)]));
    assert!(!is_data(&mut Turn(true)));
    assert!(!is_data(std::future::pending::<()>()));
    assert!(!is_data(Arc::new(Mutex::new(1))), "another thread may change it");
    assert!(!is_data(&raw const *LAYOUTS));
    assert!(!is_data(Waker::noop().clone()));
}

/// Returns `true` if all functions in a future with this value beside it are known.
fn is_closed<B>(beside: B) -> bool {
    let (_, id) = look(&Beside(beside, leaf()));
    LAYOUTS.future_type(id).unwrap().is_closed_besides
}

#[test]
fn what_may_have_functions_is_told_from_what_has_none() {
    #[expect(dead_code, reason = "only its layout is looked at")]
    struct Jobs {
        all: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    }
    #[expect(dead_code, reason = "only its layout is looked at")]
    struct Counts {
        all: Vec<Arc<Mutex<u8>>>,
        why: Option<Box<dyn std::error::Error>>,
    }
    fn jobs() -> Vec<Pin<Box<dyn Future<Output = ()>>>> {
        Vec::new()
    }

    assert!(is_closed((1, String::new(), Arc::new(Mutex::new(Some(1))))));
    assert!(is_closed(Counts { all: Vec::new(), why: None }));
    assert!(is_closed(Waker::noop().clone()));
    assert!(is_closed(std::sync::mpsc::channel::<u8>()));

    assert!(!is_closed(jobs()));
    assert!(!is_closed(Jobs { all: jobs() }));
    assert!(!is_closed(Arc::new(Mutex::new(leaf()))));
    assert!(!is_closed([Some(vec![leaf()])]));
    assert!(!is_closed(Box::new(|| 1_u8) as Box<dyn Fn() -> u8>));
}

#[test]
fn a_variant_says_what_it_has_beside_a_future() {
    #[expect(dead_code, reason = "only its layout is looked at")]
    enum Steps<F> {
        Calls(F, u8),
        Waits(F, Waker),
        Over(Vec<Waker>),
    }
    impl<F> Future for Steps<F> {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    let (_, id) = look(&Steps::Calls(leaf(), 1));
    let steps = LAYOUTS.future_type(id).unwrap();
    let Shape::Enum { variants, .. } = &steps.shape else { panic!("{steps:?}") };
    let of = |name: &str| variants.iter().find(|it| &*it.name == name).unwrap().is_data_besides;
    assert_eq!((of("Calls"), of("Waits"), of("Over")), (true, false, false));
    assert!(!steps.is_data_besides);
}

#[test]
fn a_variable_with_the_name_of_what_is_awaited_makes_that_unknown() {
    let (_, id) = look(&async {
        let __awaitee = 1_u64;
        leaf().await;
        black_box(&__awaitee);
    });
    let Shape::Coroutine(index) = LAYOUTS.future_type(id).unwrap().shape else { panic!("{id:?}") };
    let state = LAYOUTS.coroutines()[index].suspended().next().unwrap();
    assert!(state.members.iter().any(|it| &*it.name == "__awaitee"), "{state:#?}");
    assert_eq!(state.awaited(), None);
}
