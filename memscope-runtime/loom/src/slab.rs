//! A slab of three items, which each execution of a model has anew.

use std::marker::PhantomData;

use super::{
    free_list::FreeList,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// As in the runtime, where such an item may be made of zeroed memory.
///
/// # Safety
///
/// The models make items by `Default`.
pub(crate) unsafe trait Zeroed {}

#[derive(Debug, Default)]
pub(crate) struct Links {
    index: AtomicU32,
    link: AtomicU32,
}

pub(crate) trait HasLinks: Zeroed {
    fn links(&self) -> &Links;
}

pub(crate) trait SlabItem {
    fn index(&self) -> u32;
}

impl<T: HasLinks> SlabItem for T {
    fn index(&self) -> u32 {
        self.links().index.load(Ordering::Relaxed)
    }
}

/// The items of an execution.
pub(crate) struct Items<T> {
    all: [T; 3],
    made: AtomicU32,
    free: FreeList,
}

impl<T: Default> Items<T> {
    pub(crate) fn new() -> Self {
        Self {
            all: std::array::from_fn(|_| T::default()),
            made: AtomicU32::new(0),
            free: FreeList::new(AtomicU64::new(0)),
        }
    }
}

/// A type of which there are such items.
pub(crate) trait HasItems: HasLinks + Sized + 'static {
    fn items() -> &'static Items<Self>;
}

pub(crate) struct Slab<T>(PhantomData<fn() -> T>);

#[expect(clippy::unused_self, reason = "as in the runtime")]
impl<T: HasItems> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    pub(crate) fn take_up_to(&self, _: u32) -> Option<&'static T> {
        let Items { all, made, free } = T::items();
        let link = |index: u32| all[index as usize].links().link.load(Ordering::Relaxed);
        if let Some(index) = free.pop(link) {
            return self.get(index);
        }
        let index = made.fetch_add(1, Ordering::Relaxed);
        let item = self.get(index)?;
        item.links().index.store(index, Ordering::Relaxed);
        Some(item)
    }

    pub(crate) fn put(&self, item: &'static T) {
        let link = |next| item.links().link.store(next, Ordering::Relaxed);
        T::items().free.push(item.index(), link);
    }

    pub(crate) fn get(&self, index: u32) -> Option<&'static T> {
        T::items().all.get(index as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        T::items().all.iter()
    }

    pub(crate) fn at_address(&self, _: usize) -> Option<&'static T> {
        None
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        0
    }
}
