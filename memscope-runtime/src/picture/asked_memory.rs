//! Memory of the copy of the process, which is asked for as it is needed.

use super::{asker::Asker, copy::Refused};
#[cfg(feature = "layout")]
use crate::await_points::still_walk::StillMemory;

/// Memory of the copy, what is around one value.
pub(crate) struct AskedMemory<'a, 'p> {
    asker: &'a mut Asker<'p>,
    #[cfg(feature = "layout")]
    pieces: Vec<(usize, Vec<u8>)>,
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
            pieces: vec![(address, bytes)],
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

#[cfg(feature = "layout")]
impl StillMemory for AskedMemory<'_, '_> {
    fn read(&mut self, address: usize, into: &mut [u8]) -> bool {
        /// What is read around an address: mostly a discriminant or a pointer.
        const PIECE: usize = 256;
        let part = |(start, bytes): &(usize, Vec<u8>)| {
            let first = address.checked_sub(*start)?;
            bytes.get(first..first.checked_add(into.len())?).map(<[u8]>::to_vec)
        };
        let known = self.pieces.iter().find_map(part);
        let found = known.or_else(|| match self.asker.read(address, into.len().max(PIECE)) {
            Ok(bytes) => {
                let found = bytes.get(..into.len()).map(<[u8]>::to_vec);
                self.pieces.push((address, bytes));
                found
            }
            Err(why) => {
                self.refused = Some(why);
                None
            }
        });
        if let Some(found) = &found {
            into.copy_from_slice(found);
        }
        found.is_some()
    }
}
