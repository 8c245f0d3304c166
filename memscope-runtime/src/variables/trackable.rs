//! `Trackable`: finds the heap blocks that a value holds.

use std::alloc::Layout;

use super::std_layout::OwnBlock;
use crate::accounting::Block;

/// The longest chain of pointers that a visit follows. Blocks behind it are not found.
const LONGEST_CHAIN: usize = 32;

/// The most pointers that a visit follows in one value. It bounds the time that a web of shared
/// values takes.
const MOST_POINTERS: u32 = 1 << 20;

/// A type whose heap blocks `track_var!` finds.
///
/// The types of the standard library that own memory implement it. `#[derive(Trackable)]`
/// implements it for your structs and enums: it visits each field. What the elements of a
/// collection hold belongs to [`Contents`].
///
/// # What is found
///
/// | type | blocks |
/// |---|---|
/// | `Vec`, `String`, `BinaryHeap`, `PathBuf`, `OsString`, `CString` | their own |
/// | `VecDeque`, `HashMap`, `HashSet` | their own, by a layout that is learned at the first look |
/// | `BTreeMap`, `BTreeSet` | the root node; in a larger tree the other nodes are not found |
/// | `Box`, `Rc`, `Arc` | their own and, one level deeper, those of the value |
/// | `Weak` | only the block that it keeps |
/// | `Mutex`, `RwLock`, `RefCell` of `std` and Tokio | those of the value, unless it is locked |
/// | `bytes::Bytes`, `BytesMut` (feature `bytes`) | the buffer and, when shared, its counter |
/// | `Option`, `Result`, tuples, arrays, references, `Cow`, `Pin`, … | those of the values in them |
/// | numbers, ids, atomics, `&str`, `&[T]`, raw pointers, functions | none |
///
/// Some layouts are not documented. Such a layout is tested on samples before its first use. Each
/// visit also compares it with what the value reports about itself. If it does not fit, the block
/// is not found and the variable's extent is `Partial`.
///
/// # Cost
///
/// A visit takes a few nanoseconds for a block, and some microseconds once for each family of
/// layouts that is learned. It allocates nothing in the program's tasks and never waits for a lock.
/// But it holds a lock while it visits the locked value, so a `try_lock` at that moment fails. It
/// follows a chain of at most 32 pointers.
#[diagnostic::on_unimplemented(
    note = "`#[derive(Trackable)]` makes it for structs and enums; `track_var!` itself takes any type"
)]
pub trait Trackable {
    /// Whether values of this type never hold a block, so that elements need not be visited.
    #[doc(hidden)]
    const IS_PLAIN: bool = false;

    /// Passes the parts of this value to `blocks`.
    fn visit(&self, blocks: &mut Blocks<'_>);
}

/// A type for which `track_var!(deep: …)` also finds the blocks that its elements hold.
///
/// # Cost
///
/// It costs as much as [`Trackable`] for each element: milliseconds for a million strings. Elements
/// that cannot hold a block cost nothing.
pub trait Contents: Trackable {
    /// Passes the parts of this value, and those of every element, to `blocks`.
    fn visit_contents(&self, blocks: &mut Blocks<'_>);
}

/// A pointer whose own block can be found, whatever type it points to.
///
/// A value with a destructor may hold blocks that cannot be found: the extent is then partial.
#[doc(hidden)]
pub trait Handle {
    fn visit_own(&self, blocks: &mut Blocks<'_>);
}

/// Collects the heap blocks of a value.
///
/// A hand-written [`Trackable`] passes each of its fields to [`visit`](Self::visit).
pub struct Blocks<'a> {
    found: &'a mut dyn FnMut(Block),
    /// How many owning pointers and collections lie between the variable and the visited value.
    depth: u32,
    /// The addresses of the values from the variable to this one, so that a cycle of pointers ends.
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

    /// Collects the blocks of `part`.
    pub fn visit<T: Trackable + ?Sized>(&mut self, part: &T) {
        part.visit(self);
    }

    /// Adds one block; a block without bytes is ignored.
    ///
    /// # Safety
    ///
    /// The block must be live until this returns. The program's global allocator must have
    /// allocated it with exactly this layout.
    pub(crate) unsafe fn block(&mut self, start: *const u8, layout: Layout) {
        if layout.size() != 0 {
            self.is_holding = true;
            (self.found)(Block { start: start.cast_mut(), layout, depth: self.depth });
        }
    }

    /// Adds the block that a learned layout found, or notes that it was not found.
    ///
    /// # Safety
    ///
    /// If there is a block, it must meet the contract of [`block`](Self::block).
    pub(crate) unsafe fn own(&mut self, own: OwnBlock) {
        match own {
            // SAFETY: the caller's contract.
            OwnBlock::Block(start, layout) => unsafe { self.block(start, layout) },
            OwnBlock::Nothing => {}
            OwnBlock::Unknown => self.partial(),
        }
    }

    /// Visits a value behind a pointer that owns it, one level deeper.
    pub(crate) fn behind<T: ?Sized>(&mut self, pointee: &T, visit: impl FnOnce(&T, &mut Self)) {
        self.depth += 1;
        self.through(pointee, visit);
        self.depth -= 1;
    }

    /// Visits a value that has another owner, at the depth of the pointer itself.
    ///
    /// A value that is already being visited is skipped: the pointers form a cycle.
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

    /// Visits the elements in a block of the value, one level deeper.
    pub(crate) fn inside(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        visit(self);
        self.depth -= 1;
    }

    /// Notes that the value holds blocks that cannot be found.
    pub(crate) fn partial(&mut self) {
        self.is_partial = true;
    }

    /// Notes a part whose blocks are not known.
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
    /// The address, size, alignment and depth of each block.
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
