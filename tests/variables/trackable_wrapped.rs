//! Under an allocator that asks for other sizes than the program did, memscope learns no layout,
//! and reads nothing where it does not lie.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::{BTreeMap, HashMap, VecDeque},
    ffi::OsString,
    rc::Rc,
    sync::Arc,
};

use memscope_rs::{__private::blocks_of, Trackable, TrackingAllocator};

/// Asks for 16 bytes more than it is asked for.
struct Padding(TrackingAllocator);

#[global_allocator]
static ALLOCATOR: Padding = Padding(TrackingAllocator::new(System));

fn padded(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size() + 16, layout.align()).expect("small")
}

// SAFETY: every block is taken and given back with the same, larger layout.
unsafe impl GlobalAlloc for Padding {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not zero.
        unsafe { self.0.alloc(padded(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: taken with the same layout.
        unsafe { self.0.dealloc(block, padded(layout)) };
    }
}

fn is_unknown(value: &impl Trackable) -> bool {
    let found = blocks_of(|blocks| blocks.visit(value));
    found.is_partial && found.blocks.is_empty()
}

#[test]
fn layouts_are_not_learned_from_an_allocator_that_sees_others() {
    assert!(is_unknown(&Rc::new(7)) && is_unknown(&Arc::new(7)));
    assert!(is_unknown(&VecDeque::from([7])) && is_unknown(&OsString::from("text")));
    assert!(is_unknown(&HashMap::from([(7, 7)])) && is_unknown(&BTreeMap::from([(7, 7)])));
    assert!(is_unknown(&bytes::Bytes::from(vec![7])));
    assert!(is_unknown(&bytes::BytesMut::from("text")));
}
