//! Atomic cells that hold an `Option<&'static T>`.

use std::{
    fmt,
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

use super::arena::Zeroed;

/// A cell that holds a `&'static T` or nothing. Every thread may read and write it.
///
/// Invariant: the pointer is null or was made from a `&'static T`. Only the methods below write it.
pub(crate) struct StaticRef<T: 'static>(AtomicPtr<T>);

impl<T: Sync> StaticRef<T> {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Publishes `value`. Release; pairs with the Acquire in `get`: a reader that gets the value
    /// also sees what was written to it before.
    pub(crate) fn set(&self, value: &'static T) {
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// Publishes what another cell holds.
    // PERF: copies the pointer without a check.
    #[inline]
    pub(crate) fn copy(&self, from: &Self) {
        self.0.store(from.0.load(Ordering::Acquire), Ordering::Release);
    }

    /// Publishes `value` if the cell is empty; otherwise returns the value that is there.
    pub(crate) fn set_if_none(&self, value: &'static T) -> Result<(), &'static T> {
        let new = ptr::from_ref(value).cast_mut();
        match self.0.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: by the type's invariant a non-null pointer was made from a `&'static T`.
            Err(there) => Err(unsafe { &*there }),
        }
    }

    /// Replaces `seen` by `new`. Returns `false` if the cell no longer holds `seen`.
    pub(crate) fn replace(&self, seen: Option<&'static T>, new: &'static T) -> bool {
        let seen = seen.map_or(ptr::null_mut(), |seen| ptr::from_ref(seen).cast_mut());
        let new = ptr::from_ref(new).cast_mut();
        self.0.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Empties the cell.
    pub(crate) fn clear(&self) {
        self.0.store(ptr::null_mut(), Ordering::Release);
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        let there = self.0.load(Ordering::Acquire);
        // SAFETY: by the type's invariant the pointer is null or was made from a `&'static T`.
        unsafe { there.as_ref() }
    }
}

// SAFETY: a null pointer is an empty cell, and there is nothing to drop.
unsafe impl<T: Sync> Zeroed for StaticRef<T> {
    const LEADS_TO_BLOCKS: bool = true;
}

/// A [`StaticRef`] that keeps its address shifted left by [`FREE_BITS`], so that a reader can
/// combine the number with a tag below it.
///
/// Invariant: the number is 0 or the shifted address of a `&'static T`. Only `set` and `clear`
/// write it.
pub(crate) struct ShiftedRef<T: 'static>(AtomicU64, PhantomData<StaticRef<T>>);

/// The bits of a word that an address leaves free: memscope's arenas are below 2^48.
pub(crate) const FREE_BITS: u32 = 16;

impl<T: Sync> ShiftedRef<T> {
    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(0), PhantomData)
    }

    /// Like [`StaticRef::set`].
    #[inline]
    pub(crate) fn set(&self, value: &'static T) {
        let address = ptr::from_ref(value).expose_provenance() as u64;
        self.0.store(address << FREE_BITS, Ordering::Release);
    }

    /// Like [`StaticRef::clear`].
    #[inline]
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// The shifted address; 0 if the cell is empty.
    #[inline]
    pub(crate) fn shifted(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Like [`StaticRef::get`].
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        let address = (self.0.load(Ordering::Acquire) >> FREE_BITS) as usize;
        // SAFETY: by the type's invariant the address is 0 or that of a `&'static T`, whose
        // provenance `set` has exposed.
        unsafe { ptr::with_exposed_provenance::<T>(address).as_ref() }
    }
}

// SAFETY: 0 is an empty cell, and there is nothing to drop.
unsafe impl<T: Sync> Zeroed for ShiftedRef<T> {}

impl<T> fmt::Debug for ShiftedRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShiftedRef").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for StaticRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticRef").finish_non_exhaustive()
    }
}
