//! `bytes::Bytes` and `BytesMut`: a view of a buffer that may be shared through a counted header.

use std::{
    alloc::Layout,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use bytes::{Buf, Bytes, BytesMut};

use super::{OwnBlock, allocate_probe, lies_in, only, probed_layout, word, words};
use crate::primitives::Once;

/// A buffer, and the header through which its handles share it.
pub(crate) type Blocks = (OwnBlock, OwnBlock);

const UNKNOWN: Blocks = (OwnBlock::Unknown, OwnBlock::Nothing);
const NOTHING: Blocks = (OwnBlock::Nothing, OwnBlock::Nothing);

/// The lowest bit of the data word. If it is set, the buffer is not shared and there is no header.
const IS_SOLE: usize = 1;

/// The data word of a `BytesMut` that is not shared has, above this many bits, how far it was
/// advanced.
const ADVANCED: u32 = 5;

/// The indices of the words where a header keeps its buffer's address and capacity.
#[derive(Clone, Copy, Debug)]
struct Header {
    layout: Layout,
    buffer: usize,
    capacity: usize,
}

/// The index of each fact in the four words of a `Bytes`, and the vtables that tell its kinds
/// apart.
#[derive(Clone, Copy, Debug)]
struct Frozen {
    start: usize,
    len: usize,
    data: usize,
    kind: usize,
    /// The vtable of a `Bytes` made from a full `Vec`. It may have become shared later.
    promotable: usize,
    /// The vtable of a `Bytes` made from a `Vec` with room to spare.
    shared: usize,
    shared_header: Header,
    /// The vtable of a `Bytes` made from a shared `BytesMut`.
    thawed: usize,
    thawed_header: Header,
}

/// The index of each fact in the four words of a `BytesMut`.
#[derive(Clone, Copy, Debug)]
struct Growing {
    start: usize,
    len: usize,
    capacity: usize,
    data: usize,
    header: Header,
}

pub(crate) fn bytes(bytes: &Bytes) -> Blocks {
    static LEARNED: Once<Option<Frozen>> = Once::new();
    probed_layout(&LEARNED, learn_frozen).map_or(UNKNOWN, |frozen| frozen.blocks(bytes))
}

pub(crate) fn bytes_mut(bytes: &BytesMut) -> Blocks {
    static LEARNED: Once<Option<Growing>> = Once::new();
    probed_layout(&LEARNED, learn_growing).map_or(UNKNOWN, |growing| growing.blocks(bytes))
}

impl Frozen {
    fn blocks(self, bytes: &Bytes) -> Blocks {
        // SAFETY: a `Bytes` was these four words when they were learned. These three do not change
        // while it is borrowed.
        let Some([start, len, kind]) =
            (unsafe { settled(bytes, [self.start, self.len, self.kind]) })
        else {
            return UNKNOWN;
        };
        if start.addr() != bytes.as_ptr().addr() || len.addr() != bytes.len() {
            return UNKNOWN;
        }
        // SAFETY: as above; this is the only word that changes while other threads look, and it is
        // atomic.
        let data = unsafe { changing(bytes, self.data) };
        // A static `Bytes` has no data.
        if data.is_null() {
            return NOTHING;
        }
        let is = |address| kind.addr() == address;
        if is(self.promotable) && data.addr() & IS_SOLE != 0 {
            let buffer = data.map_addr(|address| address & !IS_SOLE);
            let advanced = start.addr().checked_sub(buffer.addr());
            let capacity = advanced.and_then(|advanced| advanced.checked_add(bytes.len()));
            return capacity.map_or(UNKNOWN, |capacity| {
                (OwnBlock::array(buffer, capacity), OwnBlock::Nothing)
            });
        }
        let header = if is(self.promotable) || is(self.shared) {
            self.shared_header
        } else if is(self.thawed) {
            self.thawed_header
        } else {
            return UNKNOWN;
        };
        // SAFETY: the data of a `Bytes` of this kind is its header, which the handle keeps.
        unsafe { header.blocks(data, bytes.as_ptr(), bytes.len()) }
    }
}

impl Growing {
    fn blocks(self, bytes: &BytesMut) -> Blocks {
        // SAFETY: a `BytesMut` was these four words when they were learned. None of them changes
        // while it is borrowed.
        let Some([start, len, capacity, data]) =
            (unsafe { settled(bytes, [self.start, self.len, self.capacity, self.data]) })
        else {
            return UNKNOWN;
        };
        let fits = start.addr() == bytes.as_ptr().addr()
            && len.addr() == bytes.len()
            && capacity.addr() == bytes.capacity();
        if !fits || data.is_null() {
            return UNKNOWN;
        }
        if data.addr() & IS_SOLE == 0 {
            // SAFETY: the data of a shared `BytesMut` is its header, which the handle keeps.
            return unsafe { self.header.blocks(data, bytes.as_ptr(), bytes.capacity()) };
        }
        let advanced = data.addr() >> ADVANCED;
        match (start.addr().checked_sub(advanced), bytes.capacity().checked_add(advanced)) {
            (Some(_), Some(capacity)) => {
                (OwnBlock::array(start.wrapping_sub(advanced), capacity), OwnBlock::Nothing)
            }
            _ => UNKNOWN,
        }
    }
}

impl Header {
    /// Returns the buffer that a header names, and the header. `part` must lie in the buffer.
    ///
    /// # Safety
    ///
    /// `header` must be live and of this kind.
    #[expect(clippy::cast_ptr_alignment, reason = "compared")]
    unsafe fn blocks(self, header: *const u8, part: *const u8, length: usize) -> Blocks {
        if !header.addr().is_multiple_of(self.layout.align()) {
            return UNKNOWN;
        }
        let words = header.cast::<*const u8>();
        // SAFETY: the word lies in the header. No handle writes it while there is a second handle,
        // and a borrowed handle never does.
        let buffer = unsafe { word(words, self.buffer) };
        // SAFETY: as above.
        let capacity = unsafe { word(words, self.capacity) }.addr();
        if lies_in(buffer, capacity, part, length) {
            (OwnBlock::array(buffer, capacity), OwnBlock::Block(header, self.layout))
        } else {
            UNKNOWN
        }
    }

    /// Learns a header's layout from its words. The buffer and its capacity are known.
    fn learn(
        words: &[*const u8],
        layout: Layout,
        buffer: *const u8,
        capacity: usize,
    ) -> Option<Self> {
        Some(Self {
            layout,
            buffer: only(words, |word| word == buffer.addr())?,
            capacity: only(words, |word| word == capacity)?,
        })
    }
}

/// Reads the words of a value at these indices; `None` if the value is not four words.
///
/// # Safety
///
/// All bytes of a `T` of this size must be initialised. The words at these indices must not change
/// during the call.
unsafe fn settled<T, const N: usize>(value: &T, places: [usize; N]) -> Option<[*const u8; N]> {
    let start = ptr::from_ref(value).cast::<*const u8>();
    let fits = size_of::<T>() == size_of::<[usize; 4]>() && align_of::<T>() == align_of::<usize>();
    // SAFETY: this is one of the value's four words; the caller guarantees that it is initialised.
    fits.then(|| places.map(|place| unsafe { word(start, place & 3) }))
}

/// Reads the word of a `Bytes` that a clone on another thread may change.
///
/// # Safety
///
/// A `Bytes` must be four words, and the word at this index an `AtomicPtr`.
unsafe fn changing(bytes: &Bytes, place: usize) -> *const u8 {
    let word = ptr::from_ref(bytes).cast::<AtomicPtr<u8>>().wrapping_add(place & 3);
    // SAFETY: the caller guarantees that an `AtomicPtr` lies there; the `Bytes` is borrowed.
    let word = unsafe { &*word };
    // Acquire; pairs with the store by which a clone publishes a new header.
    word.load(Ordering::Acquire)
}

/// Returns the words and the layout of a header, which must be the last block that was allocated.
///
/// # Safety
///
/// A block of `N` words must be a live header, and its words must all be initialised.
unsafe fn header<const N: usize>(
    seen: Option<crate::alloc::Probe>,
) -> Option<([*const u8; N], Layout)> {
    let seen = seen?;
    // SAFETY: by the caller's contract a block of this layout is the header.
    let words = (seen.layout == Layout::new::<[*const u8; N]>())
        .then(|| unsafe { seen.block.cast::<[*const u8; N]>().read() })?;
    Some((words, seen.layout))
}

#[inline]
fn learn_frozen() -> Option<Frozen> {
    const SHARED: usize = 3;
    const THAWED: usize = 5;
    let fixed = Bytes::from_static(b"static");
    // SAFETY: a `Bytes` is an address, a length, data and the reference to a vtable: four words.
    let words_of = |bytes: &Bytes| unsafe { words::<_, 4>(bytes) };
    let fixed_words = words_of(&fixed)?;
    let start = only(&fixed_words, |word| word == fixed.as_ptr().addr())?;
    let len = only(&fixed_words, |word| word == fixed.len())?;
    let data = only(&fixed_words, |word| word == 0)?;
    let kind = (0..4).find(|place| ![start, len, data].contains(place))?;

    let (sole, seen) = allocate_probe(|| Bytes::from(vec![1; 301]));
    let promotable = words_of(&sole)?[kind].addr();
    // The data word is the address of the buffer, with the lowest bit set.
    let buffer = seen?.block;
    if words_of(&sole)?[data].addr() != buffer.addr() | IS_SOLE || buffer.addr() & IS_SOLE != 0 {
        return None;
    }
    let (_second, seen) = allocate_probe(|| sole.clone());
    // SAFETY: the first clone makes a header of an address, a capacity and a counter. The header
    // lives as long as the clones.
    let (shared_words, layout) = unsafe { header::<SHARED>(seen) }?;
    let shared_header = Header::learn(&shared_words, layout, buffer, 301)?;

    let mut spare = Vec::with_capacity(400);
    spare.resize(10, 1);
    let (with_room, _) = allocate_probe(|| Bytes::from(spare));
    let shared = words_of(&with_room)?[kind].addr();

    let (mut growing, seen) = allocate_probe(|| BytesMut::with_capacity(77));
    let buffer = seen?.block;
    growing.resize(50, 1);
    let (part, seen) = allocate_probe(|| growing.split_to(20).freeze());
    // SAFETY: `split_to` makes a header of a `Vec`, a size and a counter. The header lives as long
    // as the parts.
    let (thawed_words, layout) = unsafe { header::<THAWED>(seen) }?;
    let thawed_header = Header::learn(&thawed_words, layout, buffer, 77)?;
    let thawed = words_of(&part)?[kind].addr();

    let kinds = [fixed_words[kind].addr(), promotable, shared, thawed];
    let differ = (1..4).all(|last| !kinds[..last].contains(&kinds[last]));
    let frozen =
        Frozen { start, len, data, kind, promotable, shared, shared_header, thawed, thawed_header };
    (differ && frozen_fits(frozen)).then_some(frozen)
}

#[inline]
fn frozen_fits(frozen: Frozen) -> bool {
    let (mut sole, buffer) = allocate_probe(|| Bytes::from(vec![1; 33]));
    sole.advance(5);
    let (its_buffer, its_header) = frozen.blocks(&sole);
    let alone = its_buffer.is(buffer) && its_header == OwnBlock::Nothing;
    let (second, header) = allocate_probe(|| sole.slice(2..7));
    let both = [&sole, &second].into_iter().all(|part| {
        let (its_buffer, its_header) = frozen.blocks(part);
        its_buffer.is(buffer) && its_header.is(header)
    });
    let are_seen = buffer.is_some() && header.is_some();
    are_seen && alone && both && frozen.blocks(&Bytes::new()) == NOTHING
}

#[inline]
fn learn_growing() -> Option<Growing> {
    const HEADER: usize = 5;
    let (mut made, seen) = allocate_probe(|| BytesMut::with_capacity(77));
    let buffer = seen.filter(|seen| OwnBlock::array(seen.block, 77).is(Some(*seen)))?.block;
    made.resize(50, 1);
    made.advance(3);
    // SAFETY: a `BytesMut` is an address, a length, a capacity and data: four words.
    let words = unsafe { words::<_, 4>(&made) }?;
    let start = only(&words, |word| word == made.as_ptr().addr())?;
    let len = only(&words, |word| word == 47)?;
    let capacity = only(&words, |word| word == 74)?;
    let data = (0..4).find(|place| ![start, len, capacity].contains(place))?;
    let is_sole = words[data].addr() & IS_SOLE != 0 && words[data].addr() >> ADVANCED == 3;

    let (front, seen) = allocate_probe(|| made.split_to(20));
    // SAFETY: `split_to` makes a header of a `Vec`, a size and a counter. The header lives as long
    // as the parts.
    let (header_words, layout) = unsafe { header::<HEADER>(seen) }?;
    let header = Header::learn(&header_words, layout, buffer, 77)?;
    let growing = Growing { start, len, capacity, data, header };
    let blocks = (OwnBlock::array(buffer, 77), OwnBlock::Block(seen?.block, layout));
    let shared = growing.blocks(&front) == blocks && growing.blocks(&made) == blocks;
    (is_sole && shared && growing_fits(growing)).then_some(growing)
}

#[inline]
fn growing_fits(growing: Growing) -> bool {
    [1, 64, 2000, 100_000].into_iter().all(|capacity| {
        let (mut made, seen) = allocate_probe(|| BytesMut::with_capacity(capacity));
        made.resize(capacity, 1);
        [0, 1, capacity / 2].into_iter().all(|step| {
            made.advance(step.min(made.len()));
            let (buffer, header) = growing.blocks(&made);
            buffer.is(seen) && header == OwnBlock::Nothing
        })
    }) && growing.blocks(&BytesMut::new()) == NOTHING
}
