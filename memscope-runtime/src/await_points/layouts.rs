//! The layouts of the program's futures, read from its debug information.

use std::{collections::HashMap, env, fs, path::PathBuf};

use memscope_layout::{Coroutine, Held, Layouts, Member, MemberKind, Shape, State, TypeId};

use super::function_name::function;
use crate::{
    alloc::current::exempt,
    model::{LocalProfile, StateMachine, WidestState, text},
    primitives::{Once, order},
};

/// The most state machines that are kept: the largest.
const MOST_MACHINES: usize = 4_096;
/// The most values of one state that are shown: the largest.
const MOST_LOCALS: usize = 5;
/// The most characters of a type's name.
const MOST_NAME: usize = 120;
/// The most characters of the reason why there are no layouts: it contains paths.
const MOST_WHY: usize = 1_024;

/// All layouts, if await points were turned on. They are kept as long as the process lives.
static KEPT: Once<Result<Layouts, String>> = Once::new();

/// The size and the state machine of each type, by the offset of its vtable in the image.
type Machines = HashMap<u64, (u64, Result<StateMachine, &'static str>)>;

/// What the rows of sites show of state machines.
static MACHINES: Once<Result<Machines, String>> = Once::new();

/// Reads the layouts at the first call, and keeps them.
pub(crate) fn keep() -> Result<&'static Layouts, &'static str> {
    let kept = KEPT.get_or_init(|| exempt(read));
    kept.as_ref().map_err(String::as_str)
}

/// Keeps these layouts, of another program. Returns false if those of another build are kept
/// already, or none could be read.
pub(crate) fn keep_these(layouts: Layouts) -> bool {
    let build = layouts.build_id().map(str::to_owned);
    let kept = KEPT.get_or_init(|| Ok(layouts));
    build.is_some() && kept.as_ref().is_ok_and(|kept| kept.build_id() == build.as_deref())
}

/// The layouts, if they were asked for and could be read.
pub(crate) fn kept() -> Option<&'static Layouts> {
    KEPT.get()?.as_ref().ok()
}

/// Whether the layouts could be read; `None` if they were not asked for.
pub(crate) fn asked() -> Option<Result<(), &'static str>> {
    Some(KEPT.get()?.as_ref().map(|_| ()).map_err(String::as_str))
}

/// The state machine of a future, by the offset of its vtable in the image; or why it is not known.
/// The first call reads the program's file.
pub(crate) fn state_machine(vtable: u64, size: u64) -> Result<StateMachine, String> {
    let machines = MACHINES.get_or_init(|| {
        exempt(|| match KEPT.get() {
            Some(kept) => kept.as_ref().map(machines).map_err(Clone::clone),
            // The layouts that are read here are freed at the end of this arm.
            None => read().map(|layouts| machines(&layouts)),
        })
    });
    let machines = machines.as_ref().map_err(Clone::clone)?;
    match machines.get(&vtable) {
        None => Err(NOT_IN_DEBUG_INFORMATION.to_owned()),
        Some((known, _)) if *known != size => Err(format!(
            "the sizes do not agree: {size} bytes in the program, {known} in its debug information"
        )),
        Some((_, machine)) => machine.clone().map_err(str::to_owned),
    }
}

const NOT_IN_DEBUG_INFORMATION: &str = "debug information does not have this type: the crate that makes the future has to be built with `debug = 2` as well";

fn read() -> Result<Layouts, String> {
    Layouts::read(path()).map_err(|error| {
        if error.lacks_debug_info() {
            return "the program has no debug information about types: build it with `debug = 2` in its profile, or once with \
                    CARGO_PROFILE_RELEASE_DEBUG=2 CARGO_PROFILE_RELEASE_STRIP=none"
                .to_owned();
        }
        text::start(&error.to_string().replace('\n', " "), MOST_WHY).into_owned()
    })
}

/// The path of the program: split debug information is found beside it. If another file is at that
/// path by now, this is the link to the running program.
fn path() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    match env::current_exe() {
        Ok(path) if is_same(&path, &running) => path,
        Ok(_) | Err(_) => running,
    }
}

#[cfg(unix)]
fn is_same(one: &PathBuf, other: &PathBuf) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|it| Some(it) == identity(other))
}

#[cfg(not(unix))]
fn is_same(one: &PathBuf, other: &PathBuf) -> bool {
    fs::exists(other).is_ok_and(|is| !is) && fs::exists(one).is_ok_and(|is| is)
}

fn machines(layouts: &Layouts) -> Machines {
    let types = layouts.vtables().map(|(address, id)| (address - layouts.base_address(), id));
    let size = |id: Option<TypeId>| id.and_then(|id| layouts.future_type(id)?.size).unwrap_or(0);
    let mut types: Vec<_> = types.map(|(vtable, id)| (vtable, id, size(id))).collect();
    order::by_key(&mut types, |&(vtable, _, size)| (std::cmp::Reverse(size), vtable));
    types.truncate(MOST_MACHINES);
    types
        .into_iter()
        .map(|(vtable, id, size)| {
            let machine = id.ok_or("several types of future share its vtable");
            let machine = machine.and_then(|id| coroutine_in(layouts, id));
            (vtable, (size, machine.map(state_machine_of)))
        })
        .collect()
}

/// The state machine that a future is, or the only one that it has.
fn coroutine_in(layouts: &Layouts, id: TypeId) -> Result<&Coroutine, &'static str> {
    let index = if let Some(Shape::Coroutine(index)) = layouts.future_type(id).map(|it| &it.shape) {
        *index
    } else {
        let mut children = layouts.children_of(id, 0);
        children.retain(|child| child.held != Held::Borrowed);
        match &children[..] {
            [] => return Err("no state machine is known to be in it: it is written by hand"),
            [child] => child.coroutine,
            [..] => return Err("it has several state machines side by side"),
        }
    };
    layouts.coroutines().get(index).ok_or("no state machine is known to be in it")
}

fn state_machine_of(coroutine: &Coroutine) -> StateMachine {
    StateMachine {
        path: short(&coroutine.path),
        size_bytes: coroutine.size,
        states: coroutine.states.len() as u64,
        widest: coroutine.largest().map(|state| {
            let (file, line) = place_of(state);
            WidestState { file, line, size_bytes: state.extent, locals: locals(state, |_| true) }
        }),
    }
}

/// Where a state waits: file and line, or nothing and 0 if they are not known.
pub(crate) fn place_of(state: &State) -> (String, u32) {
    state
        .place
        .as_ref()
        .map_or_else(Default::default, |place| (text::file(&place.file).into_owned(), place.line))
}

/// The largest values that a state keeps, without the awaited future.
pub(crate) fn locals_of(state: &State) -> Vec<LocalProfile> {
    locals(state, |member| member.kind != MemberKind::Awaited)
}

fn locals(state: &State, is_wanted: fn(&Member) -> bool) -> Vec<LocalProfile> {
    // A temporary of one byte is a drop flag: it says whether another value has to be dropped.
    let is_flag = |it: &Member| it.kind == MemberKind::Temporary && it.size == Some(1);
    let members = state
        .members
        .iter()
        .filter(|it| is_wanted(it) && !is_flag(it) && it.size.is_some_and(|it| it != 0));
    let mut members: Vec<&Member> = members.collect();
    order::by_key(&mut members, |it| (std::cmp::Reverse(it.size), it.offset));
    members.truncate(MOST_LOCALS);
    let local = |member: &Member| {
        let place = member.declared_at.as_ref();
        LocalProfile {
            name: short(&member.name),
            type_name: short(&member.type_name),
            bytes: member.size.unwrap_or(0),
            file: place.map_or_else(String::new, |place| text::file(&place.file).into_owned()),
            line: place.map_or(0, |place| place.line),
        }
    };
    members.into_iter().map(local).collect()
}

/// An offset or a size as memory has it; the largest for what no memory has.
pub(super) fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The name of a type as people write it.
pub(crate) fn written(name: &str) -> String {
    short(&function(name).replace(", alloc::alloc::Global", ""))
}

/// Cuts the middle out of a long name.
pub(crate) fn short(name: &str) -> String {
    let length = name.chars().count();
    if length <= MOST_NAME {
        return name.to_owned();
    }
    let half = MOST_NAME / 2;
    let start = name.chars().take(half);
    start.chain(['…']).chain(name.chars().skip(length + 1 - half)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_ends() {
        assert_eq!(short("app::run"), "app::run");
        let long = format!("start{}end", "é".repeat(500));
        let cut = short(&long);
        assert_eq!(cut.chars().count(), MOST_NAME);
        assert!(cut.starts_with("starté") && cut.contains("é…é") && cut.ends_with("éend"), "{cut}");
    }

    /// Reads the debug information of this test's own program.
    #[cfg(all(target_os = "linux", debug_assertions))]
    #[ignore = "this crate has its types with `debug = 2` in its profile: see ci/tokio_unstable.sh"]
    #[test]
    fn a_join_is_believed_only_where_the_sizes_agree() {
        use crate::{accounting::FutureType, await_points::image};

        fn type_of<F: Future>(_: &F) -> &'static FutureType {
            FutureType::of::<F>()
        }
        let future = async {
            let buffer = [1_u8; 3_000];
            std::future::ready(()).await;
            std::hint::black_box(&buffer);
        };
        let known = type_of(&future);
        let vtable = known.vtable.and_then(|vtable| image::offset_of(vtable())).expect("ELF");
        let machine = state_machine(vtable, known.size as u64).expect("debug information");
        assert_eq!((machine.size_bytes, machine.states), (known.size as u64, 4));
        let widest = machine.widest.expect("it waits");
        assert!(widest.file.ends_with("src/await_points/layouts.rs"), "{widest:?}");
        let buffer = &widest.locals[0];
        assert_eq!(
            (&*buffer.name, &*buffer.type_name, buffer.bytes),
            ("buffer", "[u8; 3000]", 3_000)
        );
        assert_eq!(buffer.line + 1, widest.line);
        let refused = state_machine(vtable, known.size as u64 + 1).expect_err("another size");
        assert!(refused.starts_with("the sizes do not agree: "), "{refused}");
        let elsewhere = state_machine(vtable + 1, known.size as u64).expect_err("no vtable");
        assert_eq!(elsewhere, NOT_IN_DEBUG_INFORMATION);
    }
}
