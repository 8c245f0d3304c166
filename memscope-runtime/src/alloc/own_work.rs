//! Work of memscope's own that takes memory from the program's heap: reports and their rows.

use std::alloc::{Layout, alloc, dealloc};

use super::current;
use crate::primitives::reserve::{self, Work};

/// Begins work of memscope's own on this thread: until the guard is dropped the reserve is there
/// for it, and rows that it leaves out are counted.
pub(crate) fn work() -> Work {
    reserve::begin(make_room)
}

/// Takes a block and gives it back, so that the allocator has what comes next. Charged to no task
/// or thread: it is no part of what the program holds.
#[cold]
fn make_room(layout: Layout) -> bool {
    current::exempt(|| {
        // SAFETY: the size is not zero.
        let block = unsafe { alloc(layout) };
        if !block.is_null() {
            // SAFETY: just allocated with this layout.
            unsafe { dealloc(block, layout) };
        }
        !block.is_null()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::reserve::{give_back, hold, is_short, leave_out, rows};

    #[test]
    fn what_is_given_back_is_taken_again_and_what_is_left_out_is_counted() {
        let work = work();
        assert!(!is_short());
        assert!(give_back() && is_short());
        assert_eq!((rows([1, 2, 3], Some), work.left_out()), (Vec::new(), 3));
        hold();
        assert!(!is_short());
        assert_eq!(rows([1, 2, 3], |row| (row != 2).then_some(row)), [1, 3]);
        {
            let inner = super::work();
            leave_out(1);
            assert_eq!(inner.left_out(), 1);
        }
        assert_eq!(work.left_out(), 3);
    }
}
