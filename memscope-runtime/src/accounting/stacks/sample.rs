//! Sampled blocks: the owner word of each points to a record, which covers the owner.
//!
//! A record has the *segments* of the block that were sampled. A new block is one segment. A
//! reallocation that grows the block and is sampled adds a segment. A reallocation that shrinks the
//! block cuts its segments. Each segment keeps its sample point and the mean with which the point
//! was drawn. A segment that loses its point is gone. Any other one stands for what a block of its
//! new length would. So the sum is unbiased whatever comes later, and a sample never stands for a
//! few bytes only.

use super::stack;
use crate::{
    accounting::{
        account::Account,
        owner_word::{Owner, OwnerKind},
        site::UNTRACKED,
    },
    primitives::{
        HasLinks, Links, Read, SeqLock, Slab, Zeroed, poisson,
        sync::{AtomicU32, AtomicU64, Ordering},
    },
};

/// The most records at one time, 64 bytes each.
const MOST_SAMPLES: u32 = 1 << 16;
/// The most segments of one block. A further one joins a segment of the same place, or the last
/// one.
const MOST_SEGMENTS: usize = 16;

/// The record of a sampled block, or a further segment of one.
///
/// Invariant: only the thread that allocates, reallocates or frees the block writes its records,
/// except for the owner, which a transfer or a name may replace.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Sample {
    /// The owner word that the block would have without the record; 0 if the record is free, or is
    /// a further segment.
    covered: AtomicU64,
    /// The version of all segments of the block, in the block's first record.
    version: SeqLock,
    /// The first byte of the segment, and the byte behind its last one.
    from: AtomicU64,
    to: AtomicU64,
    /// The sample point; [`JOINED`] if there is none.
    point: AtomicU64,
    /// The mean that the point was drawn with, or the bits of a joined segment's weight.
    drawn: AtomicU64,
    /// The index of the place.
    place: AtomicU32,
    /// Index + 1 of the next segment; 0 if there is none.
    next: AtomicU32,
    links: Links,
}

// SAFETY: atomics only, all valid when zeroed, none with a destructor.
unsafe impl Zeroed for Sample {}

impl HasLinks for Sample {
    fn links(&self) -> &Links {
        &self.links
    }
}

static SAMPLES: Slab<Sample> = Slab::new();

/// The first sample point in some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// The mean that the distance to it was drawn with.
    pub(crate) mean: u64,
    /// The bytes from the point on, the point included.
    pub(crate) behind: u64,
}

/// Stands for the sample point of a segment that is made of several.
const JOINED: u64 = u64::MAX;

/// What a segment's bytes stand for.
#[derive(Clone, Copy, Debug)]
enum Drawn {
    /// They contain the byte `point`, and stand for what a sampled block of their number does.
    Point { point: u64, mean: u64 },
    /// Each of them stands for `weight` bytes.
    Joined { weight: f64 },
}

/// A piece of a block that was sampled as one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// The index of the place.
    pub(super) place: u32,
    from: u64,
    to: u64,
    drawn: Drawn,
}

impl Segment {
    const NONE: Self = Self { place: 0, from: 0, to: 0, drawn: Drawn::Joined { weight: 0.0 } };

    /// The bytes from `from` to `to` of a block, with their first sample point.
    pub(super) fn new(place: u32, from: u64, to: u64, Point { mean, behind }: Point) -> Self {
        let point = to.saturating_sub(behind).max(from);
        Self { place, from, to, drawn: Drawn::Point { point, mean } }
    }

    fn length(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    fn weight(self) -> f64 {
        match self.drawn {
            Drawn::Point { mean, .. } => poisson::weight(self.length(), mean),
            Drawn::Joined { weight } => weight,
        }
    }

    /// What the live bytes of the segment stand for, in parts of a byte.
    pub(super) fn parts(self) -> u64 {
        match self.length() {
            0 => 0,
            length => stack::parts(length, self.weight()),
        }
    }

    /// Extends the segment to the end of a later one, with the sum of what both stand for.
    #[expect(clippy::cast_precision_loss, reason = "estimates are not exact")]
    fn join(self, later: Self) -> Self {
        let stands_for = |segment: Self| match segment.length() {
            0 => 0.0,
            length => length as f64 * segment.weight(),
        };
        let sum = stands_for(self) + stands_for(later);
        let joined = Self { to: later.to.max(self.to), ..self };
        let weight = sum / (joined.length() as f64).max(1.0);
        Self { drawn: Drawn::Joined { weight }, ..joined }
    }

    /// Cuts the segment to a block of this size. It is empty if nothing is left that was sampled.
    fn cut(self, size: u64) -> Self {
        let has_point = match self.drawn {
            Drawn::Point { point, .. } => point < size,
            Drawn::Joined { .. } => true,
        };
        Self { to: if has_point { self.to.min(size) } else { self.from }, ..self }
    }
}

impl Sample {
    /// Takes a record for a block with this owner. Returns `None` at the limit, or if there is no
    /// memory.
    pub(crate) fn cover(owner: Owner, segment: Segment) -> Option<&'static Self> {
        let new = SAMPLES.take_up_to(MOST_SAMPLES)?;
        let _writing = new.version.write();
        new.put(segment);
        new.next.store(0, Ordering::Release);
        // Release; pairs with the Acquire in `read`, as on all words of a seqlock.
        new.covered.store(owner.0, Ordering::Release);
        Some(new)
    }

    /// Frees the record, because its block is freed. Returns the owner that it covered.
    pub(crate) fn end(&'static self) -> Owner {
        let owner = self.covered();
        if owner.is_none() {
            // The program has freed the block before.
            return owner;
        }
        {
            let _writing = self.version.write();
            self.covered.store(0, Ordering::Release);
            for part in self.parts() {
                SAMPLES.put(part);
            }
        }
        SAMPLES.put(self);
        owner
    }

    /// Moves the record on to the block's next owner and size. If none of its segments is left,
    /// frees the record. Returns the owner word that the block gets.
    pub(crate) fn resized(&'static self, owner: Owner, size: u64) -> Owner {
        let mut is_any_left = false;
        {
            let _writing = self.version.write();
            self.covered.store(owner.0, Ordering::Release);
            let mut before = self;
            is_any_left |= self.cut(size);
            for part in self.parts() {
                if part.cut(size) {
                    is_any_left = true;
                    before = part;
                } else {
                    before.next.store(part.next.load(Ordering::Relaxed), Ordering::Release);
                    SAMPLES.put(part);
                }
            }
        }
        if is_any_left { Owner::sampled(self) } else { self.end() }
    }

    /// Adds a segment. It joins another one if there is no room for it.
    pub(crate) fn add(&'static self, new: Segment) {
        let _writing = self.version.write();
        if self.segment().parts() == 0 {
            return self.put(new);
        }
        let mut last = self;
        let mut count = 1;
        let mut same = (self.segment().place == new.place).then_some(self);
        for part in self.parts() {
            same = if part.segment().place == new.place { Some(part) } else { same };
            last = part;
            count += 1;
        }
        let room = if count < MOST_SEGMENTS { SAMPLES.take_up_to(MOST_SAMPLES) } else { None };
        if let Some(part) = room {
            part.put(new);
            part.next.store(0, Ordering::Release);
            return last.next.store(part.index_and_one(), Ordering::Release);
        }
        // NOTE: a later shrink to a size inside the joined segment cuts it in proportion, as it has
        // several points. If no segment is of the same place, the bytes are live at another place
        // of the block.
        let joins = same.unwrap_or(last);
        joins.put(joins.segment().join(new));
    }

    /// The owner that is covered.
    pub(crate) fn covered(&self) -> Owner {
        // Acquire; pairs with the exchange of `block_layout::rename`: the names of the block.
        Owner(self.covered.load(Ordering::Acquire))
    }

    /// The owner that is covered, for code that replaces it.
    pub(crate) fn covered_word(&self) -> &AtomicU64 {
        &self.covered
    }

    /// The further segments of the block.
    fn parts(&self) -> impl Iterator<Item = &'static Self> {
        let mut next = self.next.load(Ordering::Acquire);
        // The bound is for readers, which may follow an old link.
        (1..MOST_SEGMENTS).map_while(move |_| {
            let part = SAMPLES.get(next.checked_sub(1)?)?;
            next = part.next.load(Ordering::Acquire);
            Some(part)
        })
    }

    fn index_and_one(&self) -> u32 {
        use crate::primitives::SlabItem;

        self.index().wrapping_add(1)
    }

    fn put(&self, segment: Segment) {
        let (point, drawn) = match segment.drawn {
            Drawn::Point { point, mean } => (point, mean),
            Drawn::Joined { weight } => (JOINED, weight.to_bits()),
        };
        self.place.store(segment.place, Ordering::Release);
        self.from.store(segment.from, Ordering::Release);
        self.to.store(segment.to, Ordering::Release);
        self.point.store(point, Ordering::Release);
        self.drawn.store(drawn, Ordering::Release);
    }

    pub(super) fn segment(&self) -> Segment {
        let drawn = self.drawn.load(Ordering::Acquire);
        Segment {
            place: self.place.load(Ordering::Acquire),
            from: self.from.load(Ordering::Acquire),
            to: self.to.load(Ordering::Acquire),
            drawn: match self.point.load(Ordering::Acquire) {
                JOINED => Drawn::Joined { weight: f64::from_bits(drawn) },
                point => Drawn::Point { point, mean: drawn },
            },
        }
    }

    /// Cuts the segment to a block of this size. Returns whether anything is left of it.
    fn cut(&self, size: u64) -> bool {
        let cut = self.segment().cut(size);
        self.to.store(cut.to, Ordering::Release);
        cut.length() != 0
    }
}

/// The account that an owner leads to.
fn account_of(owner: Owner) -> Option<&'static Account> {
    match owner.read() {
        OwnerKind::Account(account) | OwnerKind::Cell(account) => Some(account),
        OwnerKind::Named(name) => name.account(),
        OwnerKind::Sampled(_) | OwnerKind::Memscope | OwnerKind::Unknown => None,
    }
}

/// The index of the owner's site.
pub(super) fn site_of(owner: Owner) -> u32 {
    account_of(owner).map_or(UNTRACKED, Account::site)
}

/// One reading of a live sampled block.
#[derive(Debug)]
pub(super) struct LiveBlock {
    /// The id of the task that has the block; 0 if none has it.
    pub(super) task: u64,
    /// The index of its site.
    pub(super) site: u32,
    segments: [Segment; MOST_SEGMENTS],
    len: usize,
}

impl LiveBlock {
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().take(self.len)
    }
}

/// All live sampled blocks, in no order.
pub(super) fn live() -> impl Iterator<Item = LiveBlock> {
    SAMPLES.iter().filter_map(Sample::read)
}

impl Sample {
    /// Reads the record of a live block. Returns `None` if this is no such record.
    fn read(&'static self) -> Option<LiveBlock> {
        const ATTEMPTS: usize = 64;
        for _ in 0..ATTEMPTS {
            match self.try_read() {
                Read::Consistent(block) => return Some(block),
                Read::Empty => return None,
                Read::Torn => std::hint::spin_loop(),
            }
        }
        None
    }

    /// Reads the record once. Returns `Empty` if it is not the record of a live block.
    pub(super) fn try_read(&'static self) -> Read<LiveBlock> {
        let owner = self.covered();
        if owner.is_none() {
            return Read::Empty;
        }
        match self.version.read(|| self.words(owner)) {
            // Otherwise a transfer has given the block to another task meanwhile.
            Read::Consistent(block) if self.covered() == owner => Read::Consistent(block),
            Read::Consistent(_) | Read::Torn => Read::Torn,
            Read::Empty => Read::Empty,
        }
    }

    fn words(&'static self, owner: Owner) -> LiveBlock {
        let account = account_of(owner);
        let mut block = LiveBlock {
            task: account.map_or(0, Account::id),
            site: account.map_or(UNTRACKED, Account::site),
            segments: [Segment::NONE; MOST_SEGMENTS],
            len: 0,
        };
        for (place, part) in
            block.segments.iter_mut().zip(std::iter::once(self).chain(self.parts()))
        {
            *place = part.segment();
            block.len += 1;
        }
        block
    }
}

/// Bytes that records have taken from the system.
pub(super) fn held_bytes() -> u64 {
    SAMPLES.held_bytes()
}

/// The record that begins at this address; `None` if none does.
#[inline]
pub(crate) fn at(address: usize) -> Option<&'static Sample> {
    SAMPLES.at_address(address)
}
