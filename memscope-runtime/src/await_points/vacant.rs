//! Which bytes of a task's block are vacant: no value is there that may have a pointer.
//!
//! A state machine has room for the values of all its states. In one of them, the room of the
//! others has what was there before: values of an earlier state, or what lay on the stack that the
//! future was moved from. Words in it are no references, and neither are those that are vacant in
//! part: a pointer is in a value that has the whole word.
//!
//! [`Vacancies`] are made from the layouts before the process is copied (`vacant_types`). The copy
//! only reads them: it takes no memory and no lock.

use std::ops::Range;

/// The most values in each other that are looked into, at one time and in all. Only what a damaged
/// file describes has more.
const MOST_OPEN: usize = 64;
const MOST_STEPS: usize = 1 << 12;

/// The bytes of an address.
const WORD: u8 = 8;

/// The number of a type in [`Vacancies`].
pub(crate) type KindNumber = u32;

/// A type of which all bytes count.
pub(crate) const WHOLE: KindNumber = 0;

/// What is vacant in the values of each type that is known.
#[derive(Debug)]
pub(crate) struct Vacancies {
    pub(super) kinds: Vec<Kind>,
    /// The types behind the vtables of `dyn Future`, ordered by their addresses.
    pub(super) vtables: Vec<(usize, KindNumber)>,
}

/// A type, as far as it leads to something vacant.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) size: usize,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Whole,
    /// A number in the value decides.
    Choice {
        offset: usize,
        size: u8,
        choices: Vec<Choice>,
    },
    Parts(Vec<Part>),
    /// The address of a value that has a block of its own.
    Box(KindNumber),
    /// The addresses of such a value and of its vtable.
    Object {
        data: usize,
        vtable: usize,
    },
}

/// What one value of the number stands for.
#[derive(Debug)]
pub(super) struct Choice {
    /// `None` stands for all values that no other choice has.
    pub(super) value: Option<u64>,
    pub(super) vacant: Vec<Range<usize>>,
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) offset: usize,
    pub(super) kind: KindNumber,
}

/// What is found in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// These addresses are vacant.
    Vacant(Range<usize>),
    /// A value of this type is in the block that begins at this address.
    Value(usize, KindNumber),
}

impl Vacancies {
    /// Calls `found` with all that is found in the value of this type at `start`. `read` reads the
    /// integer of this many bytes at an address; it returns `None` outside of the value's block.
    pub(crate) fn find(
        &self,
        kind: KindNumber,
        start: usize,
        read: impl Fn(usize, u8) -> Option<u64>,
        mut found: impl FnMut(Found),
    ) {
        let word = |at| read(at, WORD).and_then(|it| usize::try_from(it).ok());
        let mut open = [(0, WHOLE); MOST_OPEN];
        let mut count = 0;
        let mut next = Some((start, kind));
        for _ in 0..MOST_STEPS {
            let Some((at, kind)) = next else { return };
            let mut enter = |parts: &[Part]| {
                for part in parts {
                    if let Some(place) = open.get_mut(count) {
                        *place = (at.wrapping_add(part.offset), part.kind);
                        count += 1;
                    }
                }
            };
            match self.kinds.get(kind as usize).map(|it| &it.content) {
                Some(Content::Parts(parts)) => enter(parts),
                Some(Content::Choice { offset, size, choices }) => {
                    let value = read(at.wrapping_add(*offset), *size);
                    let exact = |it: &&Choice| it.value.is_some() && it.value == value;
                    let other = |it: &&Choice| it.value.is_none() && value.is_some();
                    let choice = choices.iter().find(exact);
                    if let Some(choice) = choice.or_else(|| choices.iter().find(other)) {
                        enter(&choice.parts);
                        for range in &choice.vacant {
                            let (start, end) = (range.start, range.end);
                            found(Found::Vacant(at.wrapping_add(start)..at.wrapping_add(end)));
                        }
                    }
                }
                Some(Content::Box(kind)) => {
                    if let Some(data) = word(at) {
                        found(Found::Value(data, *kind));
                    }
                }
                Some(Content::Object { data, vtable }) => {
                    let vtable = word(at.wrapping_add(*vtable));
                    let is_known = |it: usize| self.vtables.binary_search_by_key(&it, |it| it.0);
                    let known = vtable.and_then(|it| self.vtables.get(is_known(it).ok()?));
                    if let Some((data, (_, kind))) = word(at.wrapping_add(*data)).zip(known) {
                        found(Found::Value(data, *kind));
                    }
                }
                Some(Content::Whole) | None => {}
            }
            next = count.checked_sub(1).and_then(|last| open.get(last).copied());
            count = count.saturating_sub(1);
        }
    }

    /// The size of the values of a type.
    pub(crate) fn size(&self, kind: KindNumber) -> usize {
        self.kinds.get(kind as usize).map_or(0, |it| it.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = 0x1000;

    /// What is found in a value of the last of these types with these bytes.
    fn find(contents: Vec<Content>, vtables: Vec<(usize, KindNumber)>, bytes: &[u8]) -> Vec<Found> {
        let last = KindNumber::try_from(contents.len()).expect("few");
        let contents = std::iter::once(Content::Whole).chain(contents);
        let kinds = contents.map(|content| Kind { size: bytes.len(), content }).collect();
        let read = |at: usize, size: u8| {
            let at = at.checked_sub(START)?;
            let read = bytes.get(at..at.checked_add(size.into())?)?;
            Some(read.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let mut all = Vec::new();
        Vacancies { kinds, vtables }.find(last, START, read, |found| all.push(found));
        all
    }

    fn part(offset: usize, kind: KindNumber) -> Part {
        Part { offset, kind }
    }

    fn choice(value: Option<u64>, vacant: Range<usize>, parts: &[Part]) -> Choice {
        Choice { value, vacant: vec![vacant], parts: parts.to_vec() }
    }

    #[test]
    fn the_state_says_what_is_vacant_and_which_values_are_alive() {
        let machine = || Content::Choice {
            offset: 2,
            size: 1,
            choices: vec![
                choice(Some(3), 3..8, &[]),
                choice(None, 8..9, &[]),
                choice(Some(4), 4..6, &[part(8, 1)]),
            ],
        };
        let vacant = |start, end| Found::Vacant(START + start..START + end);
        assert_eq!(find(vec![machine()], vec![], &[0, 0, 3]), [vacant(3, 8)]);
        assert_eq!(find(vec![machine()], vec![], &[0, 0, 9]), [vacant(8, 9)], "any other");
        assert_eq!(find(vec![machine()], vec![], &[0, 0]), [], "its number is elsewhere");
        let inside = |inner: u8| {
            find(vec![machine(), machine()], vec![], &[0, 0, 4, 0, 0, 0, 0, 0, 0, 0, inner])
        };
        assert_eq!(inside(3), [vacant(4, 6), vacant(11, 16)]);
        assert_eq!(inside(4)[..2], [vacant(4, 6), vacant(12, 14)]);
    }

    #[test]
    fn values_in_boxes_are_told_with_their_types() {
        let parts = || Content::Parts(vec![part(0, 1), part(8, 2)]);
        let object = || Content::Object { data: 0, vtable: 8 };
        let mut bytes = [0; 24];
        (bytes[1], bytes[9], bytes[16]) = (0x20, 0x30, 0x77);
        let contents = || vec![Content::Box(5), object(), parts()];
        let boxed = Found::Value(0x2000, 5);
        let found = find(contents(), vec![(0x66, 1), (0x77, 9)], &bytes);
        assert_eq!(found, [Found::Value(0x3000, 9), boxed.clone()]);
        assert_eq!(find(contents(), vec![(0x66, 1)], &bytes), [boxed], "of a library");
    }

    #[test]
    fn a_type_that_contains_itself_ends() {
        let endless = Content::Parts(vec![part(0, 1), part(8, 1), part(16, 1)]);
        assert_eq!(find(vec![endless], vec![], &[0; 24]), []);
    }
}
