//! An atomic `Option<&'static T>`.

use std::{
    fmt, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::arena::Zeroed;

/// A cell that holds a `&'static T` or nothing, readable and writable from every thread.
///
/// Invariant: the pointer is null or was made from a `&'static T`; only the methods below write it.
pub(crate) struct StaticRef<T: 'static>(AtomicPtr<T>);

impl<T: Sync> StaticRef<T> {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Publishes `value`: a reader that gets it also sees what was written to it before (pairs with `get`).
    pub(crate) fn set(&self, value: &'static T) {
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// Like `set` where the cell is empty; else returns what stands there.
    pub(crate) fn set_if_none(&self, value: &'static T) -> Result<(), &'static T> {
        let new = ptr::from_ref(value).cast_mut();
        match self.0.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: by the type's invariant a pointer that is not null came from a `&'static T`.
            Err(there) => Err(unsafe { &*there }),
        }
    }

    /// Puts `new` in the place of what was seen there, unless that has changed.
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
        // SAFETY: by the type's invariant the pointer is null or came from a `&'static T`.
        unsafe { there.as_ref() }
    }
}

// SAFETY: a null pointer is an empty cell, and there is nothing to drop.
unsafe impl<T: Sync> Zeroed for StaticRef<T> {}

impl<T> fmt::Debug for StaticRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticRef").finish_non_exhaustive()
    }
}
