//! The variable of a waiting task's future through which the task holds most.
//!
//! The layouts say where the variables of the functions lie that wait, and the copy says which
//! blocks are held through the words there. A variable that was moved leaves its words behind, and
//! the value that was made of it has the same ones. So a block belongs to the innermost function
//! that has it, and there to a single variable. An argument and what it was moved to in the
//! function's first line have one name, and are one variable here.
//!
//! A reference holds nothing. Inside of another type, as in the guard of a lock, it is not known as
//! one; it then mostly points into the block, while what owns a block points to its start. So
//! variables that point to the start come first.

use std::collections::HashMap;

use memscope_layout::{Coroutine, Member, MemberKind, Place};

use super::inquiry::{AT_START, HELD, OF};
use crate::{
    alloc::cells::{CellHeader, HeaderWords},
    await_points::{
        layouts,
        still_walk::{self, Found, Passed, StillMemory},
    },
    picture::{ASKED_WORDS, AskedMemory, Asker, Refused, WORD, words_in},
};

/// The most values of one task that are looked at.
const MOST_VALUES: usize = 256;

/// The cell of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) address: usize,
    pub(super) bytes: usize,
    pub(super) words: HeaderWords,
}

/// A variable that is alive where a function waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    /// Where it is declared; `None` if that is not known, or there are several of this name.
    pub(super) place: Option<&'static Place>,
    /// How many functions wait for the one that it is in.
    depth: usize,
}

/// The variables of all functions that wait, and where their values lie.
#[derive(Debug, Default)]
struct Alive {
    variables: Vec<Variable>,
    values: Vec<Value>,
}

/// Where a value of a variable lies.
#[derive(Debug)]
struct Value {
    /// The index of the variable.
    of: usize,
    start: usize,
    end: usize,
}

/// Reads the layouts, at the first call. They are needed before the process is copied. Returns
/// whether there are any.
pub(super) fn prepare() -> bool {
    layouts::keep().is_ok()
}

/// Whether there are layouts.
pub(super) fn are_known() -> bool {
    layouts::kept().is_some()
}

/// The variable through which more than half of what the task holds alone is held.
pub(super) fn find(
    asker: &mut Asker<'_>,
    cell: Cell,
    retained_bytes: u64,
) -> Result<Option<Variable>, Refused> {
    let Alive { mut variables, values } = alive(asker, cell)?;
    let questions: Vec<[u64; ASKED_WORDS]> = [[OF, cell.address as u64, 0]]
        .into_iter()
        .chain(values.iter().map(|it| [HELD, it.start as u64, it.end as u64]))
        .collect();
    let answers = asker.ask(&questions)?;
    let answers = answers.iter().skip(1).map(|answer| held(answer));
    let most = most(&variables, values.iter().map(|it| it.of).zip(answers));
    let found = most.filter(|(_, bytes)| *bytes > retained_bytes / 2);
    Ok(found.map(|(index, _)| variables.swap_remove(index)))
}

/// The blocks of an answer: where each begins, and what it holds.
fn held(answer: &[u8]) -> Vec<[u64; 2]> {
    let (blocks, bytes) = (words_in(answer).step_by(2), words_in(answer).skip(1).step_by(2));
    blocks.zip(bytes).map(|(block, bytes)| [block, bytes]).collect()
}

/// The variable, as an index, through which most is held, and how much. `held`: variables, and the
/// blocks of one of their values.
fn most(
    variables: &[Variable],
    held: impl Iterator<Item = (usize, Vec<[u64; 2]>)>,
) -> Option<(usize, u64)> {
    /// What a block belongs to: a variable, or several of the same function.
    #[derive(Clone, Copy)]
    struct Owned {
        by: Option<usize>,
        /// Whether a word points to the start of the block, then how deep the function is: the
        /// highest goes first.
        rank: (bool, usize),
        bytes: u64,
    }
    let mut blocks: HashMap<u64, Owned> = HashMap::new();
    for (index, held) in held {
        let depth = variables.get(index).map_or(0, |variable| variable.depth);
        for [block, bytes] in held {
            let rank = (block & AT_START != 0, depth);
            let new = Owned { by: Some(index), rank, bytes };
            let owned = blocks.entry(block & !AT_START).or_insert(new);
            if owned.rank < rank {
                *owned = new;
            } else if owned.rank == rank && owned.by != Some(index) {
                owned.by = None;
            }
        }
    }
    let mut sums = vec![0_u64; variables.len()];
    for owned in blocks.values() {
        if let Some(sum) = owned.by.and_then(|index| sums.get_mut(index)) {
            *sum = sum.saturating_add(owned.bytes);
        }
    }
    sums.into_iter().enumerate().max_by_key(|(_, bytes)| *bytes)
}

/// Whether a task has not finished, and is not being polled.
fn waits(header: CellHeader) -> bool {
    !header.is_finished && !header.is_running
}

/// The variables of the functions that wait in the task, the outermost function first.
fn alive(asker: &mut Asker<'_>, cell: Cell) -> Result<Alive, Refused> {
    let kind = cell.words.kind().filter(|kind| cell.words.header(kind, 0).is_some_and(waits));
    let Some(kind) = kind else { return Ok(Alive::default()) };
    let layout = still_walk::cell_layout(kind, None).ok();
    let Some(layout) = layout.filter(|layout| layout.size <= cell.bytes as u64) else {
        return Ok(Alive::default());
    };
    let mut memory = AskedMemory::new(asker, cell.address, Vec::new());
    let found = still_walk::walk_cell(&mut memory, cell.address, layout, kind.future(), &mut 0);
    let mut alive = Alive::default();
    if let Some(Found::At { passed, .. }) = found {
        for (depth, function) in passed.iter().enumerate() {
            alive.add_function(depth, function, &mut memory);
        }
    }
    match memory.refused {
        Some(why) => Err(why),
        None => Ok(alive),
    }
}

impl Alive {
    /// Adds the variables of a function that waits.
    fn add_function(&mut self, depth: usize, function: &Passed, memory: &mut impl StillMemory) {
        let machine = layouts::kept().and_then(|it| it.coroutines().get(function.coroutine));
        let members = machine.and_then(|machine| members(machine, function, memory));
        for member in members.unwrap_or_default().iter().filter(|it| is_variable(it)) {
            let size = member.size.and_then(|size| usize::try_from(size).ok());
            let Some(size) = size.filter(|size| *size >= WORD) else { continue };
            if self.values.len() < MOST_VALUES {
                let of = self.variable(depth, &member.name, member.declared_at.as_ref());
                let offset = usize::try_from(member.offset).unwrap_or(0);
                let start = function.address.wrapping_add(offset);
                self.values.push(Value { of, start, end: start.saturating_add(size) });
            }
        }
    }

    /// The index of the variable with this name in the function.
    fn variable(
        &mut self,
        depth: usize,
        name: &'static str,
        place: Option<&'static Place>,
    ) -> usize {
        let is_it = |it: &Variable| it.depth == depth && it.name == name;
        if let Some(index) = self.variables.iter().position(is_it) {
            if let Some(known) = self.variables.get_mut(index).filter(|it| it.place != place) {
                known.place = None;
            }
            return index;
        }
        self.variables.push(Variable { name, place, depth });
        self.variables.len() - 1
    }
}

/// What the function keeps in the state that it is in.
fn members(
    machine: &'static Coroutine,
    function: &Passed,
    memory: &mut impl StillMemory,
) -> Option<&'static [Member]> {
    let discriminant = machine.discriminant?;
    let offset = usize::try_from(discriminant.offset).ok()?;
    let size = u8::try_from(discriminant.size).ok()?;
    let value = still_walk::number(memory, function.address, offset, size)?;
    Some(&machine.state(value)?.members)
}

/// Whether a member is a variable that may hold a block, and not only point to one.
fn is_variable(member: &Member) -> bool {
    let is_reference = ["&", "*const ", "*mut "].iter().any(|it| member.type_name.starts_with(it));
    matches!(member.kind, MemberKind::Captured | MemberKind::Local) && !is_reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_belongs_to_the_innermost_function_and_there_to_one_variable() {
        let variable = |name, depth| Variable { name, place: None, depth };
        let variables = [variable("moved", 0), variable("kept", 0), variable("argument", 1)];
        let most = |held: &[(usize, [u64; 2])]| {
            most(&variables, held.iter().map(|(of, block)| (*of, vec![*block])))
        };
        // What was handed on leaves its words behind.
        assert_eq!(most(&[(0, [16, 500]), (1, [32, 20]), (2, [16, 500])]), Some((2, 500)));
        // Two of the same function have it: it is not known which one holds it.
        assert_eq!(most(&[(0, [16, 500]), (1, [16, 500]), (1, [32, 20])]), Some((1, 20)));
        // Blocks of one variable are added up, each once.
        assert_eq!(
            most(&[(0, [16, 30]), (1, [32, 20]), (1, [48, 20]), (0, [16, 30])]),
            Some((1, 40))
        );
        // The guard of a lock, in the innermost function, points into the block.
        assert_eq!(most(&[(1, [16 | AT_START, 500]), (2, [16, 500])]), Some((1, 500)));
    }

    #[test]
    fn values_of_one_name_in_a_function_are_one_variable() {
        let place =
            |line| -> &'static Place { Box::leak(Box::new(Place { file: "a".into(), line })) };
        let mut alive = Alive::default();
        let first = alive.variable(0, "body", Some(place(1)));
        assert_eq!(alive.variable(0, "body", Some(place(1))), first);
        assert!(alive.variables[first].place.is_some());
        assert_ne!(alive.variable(1, "body", None), first, "another function's");
        // `let body = body;`
        assert_eq!(alive.variable(0, "body", Some(place(2))), first);
        assert_eq!(alive.variables[first].place, None);
    }

    #[test]
    fn an_answer_is_pairs_of_words() {
        let bytes: Vec<u8> = [16_u64, 500, 32, 7].iter().flat_map(|it| it.to_ne_bytes()).collect();
        assert_eq!(held(&bytes), [[16, 500], [32, 7]]);
        assert!(held(&[]).is_empty());
    }
}
