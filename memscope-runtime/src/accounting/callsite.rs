//! Callsites: places in the code where a macro stands, each with its site.

use super::{site::Key, site::Site};
use crate::{model::TaskType, primitives::StaticRef};

/// The place of a `#[tracked]`; the macro makes it. Its site is looked up once.
#[derive(Debug)]
pub struct Callsite {
    key: Key<'static>,
    site: StaticRef<Site>,
}

impl Callsite {
    /// A callsite at this place, with the name and the kind of its tasks.
    pub const fn new(
        name: &'static str,
        task_type: TaskType,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self { key: Key { name, task_type, file, line, column: 0 }, site: StaticRef::none() }
    }

    #[inline]
    pub(crate) fn site(&self) -> &'static Site {
        self.site.get().unwrap_or_else(|| {
            let site = Site::of(self.key);
            self.site.set(site);
            site
        })
    }
}
