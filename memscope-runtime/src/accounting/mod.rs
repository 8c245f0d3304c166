//! Exact counters: which owner has a block, and what each task, thread, site and variable holds.

pub(crate) mod block_layout;
pub(crate) mod callsite;
pub(crate) mod account;
pub(crate) mod block;
pub(crate) mod budget;
#[cfg(feature = "tokio")]
pub(crate) mod block_mark;
pub(crate) mod counter_cells;
pub(crate) mod cross_frees;
pub(crate) mod end_stamps;
pub(crate) mod ended_tasks;
pub(crate) mod event;
pub(crate) mod future_type;
pub(crate) mod listed;
pub(crate) mod owner_word;
pub(crate) mod peak;
pub(crate) mod peak_window;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod shared_owner;
pub(crate) mod site;
pub(crate) mod site_totals;
#[cfg(feature = "tracing")]
pub(crate) mod span;
pub(crate) mod stacks;
pub(crate) mod stream_items;
pub(crate) mod tally;
pub(crate) mod thread_ring;
pub(crate) mod transferred;
pub(crate) mod unrecorded;
pub(crate) mod untracked;
pub(crate) mod variable;
pub(crate) mod variable_site;

pub(crate) use account::{Account, Balance};
pub(crate) use block::Block;
pub(crate) use block_layout::{FRONT, FRONT_ALIGN, INNER_ALIGN, Inner, Place, Request};
pub use callsite::Callsite;
pub(crate) use cross_frees::{CrossFree, LastPair};
pub(crate) use end_stamps::EndStamp;
pub(crate) use ended_tasks::Ended;
pub(crate) use event::Event;
pub(crate) use future_type::FutureType;
pub(crate) use owner_word::{Owner, OwnerKind};
pub(crate) use peak_window::Window;
#[cfg(feature = "tokio")]
pub(crate) use record::NewTask;
pub(crate) use record::{Poll, Record, RecordReading};
pub(crate) use shared_owner::{Shared, SharedReading};
#[cfg(feature = "tokio")]
pub(crate) use site::PLAIN_COLUMN;
pub(crate) use site::{Key, Site, UNNAMED, UNTRACKED};
pub(crate) use site_totals::SumsReading;
#[cfg(feature = "tracing")]
pub(crate) use span::{Role, Span};
#[cfg(feature = "stream")]
pub(crate) use stream_items::Counts;
pub(crate) use stream_items::ItemsReading;
pub(crate) use tally::{LARGE_BLOCK, Leads, Tally, TallyReading};
pub(crate) use thread_ring::{EndEpochs, EndInProgress, ThreadRing};
pub(crate) use unrecorded::{FinishedCells, Unrecorded};
pub(crate) use untracked::Untracked;
pub(crate) use variable::{Naming, Variable, VariableReading};
pub use variable_site::VariableCallsite;
pub(crate) use variable_site::{VariableSite, VariableSiteReading};
