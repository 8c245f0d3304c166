//! Memory of the copy of the process, which is asked for as it is needed.

#[cfg(feature = "layout")]
use std::collections::BTreeMap;

use super::{asker::Asker, copy::Refused};
#[cfg(feature = "layout")]
use crate::{await_points::still_walk::StillMemory, primitives::PAGE};

/// Memory of the copy, what is around one value.
pub(crate) struct AskedMemory<'a, 'p> {
    asker: &'a mut Asker<'p>,
    #[cfg(feature = "layout")]
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Why nothing more can be read.
    pub(crate) refused: Option<Refused>,
}

impl<'a, 'p> AskedMemory<'a, 'p> {
    /// `bytes`: what is known to be at this address.
    #[cfg_attr(
        not(feature = "layout"),
        expect(
            unused_variables,
            clippy::needless_pass_by_value,
            reason = "no piece is read again"
        )
    )]
    pub(crate) fn new(asker: &'a mut Asker<'p>, address: usize, bytes: Vec<u8>) -> Self {
        Self {
            asker,
            #[cfg(feature = "layout")]
            pieces: BTreeMap::from([(address, bytes)]),
            refused: None,
        }
    }

    /// The words from an address on, as far as they can be read.
    pub(crate) fn words(&mut self, address: usize, count: usize) -> Vec<usize> {
        self.asker.read_words(address, count).unwrap_or_else(|why| {
            self.refused = Some(why);
            Vec::new()
        })
    }
}

/// Copies what is at the address, if it lies in these bytes, which are at `start`.
#[cfg(feature = "layout")]
fn copy_part(start: usize, bytes: &[u8], address: usize, into: &mut [u8]) -> bool {
    let first = address - start;
    let part = first.checked_add(into.len()).and_then(|end| bytes.get(first..end));
    if let Some(part) = part {
        into.copy_from_slice(part);
    }
    part.is_some()
}

#[cfg(feature = "layout")]
impl StillMemory for AskedMemory<'_, '_> {
    fn read(&mut self, address: usize, into: &mut [u8]) -> bool {
        /// What is read around an address: mostly a discriminant or a pointer.
        const PIECE: usize = 256;
        /// From this many pieces on it is a whole page. The futures of a list often share one, and
        /// an answer takes as long as thousands of bytes do.
        const FEW: usize = 16;
        /// The most pieces that are kept.
        const MOST: usize = 256;

        let before = self.pieces.range(..=address).next_back();
        if before.is_some_and(|(start, bytes)| copy_part(*start, bytes, address, into)) {
            return true;
        }
        let page = address & !(PAGE - 1);
        let is_in_page = address - page + into.len() <= PAGE;
        let (start, bytes) = if self.pieces.len() >= FEW && is_in_page {
            (page, PAGE)
        } else {
            (address, into.len().max(PIECE))
        };
        if self.pieces.len() >= MOST {
            self.pieces.clear();
        }
        match self.asker.read(start, bytes) {
            Ok(bytes) => {
                let is_there = copy_part(start, &bytes, address, into);
                // No piece that begins later stands before this one.
                self.pieces.retain(|it, _| !(start..=address).contains(it));
                self.pieces.insert(start, bytes);
                is_there
            }
            Err(why) => {
                self.refused = Some(why);
                false
            }
        }
    }
}
