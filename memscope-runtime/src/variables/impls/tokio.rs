//! Tokio's locks, their guards and its `OnceCell`.

use tokio::sync::{Mutex, MutexGuard, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::cells::{guards, locks, once};
use crate::variables::trackable::{Blocks, Contents, Handle, Trackable};

locks! {
    [+ ?Sized] Mutex<T>, |this| this.try_lock().ok();
    [+ ?Sized] RwLock<T>, |this| this.try_read().ok();
}

guards! {
    [+ ?Sized] MutexGuard<'_, T>;
    [+ ?Sized] RwLockReadGuard<'_, T>;
    [+ ?Sized] RwLockWriteGuard<'_, T>;
}

once!(OnceCell);
