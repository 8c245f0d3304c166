//! Blocks that change their owner and stay where they are.

use super::trackable::{Blocks, Contents, Trackable};
use crate::{
    accounting::{Account, Balance, Block, EndInProgress, Record, registry, transferred, variable},
    alloc::{discharge, install_check},
    config::ENABLED,
    model::{Error, Measured, TaskId},
    primitives::SlabItem,
};

/// How often it is tried to see a task stand still.
const ATTEMPTS: usize = 8;

/// What [`transfer`] has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Blocks that belong to the other task now and did not before.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether all that the value holds belongs to the task now. Not so where some of it could not
    /// be found (see [`Trackable`]), is charged to nobody, or where the task ended meanwhile.
    pub is_whole: bool,
}

/// Charges another task with the heap blocks that a value holds: those that [`Trackable`] finds.
///
/// For what one task makes for another: from here on the other one answers for it, whoever frees
/// it. The blocks stay where they are, and names that `track_var!` gave them stay too.
///
/// It counts as a `realloc` by the other task does: for the giver these bytes are freed (elsewhere,
/// unless it is the one that calls), for the taker allocated, of which
/// [`TaskMemoryProfile::transferred_bytes`] says how many were. So `live = allocated − freed` in
/// each row. Allocations are not counted anew, neither in `allocation_count` nor in the sums of
/// [`ProcessMemory`], and the hand-over is in [`MemorySnapshot::hand_overs`].
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
/// When the task has ended or there was none with this id; when sizes are not measured. Then
/// nothing has changed.
///
/// # Cost
///
/// The task is looked for among all accounts, about a nanosecond each; a block takes about ten
/// locked additions. From a program's first transfer on, an allocation that raises its task's peak
/// costs a memory fence more.
///
/// [`TaskMemoryProfile::transferred_bytes`]: crate::async_memory::TaskMemoryProfile::transferred_bytes
/// [`ProcessMemory`]: crate::async_memory::ProcessMemory
/// [`MemorySnapshot::hand_overs`]: crate::async_memory::MemorySnapshot::hand_overs
pub fn transfer<T: Trackable + ?Sized>(value: &T, to: TaskId) -> Result<Transferred, Error> {
    transfer_shown(to, |blocks| value.visit(blocks))
}

/// [`transfer`] of a collection together with what its elements hold: see [`Contents`].
///
/// # Errors
///
/// As [`transfer`].
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
            // Sums are on the move: a snapshot that is being read sees so and is repeated.
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

/// A living task, by its account.
#[derive(Debug)]
struct Taker {
    account: &'static Account,
    id: u64,
}

/// What became of one block.
enum Took {
    Block,
    /// It was the task's already.
    Nothing,
    /// It is charged to nobody, or a Tokio cell.
    Refused,
    /// The task is over.
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
        if !self.hold(bytes) {
            return Took::Ended;
        }
        // From here on the account stays this task's, as these bytes are in it.
        self.note_peak();
        if let Some(giver) = variable::recharge(block, self.account) {
            discharge::transfer_out(giver, self.account.site(), bytes);
            Took::Block
        } else {
            // Somebody else transferred it at the same moment.
            transferred::retract(self.account, bytes as u64);
            self.let_go(bytes);
            Took::Nothing
        }
    }

    /// Adds the bytes to the task's account. False: it is over.
    fn hold(&self, bytes: usize) -> bool {
        // NOTE: where the task ends at this very moment, this stays in what it took over, and
        // counts as freed.
        if self.account.id() != self.id || !transferred::note(self.account, bytes as u64) {
            return false;
        }
        if !self.account.charge_if_open(bytes) {
            transferred::retract(self.account, bytes as u64);
            return false;
        }
        let is_same = self.account.id() == self.id;
        if !is_same {
            // Another task's by now.
            transferred::retract(self.account, bytes as u64);
            self.let_go(bytes);
        }
        is_same
    }

    fn let_go(&self, bytes: usize) {
        if self.account.discharge(bytes) {
            registry::give_back(self.account);
        }
    }

    /// Raises the peak to what is live now.
    fn note_peak(&self) {
        for _ in 0..ATTEMPTS {
            match self.account.read() {
                Balance::Closed { live_bytes, .. } => {
                    let live_bytes = i64::try_from(live_bytes).unwrap_or(0);
                    return transferred::note_peak(self.account, live_bytes);
                }
                Balance::Open { record, .. } => {
                    // While its end is being written, there is none.
                    if let Some(live_bytes) =
                        registry::record(record).and_then(|task| self.live(task))
                    {
                        return transferred::note_peak(self.account, live_bytes);
                    }
                }
            }
            std::thread::yield_now();
        }
    }

    /// What is live, if the task neither allocates nor frees nor ends while it is looked at. One
    /// that does looks by itself at its next allocation.
    fn live(&self, task: &'static Record) -> Option<i64> {
        task.tally().look_again();
        let own_live = task.tally().read().own_live_bytes;
        let net = self.account.net();
        let is_still = task.tally().read().own_live_bytes == own_live
            && matches!(self.account.read(), Balance::Open { record, .. } if record == task.index());
        is_still.then(|| own_live.wrapping_add(net))
    }
}
