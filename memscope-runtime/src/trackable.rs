//! What `track_var!` can find out about a value: the heap blocks that it holds.

use std::alloc::Layout;

/// A type whose heap blocks `track_var!` finds.
///
/// It is there for the types of the standard library that own memory, and `#[derive(Trackable)]` makes it for structs and enums
/// of your own: the blocks of each field.
pub trait Trackable {
    /// Shows `blocks` the parts of this value.
    fn visit(&self, blocks: &mut Blocks<'_>);
}

/// A type of which `track_var!(deep: …)` also finds what its elements hold.
pub trait Contents: Trackable {
    /// Shows `blocks` the parts of this value, and of every element.
    fn visit_contents(&self, blocks: &mut Blocks<'_>);
}

/// A pointer or collection whose own block can be found whatever it points to.
#[doc(hidden)]
pub trait Handle {
    fn visit_own(&self, blocks: &mut Blocks<'_>);
}

/// Takes in the heap blocks of a value.
///
/// A hand-written [`Trackable`] passes each of its fields to [`visit`](Self::visit).
pub struct Blocks<'a> {
    found: &'a mut dyn FnMut(Block),
    /// How many pointers lie between the variable and what is visited now.
    depth: u32,
    is_partial: bool,
    is_opaque: bool,
    has_blocks: bool,
}

/// One heap block of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: *mut u8,
    pub(crate) layout: Layout,
    /// 0: the variable holds it directly.
    pub(crate) depth: u32,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(found: &'a mut dyn FnMut(Block)) -> Self {
        Self { found, depth: 0, is_partial: false, is_opaque: false, has_blocks: false }
    }

    /// Takes in what `part` holds.
    pub fn visit<T: Trackable + ?Sized>(&mut self, part: &T) {
        part.visit(self);
    }

    /// Takes in one block. One without bytes is none.
    ///
    /// # Safety
    ///
    /// The block must be live, stay so until this returns, and have been allocated with exactly this layout by the program's global allocator.
    pub(crate) unsafe fn block(&mut self, start: *const u8, layout: Layout) {
        if layout.size() != 0 {
            self.has_blocks = true;
            (self.found)(Block { start: start.cast_mut(), layout, depth: self.depth });
        }
    }

    /// Visits what lies behind a pointer.
    pub(crate) fn inside(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        visit(self);
        self.depth -= 1;
    }

    /// Notes that the value holds blocks which cannot be found.
    pub(crate) fn partial(&mut self) {
        self.is_partial = true;
    }

    /// Notes a part of whose type nothing is known but its size.
    pub(crate) fn opaque(&mut self) {
        self.is_opaque = true;
    }

    pub(crate) fn is_opaque(&self) -> bool {
        self.is_opaque
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.is_partial
    }

    pub(crate) fn has_blocks(&self) -> bool {
        self.has_blocks
    }
}

impl std::fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").finish_non_exhaustive()
    }
}

impl<T> Trackable for Vec<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        if let Ok(layout) = Layout::array::<T>(self.capacity()) {
            // SAFETY: a `Vec` documents that it allocates `Layout::array::<T>(capacity)` of the global allocator, and it is borrowed.
            unsafe { blocks.block(self.as_ptr().cast(), layout) };
        }
    }
}

impl<T: Contents> Contents for Vec<T> {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        self.visit(blocks);
        blocks.inside(|blocks| self.iter().for_each(|element| element.visit_contents(blocks)));
    }
}

impl<T: ?Sized> Handle for Box<T> {
    fn visit_own(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: a `Box` documents that it allocates `Layout::for_value` of the global allocator, and it is borrowed.
        unsafe { blocks.block(std::ptr::from_ref(&**self).cast(), Layout::for_value(&**self)) };
    }
}

impl<T: Trackable + ?Sized> Trackable for Box<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        self.visit_own(blocks);
        blocks.inside(|blocks| T::visit(self, blocks));
    }
}
