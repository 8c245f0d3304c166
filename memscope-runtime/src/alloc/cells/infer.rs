//! Finds out, from samples whose state is known, which word of a cell is the state and what its
//! bits mean.

use super::header::WORDS;

/// The first words of a sample's cell, and what is known of its task.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that Tokio keeps as bits of one word")]
pub(super) struct Sample {
    pub(super) words: [u64; WORDS],
    pub(super) is_finished: bool,
    pub(super) is_running: bool,
    pub(super) is_cancelled: bool,
    pub(super) has_handle: bool,
}

/// The bits of the state word, each as a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    pub(super) finished: u64,
    pub(super) running: u64,
    pub(super) cancelled: u64,
    pub(super) handle: u64,
}

/// Returns the index of the state word and its bits. Returns `None` unless exactly one word has
/// exactly one bit for each fact.
pub(super) fn state(samples: &[Sample]) -> Option<(usize, Bits)> {
    let mut found = (0..WORDS).filter_map(|word| {
        let bit = |fact: fn(&Sample) -> bool| bit(samples, word, fact);
        let bits = Bits {
            finished: bit(|sample| sample.is_finished)?,
            running: bit(|sample| sample.is_running)?,
            cancelled: bit(|sample| sample.is_cancelled)?,
            handle: bit(|sample| sample.has_handle)?,
        };
        Some((word, bits))
    });
    let state = found.next()?;
    found.next().is_none().then_some(state)
}

/// Returns the mask of the one bit of a word that is set just where the fact holds.
fn bit(samples: &[Sample], word: usize, fact: fn(&Sample) -> bool) -> Option<u64> {
    // A fact that always or never holds teaches nothing.
    let holds = samples.iter().filter(|sample| fact(sample)).count();
    if holds == 0 || holds == samples.len() {
        return None;
    }
    let agreeing = samples.iter().fold(u64::MAX, |bits, sample| {
        let value = sample.words.get(word).copied().unwrap_or(0);
        bits & if fact(sample) { value } else { !value }
    });
    agreeing.is_power_of_two().then_some(agreeing)
}

/// Returns the one index of which `holds` is true for all samples.
pub(super) fn only(
    indices: std::ops::Range<usize>,
    holds: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut found = indices.filter(|index| holds(*index));
    let index = found.next()?;
    found.next().is_none().then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINISHED: u64 = 1 << 1;
    const RUNNING: u64 = 1 << 0;
    const CANCELLED: u64 = 1 << 5;
    const HANDLE: u64 = 1 << 3;

    /// Samples whose state is in this word, with these counts of references above the bits.
    fn samples(word: usize) -> Vec<Sample> {
        let sample = |state: u64, references: u64| {
            let mut words = [0x5500_0000_1000; WORDS];
            words[word] = state | references << 6;
            Sample {
                words,
                is_finished: state & FINISHED != 0,
                is_running: state & RUNNING != 0,
                is_cancelled: state & CANCELLED != 0,
                has_handle: state & HANDLE != 0,
            }
        };
        vec![
            sample(HANDLE, 2),
            sample(0, 1),
            sample(HANDLE, 4),
            sample(HANDLE | FINISHED, 1),
            sample(HANDLE | FINISHED | CANCELLED, 1),
            sample(HANDLE | RUNNING, 3),
        ]
    }

    #[test]
    fn the_state_is_found_wherever_it_is() {
        let bits =
            Bits { finished: FINISHED, running: RUNNING, cancelled: CANCELLED, handle: HANDLE };
        for word in 0..WORDS {
            assert_eq!(state(&samples(word)), Some((word, bits)));
        }
    }

    /// Headers of other Tokios, which say the same facts in other ways.
    #[test]
    fn a_header_that_says_it_otherwise_is_refused() {
        type Change = fn(&Sample, u64) -> u64;
        let changed = |change: Change| {
            let mut samples = samples(2);
            for sample in &mut samples {
                sample.words[2] = change(sample, sample.words[2]);
            }
            state(&samples)
        };
        assert!(changed(|_, word| word.rotate_left(17)).is_some(), "other bits are found");
        let ways: [(&str, Change); 5] = [
            ("a bit that is set while the task has not finished", |_, word| word ^ FINISHED),
            ("no bit for the handle, which only counts", |_, word| word & !HANDLE),
            ("one bit for two facts", |sample, word| {
                let either = sample.is_finished || sample.is_running;
                word & !(FINISHED | RUNNING) | if either { FINISHED } else { 0 }
            }),
            ("two bits for one fact", |sample, word| {
                word | if sample.is_cancelled { 1 << 60 } else { 0 }
            }),
            ("a number for each state", |sample, word| {
                let number = u64::from(sample.is_finished) + 2 * u64::from(sample.is_running);
                word & !(FINISHED | RUNNING) | (number + 1) << 40
            }),
        ];
        for (what, change) in ways {
            assert_eq!(changed(change), None, "{what}");
        }
    }

    #[test]
    fn samples_that_contradict_teach_nothing() {
        for index in 0..6 {
            let mut wrong = samples(0);
            wrong[index].words[0] ^= FINISHED;
            assert_eq!(state(&wrong), None, "{index}");
        }
        let mut two_words = samples(0);
        for sample in &mut two_words {
            sample.words[5] = sample.words[0];
        }
        assert_eq!(state(&two_words), None, "either may be the state");
        assert_eq!(state(&samples(0)[..5]), None, "no sample runs");
        assert_eq!(state(&[]), None);
    }
}
