//! Parts that know nothing of tasks: lock-free lists and tables, clocks, locks, walks of stacks.

pub(crate) mod append_list;
pub(crate) mod arena;
pub(crate) mod atomic_ref;
pub(crate) mod before_main;
pub(crate) mod clock;
pub(crate) mod dual_refcount;
pub(crate) mod fork;
pub(crate) mod fork_lock;
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86_64",
    not(miri),
    feature = "enabled",
    feature = "symbols"
))]
pub(crate) mod frames;
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86_64",
    not(miri),
    feature = "enabled",
    feature = "symbols"
)))]
#[path = "no_frames.rs"]
pub(crate) mod frames;
pub(crate) mod free_list;
#[allow(dead_code, reason = "for the graph of the heap, which is made on Linux alone")]
pub(crate) mod gaps;
#[cfg(feature = "tokio")]
pub(crate) mod hazard;
#[cfg(feature = "tokio")]
pub(crate) mod held_block;
pub(crate) mod intern_table;
#[cfg(all(target_os = "linux", any(feature = "enabled", feature = "symbols", feature = "tokio")))]
#[allow(dead_code, reason = "the rooms above use it with some features alone")]
pub(crate) mod loaded;
pub(crate) mod map_by_index;
pub(crate) mod nonmax_nanos;
pub(crate) mod order;
pub(crate) mod page_map;
pub(crate) mod pending_starts;
pub(crate) mod poisson;
pub(crate) mod privileged;
mod radix_tree;
pub(crate) mod reserve;
pub(crate) mod seqlock;
pub(crate) mod slab;
pub(crate) mod spsc_ring;
pub(crate) mod stack_room;
pub(crate) mod start_bits;
pub(crate) mod sync;
pub(crate) mod this_thread;
pub(crate) mod tsc;
#[allow(dead_code, reason = "the rooms above use it with some features alone")]
pub(crate) mod unwind;
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri), feature = "enabled"))]
#[cfg(not(target_arch = "arm"))]
mod unwinder;
mod zeroes;

pub(crate) use append_list::AppendList;
pub(crate) use arena::{Arena, Zeroed};
pub(crate) use atomic_ref::{FREE_BITS, ShiftedRef, StaticRef};
pub(crate) use dual_refcount::DualRefcount;
pub(crate) use fork_lock::{Guard, Lock, Once, Renew};
pub(crate) use free_list::FreeList;
#[cfg(feature = "tokio")]
pub(crate) use hazard::{BUSY, GuardedSlot, HazardSlot};
#[cfg(feature = "tokio")]
pub(crate) use held_block::HeldBlock;
pub(crate) use intern_table::{Hash, InternTable};
pub(crate) use map_by_index::MapByIndex;
pub(crate) use nonmax_nanos::Nanos;
pub(crate) use page_map::{PAGE, Slot};
pub(crate) use pending_starts::Pending;
pub(crate) use seqlock::{Read, SeqLock, WriteGuard};
pub(crate) use slab::{HasLinks, Links, Magazine, Slab, SlabItem, TAKEN};
pub(crate) use spsc_ring::{Ring, Words};
pub(crate) use stack_room::StackBounds;
