//! A bit for each block.

use crate::picture::List;

#[derive(Debug)]
pub(super) struct Bits(List<u64>);

const WIDTH: usize = u64::BITS as usize;

impl Bits {
    /// This many bits, none of which is set; `None` if the system has no memory.
    pub(super) fn new(blocks: usize) -> Option<Self> {
        List::zeroed(blocks / WIDTH + 1).map(Self)
    }

    pub(super) fn set(&mut self, block: usize) {
        self.0[block / WIDTH] |= 1 << (block % WIDTH);
    }

    #[inline]
    pub(super) fn is_set(&self, block: usize) -> bool {
        self.0[block / WIDTH] & 1 << (block % WIDTH) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_that_is_set_is_no_other() {
        let mut bits = Bits::new(130).expect("memory");
        let set = [0, 63, 64, 129, 130];
        for block in set {
            bits.set(block);
        }
        let found: Vec<usize> = (0..=130).filter(|block| bits.is_set(*block)).collect();
        assert_eq!(found, set);
    }
}
