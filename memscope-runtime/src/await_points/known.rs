//! The types that a walk may enter, and the fields to which it may go on. `pollers` lists them.

use std::slice;

use memscope_layout::{Field, FutureType, Layouts, Select, Shape, TypeId, Variant};

use super::{
    pollers::{
        CONNECTION, FLATTENED, FUSE, FUSED_STREAM, INSTRUMENTED, OF_FUSED_STREAMS, POLLERS,
        SOURCED, Sourced, TWO_STREAMS, UNORDERED, WITH_ITEMS,
    },
    tuple,
};

/// The fields of a type to which a walk may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// All that lead to futures. The type is a part of the value that it stands in, whose rule
    /// counts.
    Part,
    /// These, which the type polls.
    Polls(&'static [&'static str]),
    /// The type was written by hand, by the program's authors or in a crate that was not read.
    ByHand,
}

/// Types of the standard library that are only what they are made of. What is in the last two may
/// be dropped or shared: a walk ends there.
const PARTS: [&str; 6] = [
    "core::mem::maybe_dangling::MaybeDangling",
    "core::option::Option",
    "core::panic::unwind_safe::AssertUnwindSafe",
    "core::pin::Pin",
    "core::cell::UnsafeCell",
    "core::mem::manually_drop::ManuallyDrop",
];

/// Functions that wait until another task says something or a time is over, each by the start and
/// the end of its path; between them is the number of an `impl`. Beside the work that they may end
/// they count as `Notified` and `Sleep` do, which have no state machine.
///
/// Each was read in the source of the version named above it: it awaits nothing but that signal.
const SIGNALS: [(&str, &str); 3] = [
    // tokio 1.54: a channel's other side changes its value, or goes away.
    ("tokio::sync::watch::", "::changed::{async_fn_env#0}"),
    ("tokio::sync::watch::", "::closed::{async_fn_env#0}"),
    // tonic 0.14: the age at which a connection is closed.
    ("tonic::transport::server::", "connection_timeout_future::{async_fn_env#0}"),
];

/// A type's path, without its generic arguments.
fn path(future: &FutureType) -> &str {
    future.name.split('<').next().unwrap_or_default()
}

/// Whether what a type polls is alive as long as its value, even in a `ManuallyDrop`.
pub(super) fn drops_last(future: &FutureType) -> bool {
    path(future) == INSTRUMENTED
}

/// Whether the type is a closure.
fn is_closure(future: &FutureType) -> bool {
    path(future).rsplit("::").next().is_some_and(|it| it.starts_with("{closure_env#"))
}

/// The rule of a struct or an enum.
pub(super) fn rule(layouts: &Layouts, future: &FutureType) -> Rule {
    let path = path(future);
    // Tuples are only what they are made of.
    if path.starts_with('(') || PARTS.contains(&path) {
        return Rule::Part;
    }
    if let Some((_, fields)) = POLLERS.iter().find(|it| it.0 == path) {
        return Rule::Polls(fields);
    }
    if let Some(Sourced { fields, .. }) = sourced(future) {
        return Rule::Polls(fields);
    }
    if let Some(known) = SOURCED.iter().find(|it| it.path == path && it.is_ready(&future.name)) {
        return Rule::Polls(slice::from_ref(&known.source));
    }
    closure(layouts, future).unwrap_or(Rule::ByHand)
}

/// The fields of a type that has a source, if its layout has that for the future.
///
/// Without, what is between two items leads to no function, as a timer. So it is not known whether
/// that is waited for, or the source.
pub(super) fn sourced(future: &FutureType) -> Option<&'static Sourced> {
    let Shape::Struct(fields) = &future.shape else { return None };
    let known = SOURCED.iter().find(|it| it.path == path(future))?;
    fields.iter().any(|it| known.fields.contains(&&*it.name)).then_some(known)
}

/// The rule of a closure that a macro has made; `None` for any other. The others are written by
/// hand, and so is what they do with their captures.
fn closure(layouts: &Layouts, future: &FutureType) -> Option<Rule> {
    const SELECT: Rule = Rule::Polls(&["_ref__futures"]);
    const JOIN: Rule = Rule::Polls(&["futures"]);
    if future.select == Some(Select::OfTokio) {
        return Some(SELECT);
    }
    if is_of_futures(layouts, future) {
        return Some(Rule::Part);
    }
    // `tokio::join!` keeps its futures in a type that no other code can name.
    let Shape::Struct(fields) = &future.shape else { return None };
    let [field] = &fields[..] else { return None };
    let Shape::Pointer { to, .. } = layouts.future_type(field.future_type)?.shape else {
        return None;
    };
    let Shape::Struct(futures) = &layouts.future_type(to)?.shape else { return None };
    let is_joined = |it: &Field| layouts.future_type(it.future_type).is_some_and(is_joined);
    (is_closure(future) && &*field.name == "futures" && futures.iter().all(is_joined))
        .then_some(JOIN)
}

/// Whether this is the closure of a macro of futures-util, which polls all of its futures that are
/// not over: of `select!`, `join!` or `try_join!`. The last two have nothing but futures, under
/// names and numbers that the macro gives them; those without functions are not among the fields.
pub(super) fn is_of_futures(layouts: &Layouts, future: &FutureType) -> bool {
    let Shape::Struct(fields) = &future.shape else { return false };
    let inside = |field: &Field| layouts.future_type(inside_pointers(layouts, field.future_type));
    if future.select == Some(Select::OfFutures) {
        // It passes over a future that is terminated. A `Fuse` has dropped its own then. The source
        // of a stream such as `TakeUntil` may still wait.
        return fields.iter().all(|it| inside(it).is_some_and(|it| ends_when_over(layouts, it)));
    }
    let is_joined = |(at, field): (usize, &Field)| {
        let number = field.name.strip_prefix("_fut").and_then(|it| it.parse::<usize>().ok());
        number >= Some(at) && inside(field).is_some_and(|it| MAYBE_DONE.contains(&path(it)))
    };
    is_closure(future) && !fields.is_empty() && fields.iter().enumerate().all(is_joined)
}

/// Whether a future that is terminated is known to wait for nothing: it has dropped its own, or is
/// of a stream that says that it is over.
fn ends_when_over(layouts: &Layouts, future: &FutureType) -> bool {
    let Shape::Struct(fields) = &future.shape else { return path(future) == FUSE };
    let [stream] = &fields[..] else { return path(future) == FUSE };
    let stream = layouts.future_type(inside_pointers(layouts, stream.future_type));
    path(future) == FUSE
        || OF_FUSED_STREAMS.contains(&path(future))
            && stream.is_some_and(|it| [FUSED_STREAM, UNORDERED].contains(&path(it)))
}

/// Whether all that a type has beside its sink are items that were given to it, which it does not
/// wait for. An item may be a future itself.
pub(super) fn has_only_items_besides(future: &FutureType) -> bool {
    let Shape::Struct(fields) = &future.shape else { return false };
    WITH_ITEMS.contains(&path(future)) && fields.iter().all(|it| &*it.name == "sink")
}

/// Whether a macro's closure polls more futures than these: some that lead to no function. It
/// borrows each.
pub(super) fn has_more_than(layouts: &Layouts, future: &FutureType, count: usize) -> bool {
    let all = size_of::<usize>().saturating_mul(count) as u64;
    is_of_futures(layouts, future) && future.size.is_some_and(|size| size > all)
}

/// Whether a listed type is over in this variant. One of a join has there what its future has
/// returned. That may be a future, too, but the type does not poll it. The field has the name of
/// the one that it polls.
pub(super) fn is_output(future: &FutureType, variant: &str) -> bool {
    (may_be_over(future) || path(future) == FUSED_STREAM) && variant == "Done"
}

/// Whether the type polls two fields in this variant, one of which may lead to no function.
pub(super) fn polls_two(future: &FutureType, variant: &Variant) -> bool {
    const TWO: [(&str, &str); 2] = [(TWO_STREAMS, "Start"), (FLATTENED, "Asks")];
    TWO.contains(&(path(future), &*variant.name))
}

/// Whether the type waits for what is no future while it has none.
pub(super) fn waits_itself(future: &FutureType) -> bool {
    path(future) == CONNECTION
}

/// Whether what the type holds is all of a single field.
pub(super) fn is_option(future: &FutureType) -> bool {
    path(future) == "core::option::Option"
}

/// The futures of a `join` of futures-util, which may be over.
const MAYBE_DONE: [&str; 2] = [
    "futures_util::future::maybe_done::MaybeDone",
    "futures_util::future::try_maybe_done::TryMaybeDone",
];

/// How many fields the type polls at each poll and may wait for. Debug information may have layouts
/// of some only.
pub(super) fn polls(future: &FutureType) -> usize {
    let rule = POLLERS.iter().find(|it| it.0 == path(future));
    let is_struct = matches!(future.shape, Shape::Struct(_));
    let Some((_, fields)) = rule.filter(|_| is_struct) else { return 0 };
    // The first argument of these types is the stream.
    let source = future.name.split_once('<').filter(|_| fields.first() == Some(&"stream"));
    fields.len().saturating_sub(source.is_some_and(|it| !may_wait(it.1)).into())
}

impl Sourced {
    /// Whether what a type of this name makes of an item never waits.
    fn is_ready(&self, name: &str) -> bool {
        let arguments = name.split_once('<').and_then(|it| it.1.strip_suffix('>'));
        let arguments = arguments.map(tuple::arguments).unwrap_or_default();
        arguments.get(self.argument).is_some_and(|it| !may_wait(it))
    }
}

/// Streams that always have an item or are over, and futures that have their output.
const READY: [&str; 5] = [
    "core::future::ready::Ready",
    "futures_util::future::ready::Ready",
    "futures_util::stream::iter::Iter",
    "futures_util::stream::repeat::Repeat",
    "futures_util::stream::repeat_with::RepeatWith",
];

/// Streams that wait for nothing but another stream, which is their first argument.
const OF_A_STREAM: [&str; 9] = [
    "futures_util::stream::stream::enumerate::Enumerate",
    "futures_util::stream::stream::fuse::Fuse",
    "futures_util::stream::stream::Inspect",
    "futures_util::stream::stream::map::Map",
    "futures_util::stream::stream::skip::Skip",
    "futures_util::stream::stream::take::Take",
    "futures_util::stream::try_stream::into_stream::IntoStream",
    "futures_util::stream::try_stream::MapErr",
    "futures_util::stream::try_stream::MapOk",
];

/// Whether a stream or a future of this type may wait.
pub(super) fn may_wait(mut name: &str) -> bool {
    loop {
        let (path, arguments) = name.split_once('<').unwrap_or((name, ""));
        if !OF_A_STREAM.contains(&path) {
            return !READY.contains(&path);
        }
        name = arguments;
    }
}

/// The variant that a type of [`may_be_over`] is in as long as it is not over.
pub(super) const JOINED_FUTURE: &str = "Future";

/// Whether the type is one of the futures of a join, which may be over.
pub(super) fn may_be_over(future: &FutureType) -> bool {
    is_joined(future) || MAYBE_DONE.contains(&path(future))
}

/// Whether the type is one of the futures of a `tokio::join!`, which no other code can name.
fn is_joined(future: &FutureType) -> bool {
    path(future) == "tokio::future::maybe_done::MaybeDone"
}

/// The future in such a type.
pub(super) fn joined_future(layouts: &Layouts, id: TypeId) -> Option<TypeId> {
    let future = layouts.future_type(id).filter(|it| may_be_over(it))?;
    let Shape::Enum { variants, .. } = &future.shape else { return None };
    let variant = variants.iter().find(|it| &*it.name == JOINED_FUTURE)?;
    Some(variant.fields.first()?.future_type)
}

/// The future behind pointers and in types that are only what they are made of.
pub(super) fn inside(layouts: &Layouts, id: TypeId) -> TypeId {
    let id = inside_pointers(layouts, id);
    joined_future(layouts, id).map_or(id, |joined| inside_pointers(layouts, joined))
}

/// The same up to one of the futures of a join.
fn inside_pointers(layouts: &Layouts, mut id: TypeId) -> TypeId {
    /// The most of them.
    const MOST: u32 = 8;

    for _ in 0..MOST {
        let Some(future) = layouts.future_type(id) else { return id };
        id = match &future.shape {
            Shape::Pointer { to, .. } => *to,
            Shape::Struct(fields) => match &fields[..] {
                [field] if PARTS.contains(&path(future)) => field.future_type,
                _ => return id,
            },
            _ => return id,
        };
    }
    id
}

/// Whether all that a value of this type can wait for is a signal.
pub(super) fn is_signal(layouts: &Layouts, id: TypeId) -> bool {
    /// The most wrappers around one.
    const MOST: u32 = 8;
    fn leads_to_signals(layouts: &Layouts, id: TypeId, depth: u32) -> bool {
        let Some(future) = layouts.future_type(id).filter(|it| depth < MOST && !may_be_over(it))
        else {
            return false;
        };
        let all = |fields: &[Field]| {
            fields.iter().all(|it| leads_to_signals(layouts, it.future_type, depth + 1))
        };
        match &future.shape {
            Shape::Coroutine(_) => {
                let path = path(future);
                SIGNALS.iter().any(|it| path.starts_with(it.0) && path.ends_with(it.1))
            }
            Shape::Pointer { to, .. } => leads_to_signals(layouts, *to, depth + 1),
            _ if rule(layouts, future) == Rule::ByHand => false,
            Shape::Struct(fields) => all(fields),
            Shape::Enum { variants, .. } => variants.iter().all(|it| all(&it.fields)),
            _ => false,
        }
    }
    leads_to_signals(layouts, id, 0)
}

/// The paths of the wrappers that are memscope's own.
#[cfg(all(test, feature = "layout", feature = "stream", feature = "tower"))]
pub(crate) fn own_wrappers() -> Vec<&'static str> {
    let paths = POLLERS.iter().map(|(path, _)| *path);
    paths.filter(|path| path.starts_with("memscope_runtime::")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_what_is_at_hand_never_waits() {
        const ITER: &str = "futures_util::stream::iter::Iter<core::ops::range::Range<u8>>";
        let map = |of: &str| format!("futures_util::stream::stream::map::Map<{of}, app::F>");
        for (name, expected) in [
            (ITER.to_owned(), false),
            (map(ITER), false),
            (map(&map(ITER)), false),
            (map("tokio_stream::wrappers::ReceiverStream<u8>"), true),
            (format!("app::Map<{ITER}>"), true),
            ("futures_util::stream::stream::map::Map".to_owned(), true),
        ] {
            assert_eq!(may_wait(&name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_ready_at_once_leaves_only_the_source_to_wait_for() {
        let known = |end: &str| SOURCED.iter().find(|it| it.path.ends_with(end)).expect("listed");
        let filter = |future: &str| format!("a::Filter<app::Source<u8, u8>, {future}, app::F>");
        assert!(known("::Filter").is_ready(&filter("core::future::ready::Ready<bool>")));
        assert!(!known("::Filter").is_ready(&filter("app::Wait")));
        let chain = |first: &str| format!("a::Chain<{first}, futures_util::stream::iter::Iter<I>>");
        assert!(known("::Chain").is_ready(&chain("futures_util::stream::iter::Iter<I>")));
        assert!(!known("::Chain").is_ready(&chain("app::Source")));
        assert!(!known("::Chain").is_ready("a::Chain<futures_util::stream::iter::Iter<I>…"));
    }

    #[test]
    fn each_wrapper_is_listed_once_by_a_whole_path() {
        for (at, (path, fields)) in POLLERS.iter().enumerate() {
            assert!(!fields.is_empty(), "{path}");
            let (own_crate, name) = path.split_once("::").expect("a crate");
            assert!(own_crate.starts_with(|it: char| it.is_lowercase()), "{path}");
            let last = name.rsplit("::").next().expect("a name");
            assert!(last.starts_with(|it: char| it.is_uppercase()), "{path}");
            assert!(!POLLERS[..at].iter().any(|it| it.0 == *path), "{path} is there twice");
        }
    }
}
