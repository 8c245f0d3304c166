//! Parses the output of `-Zprint-type-sizes`, as far as it describes coroutines.

use std::{collections::BTreeMap, fmt::Write};

use memscope_layout::{Coroutine, StateKind};

/// A member: name, offset, size.
type Member = (String, u64, u64);

/// The coroutines that the compiler printed.
#[derive(Debug, Default)]
pub(crate) struct TypeSizes {
    pub(crate) coroutines: Vec<Known>,
}

/// One coroutine.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) name: String,
    size: u64,
    align: u64,
    discriminant: u64,
    states: BTreeMap<String, Vec<Member>>,
}

impl TypeSizes {
    pub(crate) fn parse(text: &str) -> Self {
        let mut all = Self::default();
        let (mut is_in, mut state, mut end) = (false, String::new(), 0);
        for line in text.lines().filter_map(|it| it.strip_prefix("print-type-size ")) {
            let line = line.trim();
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            if what == "type:" {
                // type: `{async fn body of f()}`: 16 bytes, alignment: 8 bytes
                is_in = rest.starts_with("`{async ");
                if is_in {
                    let (name, sizes) = rest.rsplit_once("`: ").unwrap();
                    let name = name.trim_start_matches('`').to_owned();
                    let numbers = numbers(sizes);
                    let (size, align) = (numbers[0], numbers[1]);
                    all.coroutines.push(Known { name, size, align, ..Known::default() });
                }
            } else if is_in {
                let known = all.coroutines.last_mut().unwrap();
                match what {
                    "discriminant:" => known.discriminant = numbers(rest)[0],
                    "variant" => {
                        rest.split('`').nth(1).unwrap().clone_into(&mut state);
                        known.states.entry(state.clone()).or_default();
                        end = known.discriminant;
                    }
                    "padding:" => end += numbers(rest)[0],
                    "upvar" | "local" | "field" => {
                        // local `.it`: 8 bytes, offset: 0 bytes, alignment: 8 bytes, type: F
                        let (name, rest) = rest.split_once("`: ").unwrap();
                        let sizes = rest.split(", type: ").next().unwrap();
                        let offset = sizes.split(", ").find_map(|it| it.strip_prefix("offset: "));
                        let offset = offset.map_or(end, |it| numbers(it)[0]);
                        let size = numbers(sizes)[0];
                        let name = normal(name.trim_start_matches("`."));
                        known.states.get_mut(&state).unwrap().push((name, offset, size));
                        end = offset + size;
                    }
                    _ => {}
                }
            }
        }
        all
    }

    /// Removes the coroutine with exactly this layout. Returns `false` if there is none.
    pub(crate) fn take(&mut self, coroutine: &Coroutine) -> bool {
        let at = self.coroutines.iter().position(|it| it.is(coroutine));
        at.is_some_and(|at| {
            self.coroutines.remove(at);
            true
        })
    }
}

impl Known {
    fn is(&self, coroutine: &Coroutine) -> bool {
        (self.size, Some(self.align)) == (coroutine.size, coroutine.align)
            && self.states.len() == coroutine.states.len()
            && coroutine.states.iter().all(|state| {
                let mut left = self.states.get(&name(state.kind)).cloned().unwrap_or_default();
                let is_there = state.members.iter().all(|it| {
                    let member = (normal(&it.name), it.offset, it.size.expect("defined"));
                    let at = left.iter().position(|it| *it == member);
                    at.map(|at| left.swap_remove(at)).is_some()
                });
                // A member that is left must be hidden, and among the candidates.
                is_there
                    && left.len() == state.hidden.len()
                    && state.hidden.iter().all(|hidden| {
                        let at = left.iter().position(|(name, offset, size)| {
                            **name == *hidden.name
                                && (hidden.candidates.is_empty()
                                    || hidden.candidates.iter().any(|it| {
                                        it.size == Some(*size)
                                            && it.offset.is_none_or(|it| it == *offset)
                                    }))
                        });
                        at.map(|at| left.swap_remove(at)).is_some()
                    })
            })
    }
}

fn name(kind: StateKind) -> String {
    match kind {
        StateKind::Unresumed => "Unresumed".to_owned(),
        StateKind::Returned => "Returned".to_owned(),
        StateKind::Panicked => "Panicked".to_owned(),
        StateKind::Suspended(number) => format!("Suspend{number}"),
    }
}

/// Maps the numbers of values without a name to one name, since they differ between the two
/// sources.
fn normal(name: &str) -> String {
    let is_number = name.strip_prefix("__").is_some_and(|it| it.parse::<u32>().is_ok());
    if is_number || name.contains("coroutine_field") { "_" } else { name }.to_owned()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|it: char| !it.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect()
}

pub(crate) fn shown(coroutine: &Coroutine) -> String {
    let mut text = format!("{} B {}\n", coroutine.size, coroutine.path);
    for state in &coroutine.states {
        let members: Vec<_> =
            state.members.iter().map(|it| (&*it.name, it.offset, it.size)).collect();
        writeln!(text, "  {} {members:?} hidden {:?}", name(state.kind), state.hidden).unwrap();
    }
    text
}
