//! Cells, locks and their guards. Their values are visited only if this needs no waiting.

use std::{
    cell::{Cell, LazyCell, OnceCell, Ref, RefCell, RefMut},
    sync::{
        LazyLock, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
        TryLockError,
    },
};

use crate::{
    alloc::current,
    variables::trackable::{Blocks, Contents, Handle, Trackable},
};

/// Whether a `Mutex` of the standard library allocates a block for its lock at its first use. That
/// block cannot be found.
const IS_BOXED: bool = cfg!(all(
    unix,
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_os = "fuchsia",
    ))
));

/// Implements the traits for types that may refuse to show their value: `$value` is an `Option` of
/// something that points to it.
macro_rules! locks {
    ($([$($bound:tt)*] $type:ty, |$this:ident| $value:expr;)*) => {$(
        impl<T: Trackable $($bound)*> Trackable for $type {
            const IS_PLAIN: bool = T::IS_PLAIN;

            fn visit(&self, blocks: &mut Blocks<'_>) {
                let $this = self;
                if T::IS_PLAIN {
                } else if let Some(value) = $value {
                    T::visit(&value, blocks);
                } else {
                    blocks.partial();
                }
            }
        }

        impl<T: Contents $($bound)*> Contents for $type {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                let $this = self;
                if T::IS_PLAIN {
                } else if let Some(value) = $value {
                    T::visit_contents(&value, blocks);
                } else {
                    blocks.partial();
                }
            }
        }

        impl<T: Handle $($bound)*> Handle for $type {
            fn visit_own(&self, blocks: &mut Blocks<'_>) {
                let $this = self;
                if let Some(value) = $value {
                    T::visit_own(&value, blocks);
                } else {
                    blocks.partial();
                }
            }
        }
    )*};
}
#[cfg(feature = "tokio")]
pub(super) use locks;

locks! {
    [+ ?Sized] RwLock<T>, |this| unlocked(this.try_read());
    [+ ?Sized] RefCell<T>, |this| this.try_borrow().ok();
    [+ Copy] Cell<T>, |this| Some(this.get());
}

impl<T: Trackable + ?Sized> Trackable for Mutex<T> {
    const IS_PLAIN: bool = T::IS_PLAIN && !IS_BOXED;

    fn visit(&self, blocks: &mut Blocks<'_>) {
        if !Self::IS_PLAIN {
            open(self, blocks, T::visit);
        }
    }
}

impl<T: Contents + ?Sized> Contents for Mutex<T> {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        if !Self::IS_PLAIN {
            open(self, blocks, T::visit_contents);
        }
    }
}

impl<T: Handle + ?Sized> Handle for Mutex<T> {
    fn visit_own(&self, blocks: &mut Blocks<'_>) {
        open(self, blocks, T::visit_own);
    }
}

/// Visits the value of a mutex, unless it is locked.
fn open<T: ?Sized>(
    mutex: &Mutex<T>,
    blocks: &mut Blocks<'_>,
    visit: impl FnOnce(&T, &mut Blocks<'_>),
) {
    let lock = || unlocked(mutex.try_lock());
    // A block that the first lock allocates is charged to no task.
    let guard = if IS_BOXED { current::exempt(lock) } else { lock() };
    if IS_BOXED || guard.is_none() {
        blocks.partial();
    }
    if let Some(guard) = guard {
        visit(&guard, blocks);
    }
}

/// Returns the guard, unless the lock is held. The value of a poisoned lock may be read too.
fn unlocked<G>(lock: Result<G, TryLockError<G>>) -> Option<G> {
    match lock {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Implements the traits for types that point to a value which has another owner.
macro_rules! guards {
    ($([$($size:tt)*] $type:ty;)*) => {$(
        impl<T: Trackable $($size)*> Trackable for $type {
            const IS_PLAIN: bool = T::IS_PLAIN;

            fn visit(&self, blocks: &mut Blocks<'_>) {
                blocks.through(&**self, T::visit);
            }
        }

        impl<T: Contents $($size)*> Contents for $type {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                blocks.through(&**self, T::visit_contents);
            }
        }
    )*};
}
#[cfg(feature = "tokio")]
pub(super) use guards;

guards! {
    [+ ?Sized] MutexGuard<'_, T>;
    [+ ?Sized] RwLockReadGuard<'_, T>;
    [+ ?Sized] RwLockWriteGuard<'_, T>;
    [+ ?Sized] Ref<'_, T>;
    [+ ?Sized] RefMut<'_, T>;
}

/// Implements the traits for cells that are empty until they are set.
macro_rules! once {
    ($($type:ident),*) => {$(
        impl<T: Trackable> Trackable for $type<T> {
            const IS_PLAIN: bool = T::IS_PLAIN;

            fn visit(&self, blocks: &mut Blocks<'_>) {
                self.get().visit(blocks);
            }
        }

        impl<T: Contents> Contents for $type<T> {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                self.get().visit_contents(blocks);
            }
        }

        impl<T: Handle> Handle for $type<T> {
            fn visit_own(&self, blocks: &mut Blocks<'_>) {
                self.get().visit_own(blocks);
            }
        }
    )*};
}
#[cfg(feature = "tokio")]
pub(super) use once;

once!(OnceCell, OnceLock);

/// Implements the traits for cells whose value can only be read by computing it.
// NOTE: from Rust 1.94 on there is `get`, which does not compute it.
macro_rules! lazy {
    ($($type:ident),*) => {$(
        impl<T: Trackable, F> Trackable for $type<T, F> {
            fn visit(&self, blocks: &mut Blocks<'_>) {
                blocks.partial();
            }
        }

        impl<T: Contents, F> Contents for $type<T, F> {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                blocks.partial();
            }
        }
    )*};
}

lazy!(LazyCell, LazyLock);
