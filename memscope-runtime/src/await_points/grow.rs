//! Grows the tree: makes a node when a walk first needs it.

use std::{ptr, sync::atomic::AtomicU32};

use memscope_layout::{Layouts, TypeId};

use super::{
    cached_path::{CachedPath, PathCheck},
    image,
    layouts::{self},
    resolve::{Reach, StepKind, resolve},
    tree::{
        MOST_DEPTH, MOST_NODES, MOST_PLACES, NODES, Node, PLACES, PROBES, REFUSED, ROOTS, Root,
        Step, TABLE,
    },
    walk::{self},
    walk_end::WalkEnd,
};
use crate::{
    accounting::FutureType,
    alloc::current::exempt,
    primitives::{StaticRef, arena, sync::Ordering},
};

#[cold]
#[inline(never)]
pub(super) fn find_or_make_root(
    first: usize,
    future: &'static FutureType,
) -> Option<&'static Node> {
    find_or_make_root_in(&TABLE, first, future, |layouts| match join(layouts, future) {
        Ok(id) => resolve(layouts, id, 0, Reach::Everything),
        Err(why) => StepKind::end(WalkEnd::NotJoined(why)),
    })
}

/// Finds the root of a type in this table, or makes it. `first_step`: how a walk begins there.
pub(super) fn find_or_make_root_in(
    table: &'static [StaticRef<Root>; ROOTS],
    first: usize,
    future: &'static FutureType,
    first_step: impl Fn(&Layouts) -> StepKind,
) -> Option<&'static Node> {
    for step in 0..PROBES {
        let place = &table[(first + step) % ROOTS];
        let root = if let Some(root) = place.get() {
            root
        } else {
            let layouts = layouts::kept()?;
            let node = exempt(|| {
                let draft = Draft { future, parent: None, frame: None, value: 0, check: None };
                make(draft, first_step(layouts))
            })?;
            let new = arena::keep(Root { future, node })?;
            match place.set_if_none(new) {
                Ok(()) => return Some(node),
                Err(theirs) => theirs,
            }
        };
        if ptr::eq(root.future, future) {
            return Some(root.node);
        }
    }
    REFUSED.fetch_add(1, Ordering::Relaxed);
    None
}

/// Finds the layout of a future's type, by its vtable.
pub(super) fn join(layouts: &Layouts, future: &FutureType) -> Result<TypeId, &'static str> {
    let vtable = future.vtable.ok_or("it is no future")?;
    let vtable =
        image::offset_of(vtable()).ok_or("it is not known where the program was loaded")?;
    let address = layouts.base_address().wrapping_add(vtable);
    layouts
        .by_vtable(address, future.size as u64)
        .ok_or("debug information does not have its type, or with another size")
}

/// A node before it is made: its position in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) future: &'static FutureType,
    pub(super) parent: Option<&'static Node>,
    pub(super) frame: Option<(usize, usize)>,
    pub(super) value: u64,
    pub(super) check: Option<PathCheck>,
}

/// Makes a node. Returns `None`, and counts it, if there are too many nodes or there is no memory.
pub(super) fn make(child: Draft, way: StepKind) -> Option<&'static Node> {
    let Draft { future, parent, frame, value, check } = child;
    let depth = parent.map_or(0, |parent| parent.depth + 1);
    let StepKind { step, beside, waits_itself, reach, disabled, .. } =
        if depth < MOST_DEPTH { way } else { StepKind::end(WalkEnd::TooDeep) };
    let is_end = matches!(step, Step::End(_));
    // Paths leave half of the room for the nodes that walks need.
    let has_room = PLACES.load(Ordering::Relaxed) < MOST_PLACES / 2;
    let is_cached = is_end && has_room && !reach.is_still();
    let cached_path = if is_cached { CachedPath::to(future, parent, check) } else { None };
    let new = || {
        let places = (step.places() + cached_path.as_ref().map_or(0, CachedPath::places)) as u64;
        let earlier = PLACES.fetch_add(places, Ordering::Relaxed);
        if NODES.len() >= MOST_NODES || earlier + places > MOST_PLACES {
            PLACES.fetch_sub(places, Ordering::Relaxed);
            return None;
        }
        let id = AtomicU32::new(0);
        let node = arena::keep(Node {
            id,
            depth,
            parent,
            frame,
            beside,
            waits_itself,
            reach,
            disabled,
            value,
            step,
            future,
            check,
            cached_path,
        })?;
        let (index, place) = NODES.grow()?;
        node.id.store(index + 1, Ordering::Relaxed);
        place.set(node);
        Some(node)
    };
    let made = new();
    if made.is_none() {
        REFUSED.fetch_add(1, Ordering::Relaxed);
    }
    made
}

/// Makes the child and stores it in `place`, unless another thread has stored one first.
pub(super) fn add(
    place: &StaticRef<Node>,
    child: Draft,
    way: impl FnOnce() -> StepKind,
) -> Option<&'static Node> {
    let new = exempt(|| make(child, way()))?;
    Some(place.set_if_none(new).err().unwrap_or(new))
}

/// Finds the future's type that this vtable belongs to.
pub(super) fn behind(layouts: &Layouts, vtable: usize) -> Result<TypeId, &'static str> {
    let offset = image::offset_of(vtable).ok_or("it comes from a library")?;
    let address = layouts.base_address().wrapping_add(offset);
    if !layouts.has_vtable(address) {
        return Err("debug information does not have its type");
    }
    // SAFETY: debug information says that there is a vtable at this address.
    let size = unsafe { walk::size_in(vtable) };
    layouts
        .by_vtable(address, size)
        .ok_or("several types share its vtable, or the sizes do not agree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_vtable_and_what_is_no_future_of_the_program_is_not_looked_into() {
        let layouts = Layouts::default();
        assert_eq!(join(&layouts, FutureType::not_known()), Err("it is no future"));
        let not_read = join(&layouts, FutureType::of::<std::future::Ready<()>>());
        assert_eq!(not_read, Err("debug information does not have its type, or with another size"));
        let heap = Box::new([0_usize; 4]);
        assert_eq!(behind(&layouts, ptr::from_ref(&*heap).addr()), Err("it comes from a library"));
    }
}
