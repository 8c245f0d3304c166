//! `track_var!` looks into locks, and never waits for them.

use std::{
    cell::{Cell, LazyCell, OnceCell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Mutex, OnceLock, RwLock},
};

use crate::{NONE, ledger, partial, whole};

#[test]
fn an_open_lock_shows_its_value() {
    assert_eq!(whole!(Mutex::new(vec![1])), [0]);
    assert_eq!(whole!(RwLock::new(vec![1])), [0]);
    assert_eq!(whole!(RefCell::new(vec![1])), [0]);
    assert_eq!(whole!(tokio::sync::Mutex::new(vec![1])), [0]);
    assert_eq!(whole!(tokio::sync::RwLock::new(vec![1])), [0]);
    assert_eq!(whole!(Arc::new(Mutex::new(vec![1]))), [0, 1]);
    assert_eq!(whole!(Arc::new(tokio::sync::Mutex::new(vec![1]))), [0, 1]);
    assert_eq!(whole!(OnceCell::from(vec![1])), [0]);
    assert_eq!(whole!(OnceLock::from(vec![1])), [0]);
    assert_eq!(whole!((OnceCell::<String>::new(), OnceLock::<String>::new(), Cell::new(1))), NONE);
}

#[test]
fn a_closed_one_is_partial() {
    let lock = Arc::new(Mutex::new(vec![1]));
    let guard = lock.lock().expect("not poisoned");
    let found = ledger::found(|blocks| blocks.visit(&lock)).1;
    assert!(found.is_partial && found.blocks.len() == 1);
    assert_eq!(ledger::found(|blocks| blocks.visit(&guard)).0.len(), 1);

    let lock = RwLock::new(vec![1]);
    let reading = lock.read().expect("not poisoned");
    assert!(!ledger::found(|blocks| blocks.visit(&lock)).1.is_partial);
    drop(reading);
    let _writing = lock.write().expect("not poisoned");
    assert!(ledger::found(|blocks| blocks.visit(&lock)).1.is_partial);

    let cell = RefCell::new(vec![1]);
    let _writing = cell.borrow_mut();
    assert!(ledger::found(|blocks| blocks.visit(&cell)).1.is_partial);

    let lock = tokio::sync::Mutex::new(vec![1]);
    let _guard = lock.try_lock().expect("open");
    assert!(ledger::found(|blocks| blocks.visit(&lock)).1.is_partial);

    let lock = Mutex::new(7);
    let _guard = lock.lock().expect("not poisoned");
    assert!(!ledger::found(|blocks| blocks.visit(&lock)).1.is_partial, "there is nothing in it");
}

#[test]
fn a_poisoned_one_is_looked_into() {
    let lock = Mutex::new(vec![1]);
    let poison = AssertUnwindSafe(|| {
        let _guard = lock.lock().expect("not poisoned");
        panic!("on purpose");
    });
    catch_unwind(poison).expect_err("it panicked");
    assert!(lock.is_poisoned());
    let (places, found) = ledger::found(|blocks| blocks.visit(&lock));
    assert!(places.len() == 1 && !found.is_partial);
}

#[test]
fn a_lazy_one_is_not_made() {
    assert_eq!(partial!(LazyCell::<String>::new(|| unreachable!())), NONE);
    assert_eq!(partial!(LazyLock::<String>::new(|| unreachable!())), NONE);
}
