//! The blocks found of a value are compared with those allocated for it. Every block that is found
//! is live and has that very layout; where the extent is whole, none is missing.

mod buffers;
mod ledger;
mod shared;
mod random;
mod locks;

use std::{
    alloc::System,
    any::Any,
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
    ffi::{CString, OsString},
    path::PathBuf,
};

use memscope_rs::TrackingAllocator;

use ledger::Ledger;

#[global_allocator]
static ALLOCATOR: Ledger = Ledger(TrackingAllocator::new(System));

/// Makes a value and looks at it as `track_var!` does: all of its blocks are found, and no others.
/// Gives their depths.
#[macro_export]
macro_rules! whole {
    ($make:expr) => {
        $crate::whole!(__memscope_show, $make)
    };
    (deep: $make:expr) => {
        $crate::whole!(__memscope_show_deep, $make)
    };
    ($show:ident, $make:expr) => {{
        #[allow(unused_imports, reason = "one step of them is taken")]
        use memscope_rs::__private::{
            ByContents as _, ByHandle as _, ByParts as _, ByValue as _, Value,
        };
        let (value, truth) = $crate::ledger::made(|| $make);
        let (places, found) = $crate::ledger::found(|blocks| (&&&&Value(&value)).$show(blocks));
        assert!(!found.is_partial && !found.is_opaque, "{found:?}");
        assert_eq!(places, truth, "{}", stringify!($make));
        found.blocks.iter().map(|block| block.3).collect::<Vec<u32>>()
    }};
}

/// Some of the value's blocks are found and no others, and it says that there are more. Gives their
/// depths.
#[macro_export]
macro_rules! partial {
    ($make:expr) => {{
        #[allow(unused_imports, reason = "one step of them is taken")]
        use memscope_rs::__private::{ByHandle as _, ByParts as _, ByValue as _, Value};
        let (value, truth) = $crate::ledger::made(|| $make);
        let (places, found) =
            $crate::ledger::found(|blocks| (&&&Value(&value)).__memscope_show(blocks));
        assert!(found.is_partial && !found.is_opaque, "{found:?}");
        assert!(places.iter().all(|place| truth.contains(place)), "{}", stringify!($make));
        found.blocks.iter().map(|block| block.3).collect::<Vec<u32>>()
    }};
}

/// A type without a description.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Stranger(String);

const NONE: [u32; 0] = [];

#[test]
fn documented_types_show_their_block() {
    assert_eq!(whole!(vec![1u8; 3]), [0]);
    assert_eq!(whole!(Vec::<Stranger>::with_capacity(3)), [0]);
    assert_eq!(whole!(String::from("text")), [0]);
    assert_eq!(whole!(String::with_capacity(30) + "text"), [0]);
    assert_eq!(whole!(OsString::from("text")), [0]);
    assert_eq!(whole!(OsString::with_capacity(30)), [0]);
    assert_eq!(whole!(PathBuf::from("/a").join("path")), [0]);
    assert_eq!(whole!(PathBuf::from("/a/path")), [0]);
    assert_eq!(whole!(CString::new("text").expect("no zero")), [0]);
    assert_eq!(whole!(CString::default()), [0]);
    assert_eq!(whole!(BinaryHeap::from([1, 2, 3])), [0]);
    assert_eq!(whole!(Box::new(7)), [0]);
    assert_eq!(whole!(Box::<str>::from("text")), [0]);
    assert_eq!(whole!(vec![1u16; 3].into_boxed_slice()), [0]);
}

#[test]
fn what_has_no_capacity_holds_nothing() {
    assert_eq!(whole!((Vec::<u8>::new(), String::new(), VecDeque::<u8>::new())), NONE);
    assert_eq!(whole!((HashMap::<u8, u8>::new(), HashSet::<u8>::new())), NONE);
    assert_eq!(whole!((BTreeMap::<u8, u8>::new(), BTreeSet::<u8>::new())), NONE);
    assert_eq!(whole!((BinaryHeap::<u8>::new(), OsString::new(), PathBuf::new())), NONE);
    assert_eq!(
        whole!((vec![(); 9], Box::new(()), Box::<[u8]>::default(), Box::<str>::default())),
        NONE
    );
    assert_eq!(whole!((VecDeque::from([(); 5]), LinkedList::<u8>::new())), NONE);
    assert_eq!(whole!(("text", &[1u8][..], 1u128, None::<String>)), NONE);
    assert_eq!(whole!((std::ptr::null::<u8>(), 1..2, std::time::Duration::ZERO)), NONE);
    assert_eq!(whole!(whole_fn as fn(u8) -> u8), NONE);
}

fn whole_fn(number: u8) -> u8 {
    number
}

#[test]
fn wrappers_show_what_is_in_them() {
    assert_eq!(whole!(Some(vec![1])), [0]);
    assert_eq!(whole!(Ok::<_, String>(vec![1])), [0]);
    assert_eq!(whole!(Err::<u8, _>(String::from("text"))), [0]);
    assert_eq!(whole!([vec![1], vec![2, 3]]), [0, 0]);
    assert_eq!(whole!((vec![1], 2, String::from("a"), Box::new(3))), [0, 0, 0]);
    assert_eq!(whole!(Cow::<str>::Owned(String::from("text"))), [0]);
    assert_eq!(whole!(Cow::<str>::Borrowed("text")), NONE);
    assert_eq!(whole!(Box::new(vec![1])), [0, 1]);
    assert_eq!(whole!(Box::pin(Some(vec![1]))), [0, 1]);
    assert_eq!(whole!(Some(Box::new(Box::new(7)))), [0, 1]);
    assert_eq!(whole!((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, vec![11], vec![12])), [0, 0]);
}

#[test]
fn references_are_looked_through() {
    let (mut text, truth) = ledger::made(|| vec![String::from("a")]);
    let before = ledger::found(|blocks| blocks.visit(&text)).0;
    assert!(truth.contains(&before[0]) && before.len() == 1);
    assert_eq!(ledger::found(|blocks| blocks.visit(&&text)).0, before);
    assert_eq!(ledger::found(|blocks| blocks.visit(&&mut text)).0, before);
    assert_eq!(ledger::found(|blocks| blocks.visit(&text.as_slice())).0, []);
}

#[test]
fn elements_are_seen_when_asked_for() {
    let text = || String::from("text");
    assert_eq!(whole!(deep: vec![text(), String::new(), text()]), [0, 1, 1]);
    assert_eq!(whole!(deep: vec![vec![text()]]), [0, 1, 2]);
    assert_eq!(whole!(deep: VecDeque::from([text(), text()])), [0, 1, 1]);
    assert_eq!(
        whole!(deep: HashMap::from([(text(), vec![1]), (String::new(), vec![2])])),
        [0; 1].into_iter().chain([1; 3]).collect::<Vec<u32>>()
    );
    assert_eq!(whole!(deep: BTreeMap::from([(1, text())])), [0, 1]);
    assert_eq!(whole!(deep: BTreeSet::from([text()])), [0, 1]);
    assert_eq!(whole!(deep: HashSet::from([text()])), [0, 1]);
    assert_eq!(whole!(deep: BinaryHeap::from([text()])), [0, 1]);
    assert_eq!(whole!(deep: Some(vec![Some(text())].into_boxed_slice())), [0, 1]);
    assert_eq!(whole!(deep: vec![7; 9]), [0]);
}

#[test]
fn collections_show_their_own_block() {
    assert_eq!(whole!(VecDeque::from([1, 2, 3])), [0]);
    assert_eq!(whole!(HashMap::<u8, Vec<u8>>::from([(1, Vec::new())])), [0]);
    assert_eq!(whole!(HashSet::from([1, 2, 3])), [0]);
    assert_eq!(whole!(BTreeMap::from([(1, 2)])), [0]);
    assert_eq!(whole!(BTreeSet::from([1, 2])), [0]);
    assert_eq!(partial!((0..100).collect::<BTreeSet<u16>>()), [0]);
    assert_eq!(partial!(LinkedList::from([1])), NONE);
}

#[test]
fn a_stranger_in_a_box_may_hold_more() {
    assert_eq!(partial!(Box::new(Stranger::default())), [0]);
    assert_eq!(partial!(Some(Box::new(Stranger(String::from("text"))))), [0]);
    assert_eq!(partial!(Box::new([1u8; 9]) as Box<dyn Any>), [0]);
}
