//! The metrics of this second, for registries of other libraries.

use std::sync::Arc;

use memscope_export::MetricFamily;
use memscope_runtime::__server::own;

use crate::latest::{Taken, latest};

/// The families of the latest snapshot. They are memscope's own memory. What a caller makes of them
/// outside of `own` is the program's memory.
#[derive(Debug)]
pub(crate) struct Families(Option<Arc<Taken>>);

impl Families {
    pub(crate) fn latest() -> Self {
        own(|| {
            let taken = latest();
            // They are made here, so that they are memscope's own memory.
            taken.families();
            Self(Some(taken))
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &MetricFamily> {
        self.0.iter().flat_map(|taken| taken.families())
    }
}

impl Drop for Families {
    fn drop(&mut self) {
        own(|| self.0 = None);
    }
}
