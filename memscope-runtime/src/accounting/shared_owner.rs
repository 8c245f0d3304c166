//! Shared owners: memory that belongs to no task and has a name, such as that of a cache.
//!
//! Many threads are inside at one time, so nothing here has a single writer. Every change is a
//! locked addition. The balance of the account is what all threads together have live, so the peak
//! is exact too.
//!
//! A record for each thread and name would save the locked additions. But the peaks of such records
//! do not add up to a peak.

use crossbeam_utils::CachePadded;

use super::{
    account::{Account, Balance},
    registry,
    tally::Tally,
    untracked::Untracked,
};
use crate::{
    config,
    model::text,
    primitives::{
        Hash, InternTable, arena,
        sync::{AtomicU64, Ordering, add, raise},
    },
};

/// One shared owner: its name and its sums.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The mode tally that is current on the threads that are inside. It has no account, so the
    /// allocator takes its slow path. All threads read it, and no thread charges it.
    mode: CachePadded<Tally>,
    name: &'static str,
    index: u32,
    hash: u64,
    /// The account that is charged; it is never closed.
    account: &'static Account,
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    peak_bytes: AtomicU64,
}

/// One reading of a shared owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedReading {
    pub(crate) name: &'static str,
    /// The index by which [`name`] finds its name.
    pub(crate) index: u32,
    pub(crate) peak_bytes: u64,
    /// Its part of the untracked memory.
    pub(crate) memory: Untracked,
}

static SHARED: InternTable<Shared> = InternTable::new();

/// Stands for all names past the limit.
const OTHER: &str = "(other)";

/// The most bytes of names that are kept. Past this, new names go to `(other)`.
const MOST_NAME_BYTES: u64 = 1 << 20;

static NAME_BYTES: AtomicU64 = AtomicU64::new(0);

impl Shared {
    /// Returns the shared owner with this name, and makes it if it does not exist. Returns
    /// `(other)` if there are too many names, and `None` if there is no memory.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        text::with_name(name, Self::of_bounded)
    }

    fn of_bounded(name: &str) -> Option<&'static Self> {
        let has_room = || {
            let names = NAME_BYTES.load(Ordering::Relaxed).saturating_add(name.len() as u64);
            SHARED.made() < config::site_rows() && names <= MOST_NAME_BYTES
        };
        Self::find(name, has_room).or_else(|| Self::find(OTHER, || true))
    }

    fn find(name: &str, has_room: impl Fn() -> bool) -> Option<&'static Self> {
        let hash = Hash::new().number(name.len() as u64).text(name).get();
        let is_same = |shared: &Self| shared.hash == hash && shared.name == name;
        SHARED.get_or_insert(hash, is_same, has_room, |index| Self::make(name, hash, index))
    }

    fn make(name: &str, hash: u64, index: u32) -> Option<&'static Self> {
        let shared = arena::keep(Self {
            mode: CachePadded::new(Tally::leading_to(index)),
            name: arena::keep_str(name)?,
            index,
            hash,
            account: registry::shared_account()?,
            allocated_bytes: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        })?;
        NAME_BYTES.fetch_add(name.len() as u64, Ordering::Relaxed);
        Some(shared)
    }

    pub(crate) fn mode(&'static self) -> &'static Tally {
        &self.mode
    }

    /// Charges a block to the shared owner with this index, to which its mode tally leads.
    pub(crate) fn charge(index: u32, bytes: usize) -> Option<&'static Account> {
        let shared = SHARED.get(index)?;
        add(&shared.allocated_bytes, bytes as u64);
        add(&shared.allocations, 1);
        // Must come after `allocated_bytes`, so that live bytes never exceed allocated bytes. Pairs
        // with `read`.
        let live = shared.account.charge(bytes);
        raise(&shared.peak_bytes, u64::try_from(live).unwrap_or(0));
        Some(shared.account)
    }

    fn read(&self) -> Option<SharedReading> {
        // Must come first: see `charge`.
        let Balance::Open { net_bytes, net_blocks, .. } = self.account.read() else { return None };
        let memory = Untracked {
            allocated_bytes: self.allocated_bytes.load(Ordering::Relaxed),
            allocations: self.allocations.load(Ordering::Relaxed),
            live_bytes: u64::try_from(net_bytes).unwrap_or(0),
            live_blocks: u64::from(net_blocks),
        };
        // An owner that lost the race to be made has no allocations, and does not count.
        (memory.allocations != 0).then(|| SharedReading {
            name: self.name,
            index: self.index,
            peak_bytes: self.peak_bytes.load(Ordering::Relaxed).max(memory.live_bytes),
            memory,
        })
    }
}

/// Blocks that were freed inside a shared owner, and whose own owner the program had overwritten
/// with zeroes.
pub(crate) fn zeroes() -> u64 {
    SHARED.iter().map(|shared| shared.mode.zeroes()).sum()
}

/// The name of the shared owner with this index.
pub(crate) fn name(index: u32) -> Option<&'static str> {
    SHARED.get(index).map(|shared| shared.name)
}

/// All shared owners to which a block was ever charged.
pub(crate) fn read() -> impl Iterator<Item = SharedReading> {
    SHARED.iter().filter_map(Shared::read)
}
