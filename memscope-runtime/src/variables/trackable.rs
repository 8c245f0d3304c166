//! What `track_var!` can find out about a value: the heap blocks that it holds.

use std::alloc::Layout;

use super::std_layout::OwnBlock;
use crate::accounting::Block;

/// How long a chain of pointers is followed. What lies behind it is not found.
const LONGEST_CHAIN: usize = 32;

/// How many pointers are followed in one value: a bound on the time that a web of shared values
/// takes.
const MOST_POINTERS: u32 = 1 << 20;

/// A type whose heap blocks `track_var!` finds.
///
/// It is there for the types of the standard library that own memory, and `#[derive(Trackable)]`
/// makes it for structs and enums of your own: the blocks of each field. What the elements of a
/// collection hold belongs to [`Contents`].
///
/// # What is found
///
/// | type | blocks |
/// |---|---|
/// | `Vec`, `String`, `BinaryHeap`, `PathBuf`, `OsString`, `CString` | theirs |
/// | `VecDeque`, `HashMap`, `HashSet` | theirs, by a layout that was learned at the first look |
/// | `BTreeMap`, `BTreeSet` | the root; in a tree of more than one node the others are not found |
/// | `Box`, `Rc`, `Arc` | theirs and, one deeper, those of the value in it; `Weak`: only the block it keeps |
/// | `Mutex`, `RwLock`, `RefCell` of `std` and Tokio | those of the value in it, unless it is locked: nobody waits |
/// | `bytes::Bytes`, `BytesMut` (feature `bytes`) | the buffer and, when shared, its counter |
/// | `Option`, `Result`, tuples, arrays, references, `Cow`, `Pin`, … | those of what is in them |
/// | numbers, ids, atomics, `&str`, `&[T]`, raw pointers, functions | none |
///
/// A layout that is not documented is tried out on samples before it is used, and compared with
/// what can be asked of the value each time. Where it does not fit, the block is not found and the
/// variable's extent is `Partial`.
///
/// # Cost
///
/// A few nanoseconds for a block, and some microseconds once for each family of layouts that is
/// learned. Nothing is allocated by the program's tasks, and nobody waits; but a lock is held while
/// it is looked into, so that a `try_lock` at that moment fails. A chain of pointers is followed 32
/// deep.
#[diagnostic::on_unimplemented(
    note = "`#[derive(Trackable)]` makes it for structs and enums; `track_var!` itself takes any type"
)]
pub trait Trackable {
    /// Whether no value of this type holds a block, so that elements need not be visited.
    #[doc(hidden)]
    const IS_PLAIN: bool = false;

    /// Shows `blocks` the parts of this value.
    fn visit(&self, blocks: &mut Blocks<'_>);
}

/// A type of which `track_var!(deep: …)` also finds what its elements hold.
///
/// # Cost
///
/// That of [`Trackable`] for each element: with a million strings, milliseconds. Elements that
/// cannot hold a block cost nothing.
pub trait Contents: Trackable {
    /// Shows `blocks` the parts of this value, and of every element.
    fn visit_contents(&self, blocks: &mut Blocks<'_>);
}

/// A pointer whose own block can be found whatever it points to.
///
/// Where the value in it has a destructor, it may hold blocks that nobody knows of: the extent is
/// then partial.
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
    /// The values behind those pointers, so that a circle of them ends.
    chain: [*const u8; LONGEST_CHAIN],
    links: usize,
    pointers: u32,
    is_partial: bool,
    is_opaque: bool,
    is_holding: bool,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(found: &'a mut dyn FnMut(Block)) -> Self {
        Self {
            found,
            depth: 0,
            chain: [std::ptr::null(); LONGEST_CHAIN],
            links: 0,
            pointers: 0,
            is_partial: false,
            is_opaque: false,
            is_holding: false,
        }
    }

    /// Takes in what `part` holds.
    pub fn visit<T: Trackable + ?Sized>(&mut self, part: &T) {
        part.visit(self);
    }

    /// Takes in one block. One without bytes is none.
    ///
    /// # Safety
    ///
    /// The block must be live, stay so until this returns, and have been allocated with exactly
    /// this layout by the program's global allocator.
    pub(crate) unsafe fn block(&mut self, start: *const u8, layout: Layout) {
        if layout.size() != 0 {
            self.is_holding = true;
            (self.found)(Block { start: start.cast_mut(), layout, depth: self.depth });
        }
    }

    /// Takes in a block that was found by a learned layout, or notes that it was not.
    ///
    /// # Safety
    ///
    /// If there is a block, it must be as for [`block`](Self::block).
    pub(crate) unsafe fn own(&mut self, own: OwnBlock) {
        match own {
            // SAFETY: the caller's contract.
            OwnBlock::Block(start, layout) => unsafe { self.block(start, layout) },
            OwnBlock::Nothing => {}
            OwnBlock::Unknown => self.partial(),
        }
    }

    /// Visits the value at `pointee`, which lies behind a pointer that owns it.
    pub(crate) fn behind<T: ?Sized>(&mut self, pointee: &T, visit: impl FnOnce(&T, &mut Self)) {
        self.depth += 1;
        self.through(pointee, visit);
        self.depth -= 1;
    }

    /// Visits the value at `pointee`, which somebody else owns: no deeper than the pointer itself.
    ///
    /// One that is being visited already is passed over: the pointers form a circle.
    pub(crate) fn through<T: ?Sized>(&mut self, pointee: &T, visit: impl FnOnce(&T, &mut Self)) {
        let at = std::ptr::from_ref(pointee).cast::<u8>();
        let Some((chain, rest)) = self.chain.split_at_mut_checked(self.links) else { return };
        if chain.contains(&at) {
            return;
        }
        match rest.first_mut() {
            Some(next) if self.pointers < MOST_POINTERS => *next = at,
            _ => return self.partial(),
        }
        self.links += 1;
        self.pointers += 1;
        visit(pointee, self);
        self.links -= 1;
    }

    /// Visits what lies in a block of the value, one deeper.
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
        self.is_holding
    }
}

impl std::fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").finish_non_exhaustive()
    }
}

/// What a visit found, for tests.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Address, size, alignment, depth.
    pub blocks: Vec<(usize, usize, usize, u32)>,
    pub is_partial: bool,
    pub is_opaque: bool,
}

/// Lists the blocks that `show` finds.
#[doc(hidden)]
pub fn blocks_of(show: impl FnOnce(&mut Blocks<'_>)) -> Found {
    let mut found = Found::default();
    let mut note = |block: Block| {
        let Block { start, layout, depth } = block;
        found.blocks.push((start.addr(), layout.size(), layout.align(), depth));
    };
    let mut blocks = Blocks::new(&mut note);
    show(&mut blocks);
    let (is_partial, is_opaque) = (blocks.is_partial, blocks.is_opaque);
    Found { is_partial, is_opaque, ..found }
}
