//! Damaged files, made of a healthy one.

use std::ops::Range;

use proptest::{prelude::*, test_runner::FileFailurePersistence};

/// A change to the file.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// Replaces bytes in one of the regions that a test chooses: its number, a place, a value.
    Bytes(Vec<(usize, prop::sample::Index, u8)>),
    /// Ends the file here.
    Cut(prop::sample::Index),
}

pub(crate) fn damage(regions: usize) -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let value = || prop_oneof![Just(0u8), Just(0xff), any::<u8>()];
    prop_oneof![
        8 => prop::collection::vec((0..regions, index(), value()), 1..40).prop_map(Damage::Bytes),
        1 => index().prop_map(Damage::Cut),
    ]
}

impl Damage {
    pub(crate) fn apply(self, bytes: &mut Vec<u8>, regions: &[Range<usize>]) {
        match self {
            Self::Bytes(changes) => {
                for (region, at, value) in changes {
                    let region = regions[region].clone();
                    bytes[region.start + at.index(region.len())] = value;
                }
            }
            Self::Cut(at) => {
                let length = at.index(bytes.len());
                bytes.truncate(length);
            }
        }
    }
}

/// At least this many cases.
pub(crate) fn cases(least: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases.max(least),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..config
    }
}
