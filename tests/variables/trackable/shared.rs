//! Counted pointers: one block, however many point to it.

use std::{
    any::Any,
    ffi::{CStr, CString, OsStr},
    path::Path,
    pin::Pin,
    rc::{self, Rc},
    sync::{self, Arc},
};

use crate::{NONE, Stranger, ledger, partial, whole};

macro_rules! counted {
    ($module:ident, $pointer:ident, $weak:path) => {
        mod $module {
            use super::*;
            use $weak as Weak;

            #[derive(Clone, Copy, Debug, Default)]
            #[repr(align(64))]
            struct Line(#[expect(dead_code, reason = "only its size matters")] [u64; 9]);

            fn sizes<T: Copy + Default + memscope_rs::Trackable + 'static>() {
                let value = T::default();
                assert_eq!(whole!($pointer::new(value)), [0]);
                assert_eq!(whole!($pointer::pin(value)), [0]);
                for length in 0..9 {
                    assert_eq!(whole!($pointer::<[T]>::from(vec![value; length])), [0]);
                    let taken = (0..length).filter(|number| number % 3 != 0);
                    assert_eq!(whole!(taken.map(|_| value).collect::<$pointer<[T]>>()), [0]);
                }
                assert_eq!(whole!($pointer::new([value; 0]) as $pointer<[T]>), [0]);
                assert_eq!(whole!($pointer::<[T; 5]>::new([value; 5]) as $pointer<[T]>), [0]);
                assert_eq!(partial!($pointer::new(value) as $pointer<dyn Any>), [0]);
                assert_eq!(
                    partial!($pointer::<dyn Any>::from(Box::new(value) as Box<dyn Any>)),
                    [0]
                );
            }

            impl memscope_rs::Trackable for Line {
                fn visit(&self, _: &mut memscope_rs::Blocks<'_>) {}
            }

            #[test]
            fn every_size_and_alignment_is_found() {
                sizes::<()>();
                sizes::<u8>();
                sizes::<[u8; 3]>();
                sizes::<u16>();
                sizes::<u64>();
                sizes::<[u64; 5]>();
                sizes::<u128>();
                sizes::<Line>();
            }

            #[test]
            fn text_is_found() {
                assert_eq!(whole!($pointer::<str>::from("text of some length")), [0]);
                assert_eq!(whole!($pointer::<OsStr>::from(OsStr::new("text"))), [0]);
                assert_eq!(whole!($pointer::<Path>::from(Path::new("a/path"))), [0]);
                let text = CString::new("text").expect("no zero");
                assert_eq!(whole!($pointer::<CStr>::from(text.as_c_str())), [0]);
            }

            #[test]
            fn empty_defaults_are_found_or_are_static() {
                for depths in [
                    whole!($pointer::<str>::default()),
                    whole!($pointer::<CStr>::default()),
                    whole!($pointer::<[u8]>::default()),
                    whole!($pointer::<[u128]>::default()),
                    whole!($pointer::<[Line]>::default()),
                    whole!(
                        $pointer::<[u64; 0]>::try_from($pointer::<[u64]>::default()).expect("empty")
                    ),
                    whole!(Pin::new($pointer::<[u8]>::default())),
                ] {
                    assert!(depths == NONE || depths == [0], "{depths:?}");
                }
            }

            #[test]
            fn what_is_in_it_lies_deeper() {
                assert_eq!(whole!($pointer::new(vec![1])), [0, 1]);
                assert_eq!(whole!($pointer::new($pointer::new(vec![1]))), [0, 1, 2]);
                assert_eq!(whole!(deep: $pointer::<[String]>::from([String::from("a")])), [0, 1]);
                assert_eq!(partial!($pointer::new(Stranger(String::from("text")))), [0]);
                assert_eq!(whole!($pointer::new(NoDrop(3))), [0]);
            }

            #[derive(Debug)]
            struct NoDrop(#[expect(dead_code, reason = "only its size matters")] u8);

            #[test]
            fn two_handles_are_one_block() {
                let (first, truth) = ledger::made(|| $pointer::new(7));
                let second = $pointer::clone(&first);
                assert_eq!(ledger::found(|blocks| blocks.visit(&first)).0, truth);
                assert_eq!(ledger::found(|blocks| blocks.visit(&second)).0, truth);
            }

            #[test]
            fn a_weak_handle_shows_the_block_that_it_keeps() {
                let (strong, truth) = ledger::made(|| $pointer::new(vec![1u8; 9]));
                let block = ledger::found(|blocks| blocks.visit(&strong)).1.blocks[0];
                let weak = $pointer::downgrade(&strong);
                assert_eq!(truth.len(), 2);
                assert_eq!(ledger::found(|blocks| blocks.visit(&weak)).1.blocks, [block]);
                drop(strong);
                assert_eq!(ledger::found(|blocks| blocks.visit(&weak)).1.blocks, [block]);
                assert_eq!(whole!(Weak::<String>::new()), NONE);
            }
        }
    };
}

counted!(by_rc, Rc, rc::Weak);
counted!(by_arc, Arc, sync::Weak);

#[test]
fn a_circle_ends() {
    use std::cell::RefCell;

    struct Node(RefCell<Option<Rc<Node>>>, String);
    impl memscope_rs::Trackable for Node {
        fn visit(&self, blocks: &mut memscope_rs::Blocks<'_>) {
            blocks.visit(&self.0);
            blocks.visit(&self.1);
        }
    }
    let (first, truth) = ledger::made(|| {
        let last = Rc::new(Node(RefCell::default(), String::from("last")));
        let first = Rc::new(Node(RefCell::new(Some(Rc::clone(&last))), String::from("first")));
        *last.0.borrow_mut() = Some(Rc::clone(&first));
        first
    });
    let (places, found) = ledger::found(|blocks| blocks.visit(&first));
    assert!(!found.is_partial);
    let mut unique = places;
    unique.dedup();
    assert_eq!(unique, truth);
    first.0.take();
}

#[test]
fn a_long_chain_is_partial() {
    struct Link(Option<Box<Link>>);
    impl memscope_rs::Trackable for Link {
        fn visit(&self, blocks: &mut memscope_rs::Blocks<'_>) {
            blocks.visit(&self.0);
        }
    }
    let chain = |length| (0..length).fold(None, |rest, _| Some(Box::new(Link(rest))));
    assert_eq!(whole!(chain(32)).len(), 32);
    assert_eq!(partial!(chain(1_000)).len(), 33);
}
