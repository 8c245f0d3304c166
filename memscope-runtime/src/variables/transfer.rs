//! `transfer`: gives heap blocks to another owner without moving them.

use super::trackable::{Blocks, Contents, Trackable};
use crate::{
    accounting::{
        Account, Balance, Block, EndInProgress, Record, budget, registry,
        transferred::{self, Generation},
        variable,
    },
    alloc::{discharge, install_check},
    config::ENABLED,
    model::{Error, Measured, TaskId},
    primitives::SlabItem,
};

/// How many times a transfer tries to read a task's live bytes while the task stands still.
const ATTEMPTS: usize = 8;

/// What [`transfer`] has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Blocks that belong to the receiving task now and did not before.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether everything that the value holds belongs to the task now. It is `false` if a block
    /// could not be found (see [`Trackable`]) or has no owner, or if the task ended meanwhile.
    pub is_whole: bool,
}

/// Charges another task with the heap blocks that a value holds: those that [`Trackable`] finds.
///
/// Use it for values that one task makes for another. From now on the other task owns the blocks,
/// whichever task frees them. The blocks stay where they are and keep the names that `track_var!`
/// gave them.
///
/// A transfer counts like a `realloc` by the receiving task. The giver's row counts the bytes as
/// freed: freed elsewhere, unless the giver makes the call. The receiver's row counts them as
/// allocated, and [`TaskMemoryProfile::transferred_bytes`] says how many of its bytes came by
/// transfers. So `live = allocated − freed` holds in each row. Allocations are not counted again,
/// neither in `allocation_count` nor in the sums of [`ProcessMemory`]. The hand-over appears in
/// [`MemorySnapshot::hand_overs`].
///
/// ```
/// use memscope_runtime::async_memory::{get_memory_snapshot, track, transfer};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let keeper = track(std::future::pending::<()>());
/// let to = keeper.id().unwrap();
/// let maker = track(async { vec![1u8; 5000] });
/// let from = maker.id().unwrap();
/// let made = maker.await;
///
/// assert_eq!(transfer(&made, to)?.bytes, 5000);
/// let snapshot = get_memory_snapshot();
/// assert_eq!(snapshot.task(from).unwrap().live_bytes, 0);
/// assert_eq!(snapshot.task(to).unwrap().live_bytes, 5000);
/// # Ok::<(), memscope_runtime::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// If the task has ended, no task has this id, or sizes are not measured. Nothing has changed then.
///
/// # Cost
///
/// The task is looked up among all accounts, about a nanosecond each. A block takes about ten
/// locked additions. From the program's first transfer on, an allocation that raises its task's
/// peak costs one memory fence more.
///
/// [`TaskMemoryProfile::transferred_bytes`]: crate::async_memory::TaskMemoryProfile::transferred_bytes
/// [`ProcessMemory`]: crate::async_memory::ProcessMemory
/// [`MemorySnapshot::hand_overs`]: crate::async_memory::MemorySnapshot::hand_overs
pub fn transfer<T: Trackable + ?Sized>(value: &T, to: TaskId) -> Result<Transferred, Error> {
    transfer_shown(to, |blocks| value.visit(blocks))
}

/// Like [`transfer`], also for what the elements of a collection hold: see [`Contents`].
///
/// # Errors
///
/// Those of [`transfer`].
pub fn transfer_deep<T: Contents + ?Sized>(value: &T, to: TaskId) -> Result<Transferred, Error> {
    transfer_shown(to, |blocks| value.visit_contents(blocks))
}

fn transfer_shown(to: TaskId, show: impl FnOnce(&mut Blocks<'_>)) -> Result<Transferred, Error> {
    let measured = if ENABLED { install_check::measured() } else { Measured::Disabled };
    if !measured.is_yes() {
        return Err(Error::not_measured(measured));
    }
    let taker = Taker::find(to).ok_or_else(|| Error::task_is_over(to))?;
    let mut moved = Transferred { is_whole: true, ..Transferred::default() };
    let mut is_over = false;
    let mut take = |block: Block| {
        let mut took = Took::Ended;
        if !is_over {
            // Sums change from here on. A reader that takes a snapshot notices this and reads
            // again.
            let _folding = EndInProgress::begin();
            took = taker.take(block);
        }
        match took {
            Took::Block => {
                moved.blocks += 1;
                moved.bytes += block.layout.size() as u64;
            }
            Took::Nothing => {}
            Took::Refused => moved.is_whole = false,
            Took::Ended => {
                is_over = true;
                moved.is_whole = false;
            }
        }
    };
    let mut blocks = Blocks::new(&mut take);
    show(&mut blocks);
    let is_found = !(blocks.is_opaque() || blocks.is_partial());
    if is_over && moved.blocks == 0 {
        return Err(Error::task_is_over(to));
    }
    moved.is_whole &= is_found;
    Ok(moved)
}

/// A live task, identified by its account and its id.
#[derive(Debug)]
struct Taker {
    account: &'static Account,
    id: u64,
}

/// The result of taking one block.
enum Took {
    Block,
    /// The block already belonged to the task.
    Nothing,
    /// The block has no owner, or is a Tokio cell.
    Refused,
    /// The task has ended.
    Ended,
}

impl Taker {
    fn find(task: TaskId) -> Option<Self> {
        let id = task.as_u64();
        let account = registry::accounts().find(|account| account.id() == id)?;
        matches!(account.read(), Balance::Open { .. }).then_some(Self { account, id })
    }

    fn take(&self, block: Block) -> Took {
        let bytes = block.layout.size();
        match variable::charged_to(block) {
            Some(there) if std::ptr::eq(there, self.account) => return Took::Nothing,
            Some(_) => {}
            None => return Took::Refused,
        }
        let Some(noted) = self.hold(bytes) else { return Took::Ended };
        // From here on the account stays with this task, as it holds these bytes.
        self.note_peak();
        if let Some(giver) = variable::recharge(block, self.account) {
            discharge::transfer_out(giver, self.account.site(), bytes);
            Took::Block
        } else {
            // Another thread transferred the block at the same moment.
            transferred::retract(self.account, bytes as u64, noted);
            self.let_go(bytes);
            Took::Nothing
        }
    }

    /// Adds the bytes to the task's account. Returns `None` if the task has ended or there is no
    /// memory to count them.
    fn hold(&self, bytes: usize) -> Option<Generation> {
        // NOTE: if the task ends at this very moment, its row keeps these bytes as taken over, and
        // counts them as freed.
        if self.account.id() != self.id {
            return None;
        }
        let noted = transferred::note(self.account, bytes as u64)?;
        if !self.account.charge_if_open(bytes) {
            transferred::retract(self.account, bytes as u64, noted);
            return None;
        }
        if self.account.id() != self.id {
            // The account belongs to another task by now.
            transferred::retract(self.account, bytes as u64, noted);
            self.let_go(bytes);
            return None;
        }
        Some(noted)
    }

    fn let_go(&self, bytes: usize) {
        if self.account.discharge(bytes) {
            registry::give_back(self.account);
        }
    }

    /// Raises the task's peak to its present live bytes, and compares these with its budget.
    fn note_peak(&self) {
        for _ in 0..ATTEMPTS {
            match self.account.read() {
                Balance::Closed { live_bytes, .. } => {
                    let live_bytes = i64::try_from(live_bytes).unwrap_or(0);
                    return transferred::note_peak(self.account, live_bytes);
                }
                Balance::Open { record, .. } => {
                    // While the task's end is being written, the account names no record.
                    if let Some(live_bytes) =
                        registry::record(record).and_then(|task| self.live(task))
                    {
                        transferred::note_peak(self.account, live_bytes);
                        budget::note_transfer(self.account, live_bytes);
                        return;
                    }
                }
            }
            std::thread::yield_now();
        }
        // The live bytes are not known, so the end of the task's poll compares.
        budget::note_transfer(self.account, i64::MAX);
    }

    /// The task's live bytes; `None` if it allocates, frees or ends during the read. A task that
    /// allocates or frees checks its peak itself at its next allocation.
    fn live(&self, task: &'static Record) -> Option<i64> {
        task.tally().look_again();
        let own_live = task.tally().read().own_live_bytes;
        let net = self.account.net();
        let is_still = task.tally().read().own_live_bytes == own_live
            && matches!(self.account.read(), Balance::Open { record, .. } if record == task.index());
        is_still.then(|| own_live.wrapping_add(net))
    }
}
