//! All blocks of the program in a picture, found by their addresses.

use std::ptr;

use super::{bits::Bits, graph::NoRoom};
use crate::{
    accounting::{
        Owner,
        block_layout::{FRONT, HEADER, MOST_FRONT, is_fronted},
        listed::Listed,
    },
    picture::{List, Maps, Range, WORD, word},
    primitives::{PAGE, page_map, start_bits},
};

/// The blocks, in the order of their addresses.
///
/// A block takes 12 bytes and a bit here. Its owner is not among them: few are asked for, and the
/// block has it.
#[derive(Debug)]
pub(super) struct Blocks {
    starts: List<u64>,
    /// [`LARGE`] for what does not fit.
    sizes: List<u32>,
    /// Those that may be cells.
    cells: Bits,
    pages: Pages,
    pub(super) bytes: u64,
}

impl Blocks {
    /// Finds all blocks that lie in readable memory, without memscope's own.
    pub(super) fn find(maps: &Maps) -> Result<Self, NoRoom> {
        let count = count(maps);
        let mut large = Found::new(count.large)?;
        page_map::for_each(|block, slot| {
            let listed = Listed::of_slot(block, slot);
            if listed.bytes > MOST_FRONT || block.is_multiple_of(PAGE) {
                large.add(maps, listed);
            }
        });
        let mut all = Found::new(count.large + count.small)?;
        let mut next = 0;
        for map in maps.all.iter() {
            start_bits::for_each(map.start, map.end - WORD, |place| {
                let Some(listed) = listed_at(place) else { return };
                while next < large.starts.len() && large.starts[next] < listed.block as u64 {
                    all.copy(&large, next);
                    next += 1;
                }
                all.add(maps, listed);
            });
        }
        while next < large.starts.len() {
            all.copy(&large, next);
            next += 1;
        }
        if all.is_full || large.is_full {
            return Err(NoRoom);
        }
        let Found { starts, sizes, cells, .. } = all;
        let size = |block: usize| size(starts[block], sizes[block]);
        let bytes = (0..starts.len()).map(size).sum();
        let pages = Pages::of(&starts, size)?;
        Ok(Self { starts, sizes, cells, pages, bytes })
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn start(&self, block: usize) -> usize {
        self.starts[block] as usize
    }

    #[inline]
    pub(super) fn size(&self, block: usize) -> u64 {
        size(self.starts[block], self.sizes[block])
    }

    /// The owner, as the block's word or slot says it.
    pub(super) fn owner(&self, block: usize) -> Owner {
        let start = self.start(block);
        let block = ptr::without_provenance(start);
        let listed = match page_map::slot(block).filter(|_| !is_fronted(block)) {
            Some(slot) => Some(Listed::of_slot(start, slot)),
            None => listed_at(start - if is_fronted(block) { FRONT } else { HEADER }),
        };
        listed.map_or(Owner::shifted(0), |listed| listed.owner)
    }

    /// Whether the block may be the cell of a Tokio task, tracked or not.
    pub(super) fn may_be_cell(&self, block: usize) -> bool {
        self.cells.is_set(block)
    }

    /// The block that an address lies in.
    #[inline]
    pub(super) fn at(&self, address: usize) -> Option<usize> {
        let address = address as u64;
        let (first, last) = self.pages.range(address)?;
        let before = self.starts[first..last].partition_point(|start| *start <= address);
        let block = (first + before).checked_sub(1)?;
        (address - self.starts[block] < self.size(block)).then_some(block)
    }

    /// Calls `each` with what lies between the blocks of a mapping, if it has any.
    pub(super) fn each_gap(&self, map: Range, mut each: impl FnMut(Range)) {
        let first = self.starts.partition_point(|start| *start < map.start as u64);
        let blocks = first..self.len();
        let mut at = map.start;
        let mut has_any = false;
        for block in blocks.take_while(|block| self.start(*block) < map.end) {
            let start = self.start(block);
            if at < start {
                each(Range { start: at, end: start });
            }
            at = start + self.size(block) as usize;
            has_any = true;
        }
        if has_any && at < map.end {
            each(Range { start: at, end: map.end });
        }
    }

    /// The integer of this many bytes at an address; `None` outside of this range, which is that of
    /// a block.
    #[allow(dead_code, reason = "for blocks of a known type, which takes layouts")]
    pub(super) fn number(block: std::ops::Range<usize>, at: usize, size: u8) -> Option<u64> {
        let size = usize::from(size);
        let is_inside = block.start <= at && at.checked_add(size)? <= block.end;
        if !is_inside || !(1..=WORD).contains(&size) {
            return None;
        }
        let (first, last) = (at / WORD * WORD, (at + size - 1) / WORD * WORD);
        let shift = (at - first) as u32 * u8::BITS;
        // SAFETY: a byte of the word is in the block, so the word is in its mapping; aligned.
        let low = unsafe { word(first) } as u64 >> shift;
        // SAFETY: as above.
        let high = if last == first { 0 } else { (unsafe { word(last) } as u64) << (64 - shift) };
        let unused = (WORD - size) as u32 * u8::BITS;
        Some((low | high) << unused >> unused)
    }

    /// Calls `each` with every block that a word in this range points at or into, and whether it
    /// points at the start. The lowest bits of a word may be a tag.
    ///
    /// # Safety
    ///
    /// The range can be read.
    #[inline]
    pub(super) unsafe fn scan(&self, start: usize, end: usize, mut each: impl FnMut(usize, bool)) {
        let mut at = start.next_multiple_of(WORD);
        while at + WORD <= end {
            // SAFETY: the caller's contract; aligned.
            let pointer = unsafe { word(at) };
            if let Some(block) = self.at(pointer) {
                each(block, self.start(block) == pointer & !(WORD - 1));
            }
            at += WORD;
        }
    }
}

/// Stands for the size of a block of 4 GiB and more, which has a slot.
const LARGE: u32 = u32::MAX;

/// The size of the block that begins here, of which this is kept.
#[inline]
fn size(start: u64, kept: u32) -> u64 {
    if kept == LARGE { size_in_slot(start) } else { u64::from(kept) }
}

#[cold]
fn size_in_slot(start: u64) -> u64 {
    let slot = page_map::slot(ptr::without_provenance(start as usize));
    slot.map_or(u64::from(LARGE), |slot| Listed::of_slot(start as usize, slot).bytes as u64)
}

/// The block that begins at a place with a start bit.
fn listed_at(place: usize) -> Option<Listed> {
    // SAFETY: the caller has found the place in a readable mapping, a word before its end.
    let words = [unsafe { word(place) } as u64, unsafe { word(place + WORD) } as u64];
    Listed::of(place, words)
}

struct Count {
    small: usize,
    large: usize,
}

/// At least as many as there are.
fn count(maps: &Maps) -> Count {
    let mut count = Count { small: 0, large: 0 };
    page_map::for_each(|_, _| count.large += 1);
    for map in maps.all.iter() {
        start_bits::for_each(map.start, map.end - WORD, |_| count.small += 1);
    }
    count
}

/// Blocks that were found so far.
struct Found {
    starts: List<u64>,
    sizes: List<u32>,
    cells: Bits,
    is_full: bool,
    /// Readable memory without a gap, where the last block was looked for.
    run: Range,
}

impl Found {
    fn new(capacity: usize) -> Result<Self, NoRoom> {
        let make = || {
            Some(Self {
                starts: List::with_capacity(capacity)?,
                sizes: List::with_capacity(capacity)?,
                cells: Bits::new(capacity)?,
                is_full: false,
                run: Range { start: 0, end: 0 },
            })
        };
        make().ok_or(NoRoom)
    }

    /// Adds a block that is the program's, lies in readable memory, and begins behind the last one.
    fn add(&mut self, maps: &Maps, listed: Listed) {
        let Listed { block, bytes, owner, is_marked } = listed;
        let is_own = owner == Owner::memscope();
        let is_behind = self.end() <= block as u64;
        if !is_own && is_behind && bytes != 0 && self.is_readable(maps, block, bytes) {
            let kept = u32::try_from(bytes).unwrap_or(LARGE);
            self.push(block as u64, kept, is_marked || owner.may_be_cell());
        }
    }

    /// Whether this many bytes can be read there.
    fn is_readable(&mut self, maps: &Maps, start: usize, bytes: usize) -> bool {
        // PERF: most blocks lie where the one before does.
        if !self.run.contains(start) {
            let Some(map) = maps.at(start) else { return false };
            self.run = Range { start: map.start, end: maps.end_of_run(map) };
        }
        start.saturating_add(bytes) <= self.run.end
    }

    fn copy(&mut self, from: &Self, at: usize) {
        if self.end() <= from.starts[at] {
            self.push(from.starts[at], from.sizes[at], from.cells.is_set(at));
        }
    }

    fn end(&self) -> u64 {
        let last = self.starts.last().zip(self.sizes.last());
        last.map_or(0, |(start, kept)| start + size(*start, *kept))
    }

    fn push(&mut self, start: u64, kept: u32, may_be_cell: bool) {
        let at = self.starts.len();
        let has_room = self.starts.push(start) && self.sizes.push(kept);
        if has_room && may_be_cell {
            self.cells.set(at);
        }
        self.is_full |= !has_room;
    }
}

/// For each page between blocks that are near each other, the first block in it or behind it.
#[derive(Debug)]
struct Pages {
    /// The first page of each run, the page behind its last one, and where it begins in `first`.
    runs: List<u64>,
    first: List<u32>,
}

/// Blocks with this many pages between them are in different runs.
const GAP: u64 = 1 << 10;

const PAGE_BYTES: u64 = PAGE as u64;

impl Pages {
    fn of(starts: &[u64], size: impl Fn(usize) -> u64) -> Result<Self, NoRoom> {
        let mut runs = List::<u64>::with_capacity(3 * starts.len()).ok_or(NoRoom)?;
        let mut pages = 0;
        for (block, start) in starts.iter().enumerate() {
            let end = start + size(block);
            let (page, end) = (start / PAGE_BYTES, (end - 1) / PAGE_BYTES + 1);
            let count = runs.len();
            let last = if count == 0 { None } else { Some(runs[count - 2]) };
            if last.is_none_or(|last| last + GAP < page) {
                let has_room = runs.push(page) && runs.push(end) && runs.push(pages);
                if !has_room {
                    return Err(NoRoom);
                }
                pages += end - page + 1;
            } else if let Some(last) = last.filter(|last| *last < end) {
                runs[count - 2] = end;
                pages += end - last;
            }
        }
        let mut first = List::<u32>::with_capacity(pages as usize).ok_or(NoRoom)?;
        let mut next = 0;
        for run in runs.chunks_exact(3) {
            for page in run[0]..=run[1] {
                while next < starts.len() && starts[next] / PAGE_BYTES < page {
                    next += 1;
                }
                if !first.push(u32::try_from(next).map_err(|_| NoRoom)?) {
                    return Err(NoRoom);
                }
            }
        }
        Ok(Self { runs, first })
    }

    /// The blocks that begin in the page of an address; one before the first may reach into it.
    #[inline]
    fn range(&self, address: u64) -> Option<(usize, usize)> {
        let page = address / PAGE_BYTES;
        // Most words are no addresses of the heap at all.
        let last = self.runs.len().checked_sub(3)?;
        if page < self.runs[0] || page >= self.runs[last + 1] {
            return None;
        }
        let (mut low, mut high) = (0, last / 3 + 1);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if self.runs[3 * middle] <= page { low = middle } else { high = middle }
        }
        let run = &self.runs[3 * low..3 * low + 3];
        if page >= run[1] {
            return None;
        }
        let at = (run[2] + page - run[0]) as usize;
        Some((self.first[at] as usize, self.first[at + 1] as usize))
    }
}
