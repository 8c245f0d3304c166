//! Registers a variable: names each of its heap blocks.

use std::any::type_name;

use super::Blocks;
use crate::{
    accounting::{Block, Naming, Variable, VariableCallsite, VariableSite},
    alloc::{current, install_check},
    config::ENABLED,
    model::{Extent, TaskId},
};

/// The most blocks of one variable that are followed.
const MOST_BLOCKS: u32 = 4_096;

/// Registers `value`; `show` finds its heap blocks.
///
/// # Cost
///
/// One clock reading and about six locked instructions. A variable without a block costs a few
/// nanoseconds more.
pub fn track_value<T: ?Sized>(
    callsite: &'static VariableCallsite,
    value: &T,
    show: impl FnOnce(&mut Blocks<'_>),
) {
    if !ENABLED {
        return;
    }
    let site = callsite.site(type_name::<T>());
    site.note_registered(size_of_val(value));
    let is_measured = install_check::measured().is_yes();
    let mut registration = Registration::new(site);
    let mut add = |block| {
        if is_measured {
            registration.add(block);
        }
    };
    let mut blocks = Blocks::new(&mut add);
    show(&mut blocks);
    let extent = match (blocks.has_blocks(), blocks.is_opaque() || blocks.is_partial()) {
        (true, _) if !is_measured => Extent::NotMeasured,
        (true, false) => Extent::Whole,
        (true, true) => Extent::Partial,
        (false, true) => Extent::Opaque,
        (false, false) => Extent::Nothing,
    };
    registration.extent = Some(extent);
}

/// A variable while it is being registered. If `show` panics, the drop keeps the blocks that were
/// found until then.
struct Registration {
    site: &'static VariableSite,
    head: Option<&'static Variable>,
    head_depth: u32,
    blocks: u32,
    is_repeated: bool,
    is_cut: bool,
    extent: Option<Extent>,
}

impl Registration {
    fn new(site: &'static VariableSite) -> Self {
        Self {
            site,
            head: None,
            head_depth: 0,
            blocks: 0,
            is_repeated: false,
            is_cut: false,
            extent: None,
        }
    }

    fn add(&mut self, block: Block) {
        self.blocks += 1;
        if self.blocks > MOST_BLOCKS {
            self.is_cut = true;
            return;
        }
        match self.head {
            // The variable that the first block already names has just ended.
            None if self.is_repeated => {}
            None => self.add_head(block),
            Some(head) => {
                let is_outer = block.depth <= self.head_depth;
                self.is_cut |= !head.add_part(block, is_outer);
            }
        }
    }

    fn add_head(&mut self, block: Block) {
        let Some(new) = Variable::take() else {
            self.is_cut = true;
            return;
        };
        new.open_head(self.site, block.layout.size());
        match new.name(block, |there| there.head().is_some_and(|head| head.is_at(self.site))) {
            Naming::Done => {
                // From here on readers see the variable. The registration's hold keeps it alive.
                new.show();
                self.head = Some(new);
                self.site.note_bytes(block.layout.size() as u64);
            }
            Naming::Known(known) => {
                new.give_back();
                self.is_repeated = true;
                // The block has this name already. It lives, so its variable lives too. The
                // registration holds that variable while it looks at the other blocks, as some may
                // be new.
                self.head = known.head().filter(|head| head.hold());
            }
            Naming::Refused => {
                new.give_back();
                self.is_cut = true;
            }
        }
        self.head_depth = block.depth;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(head) = self.head {
            if self.is_cut || self.extent != Some(Extent::Whole) {
                head.note_partial();
            }
            head.release(true, 0, 0);
        }
        if self.is_repeated {
            self.site.note_repeated();
        } else if self.head.is_none() {
            let extent = match self.extent {
                Some(Extent::Whole | Extent::Partial) => Extent::NotFollowed,
                Some(extent) => extent,
                None => Extent::Opaque,
            };
            let task = current::current_task_id().map_or(0, TaskId::as_u64);
            self.site.note_unfollowed(extent, task);
        }
    }
}
