//! Memscope's own work that takes memory from the program's heap: reports and their rows.

use std::alloc::{Layout, alloc, dealloc};

use super::current;
use crate::primitives::reserve::{self, Work};

/// Begins own work on this thread. Until the guard is dropped, the work may use the reserve, and
/// the rows that it leaves out are counted.
pub(crate) fn work() -> Work {
    reserve::begin(make_room)
}

/// Allocates a block and frees it, so that the allocator has room for what comes next. The block is
/// charged to no task or thread, because the program does not hold it.
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
