//! The layouts of a program, and lookups in them.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::{
    coroutine::{Coroutine, Member},
    shape::{FutureType, PointerKind, Shape},
    task_layout::TaskLayout,
    type_id::TypeId,
};

/// The most types that are visited to find the futures in one member. Only a damaged file, or a
/// value of thousands of futures, contains more.
const MOST_STEPS: usize = 4096;

/// The layouts of all state machines in a program.
///
/// This is plain data: the file is closed after it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layouts {
    pub(crate) build_id: Option<String>,
    pub(crate) base_address: u64,
    pub(crate) coroutines: Vec<Coroutine>,
    pub(crate) future_types: Vec<FutureType>,
    /// Ordered by address.
    pub(crate) vtables: Vec<(u64, Option<TypeId>)>,
    /// Ordered by the address of the function that polls such a task.
    #[serde(default)]
    pub(crate) tasks: Vec<(u64, Option<TaskLayout>)>,
    pub(crate) missing_files: usize,
    /// What stands for each `impl` block, by its path.
    #[serde(default)]
    pub(crate) impls: BTreeMap<String, String>,
}

/// A coroutine that a member of another coroutine contains or points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Child {
    /// The coroutine: an index into [`Layouts::coroutines`].
    pub coroutine: usize,
    /// How the member holds it.
    pub held: Held,
}

/// How a coroutine holds another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// Inline: its bytes are part of the parent, from this offset on.
    Inline(u64),
    /// In a heap allocation of its own.
    Boxed,
    /// Borrowed: it is elsewhere, often in another variable of the same parent.
    Borrowed,
}

/// How the compiler begins the name of an `impl` block.
const IMPL: &str = "{impl#";

impl Layouts {
    /// Returns all state machines, the largest first.
    pub fn coroutines(&self) -> &[Coroutine] {
        &self.coroutines
    }

    /// Returns the type that a [`Member`] or a [`Shape`] refers to.
    pub fn future_type(&self, id: TypeId) -> Option<&FutureType> {
        self.future_types.get(id.0 as usize)
    }

    /// Returns the type of the future that a vtable of `dyn Future` belongs to.
    ///
    /// `address` is the vtable's address relative to the place where the program was loaded:
    /// `running address − address of the file's first byte + base_address()`. `size` is the size of
    /// the future in bytes.
    ///
    /// Returns `None` if the vtable is unknown, if several types share it, or if the sizes differ:
    /// an uncertain answer is not given.
    pub fn by_vtable(&self, address: u64, size: u64) -> Option<TypeId> {
        let index = self.vtables.binary_search_by_key(&address, |it| it.0).ok()?;
        let id = self.vtables.get(index)?.1?;
        (self.future_type(id)?.size == Some(size)).then_some(id)
    }

    /// Returns `true` if debug information has a vtable of `dyn Future` at this address, which is
    /// relative as in [`by_vtable`](Self::by_vtable).
    pub fn has_vtable(&self, address: u64) -> bool {
        self.vtables.binary_search_by_key(&address, |it| it.0).is_ok()
    }

    /// Returns the layout of the Tokio tasks that a function polls.
    ///
    /// `address` is that of the function: the first one in the vtable of such a task. It is
    /// relative as in [`by_vtable`](Self::by_vtable).
    ///
    /// Returns `None` if the function is unknown, or if it polls several types of tasks.
    pub fn task(&self, address: u64) -> Option<&TaskLayout> {
        let index = self.tasks.binary_search_by_key(&address, |it| it.0).ok()?;
        self.tasks.get(index)?.1.as_ref()
    }

    /// Iterates over the addresses of all vtables of `dyn Future` and their types; `None` if
    /// several types share one vtable.
    pub fn vtables(&self) -> impl Iterator<Item = (u64, Option<TypeId>)> {
        self.vtables.iter().copied()
    }

    /// Returns the address that the linker assigned to the file's first byte: 0 for a
    /// position-independent program.
    pub fn base_address(&self) -> u64 {
        self.base_address
    }

    /// Returns the build id in hexadecimal digits: the linker's identifier of exactly this build.
    /// `None` if the linker did not write one.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// Returns the name with types in place of the numbers of `impl` blocks, as far as they are
    /// known: `app::Service::call` for `app::{impl#0}::call`, and `<app::Service as app::Call>::call`
    /// for a method of a trait.
    ///
    /// Debug information has the numbers, in the paths of coroutines and the names of types. The
    /// types are those of the symbols of functions.
    ///
    /// ```
    /// use memscope_layout::Layouts;
    ///
    /// let layouts = Layouts::default();
    /// assert_eq!(layouts.with_impl_types("app::{impl#0}::call"), "app::{impl#0}::call");
    /// ```
    pub fn with_impl_types<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.impls.is_empty() || !name.contains(IMPL) {
            return Cow::Borrowed(name);
        }
        let mut text = String::with_capacity(name.len());
        let mut rest = name;
        while let Some(at) = rest.find(IMPL) {
            let Some(end) = rest[at..].find('}').map(|it| at + it + 1) else { break };
            let start = start_of_path(&rest[..at]);
            match self.impls.get(&rest[start..end]) {
                Some(type_name) => {
                    text.push_str(&rest[..start]);
                    text.push_str(type_name);
                }
                None => text.push_str(&rest[..end]),
            }
            rest = &rest[end..];
        }
        text.push_str(rest);
        Cow::Owned(text)
    }

    /// Returns how many files of split debug information were not found. The coroutines in them are
    /// missing.
    pub fn missing_files(&self) -> usize {
        self.missing_files
    }

    /// Returns the coroutines that a member contains or points to, through wrappers, enums and
    /// pointers. Coroutines inside these are not included.
    pub fn children(&self, member: &Member) -> Vec<Child> {
        member.future_type.map_or_else(Vec::new, |id| self.children_of(id, member.offset))
    }

    /// Like [`children`](Self::children), for a value of this type at this offset.
    pub fn children_of(&self, id: TypeId, offset: u64) -> Vec<Child> {
        let mut children = Vec::new();
        let mut left = MOST_STEPS;
        let mut open: Vec<(TypeId, Held)> = vec![(id, Held::Inline(offset))];
        while let Some((id, held)) = open.pop() {
            let Some(left_now) = left.checked_sub(1) else { break };
            left = left_now;
            let at = |offset: u64| match held {
                Held::Inline(start) => Held::Inline(start.saturating_add(offset)),
                other => other,
            };
            match self.future_type(id).map(|it| &it.shape) {
                Some(Shape::Coroutine(coroutine)) => {
                    let child = Child { coroutine: *coroutine, held };
                    if !children.contains(&child) {
                        children.push(child);
                    }
                }
                Some(Shape::Struct(fields)) => {
                    open.extend(fields.iter().rev().map(|it| (it.future_type, at(it.offset))));
                }
                Some(Shape::Enum { variants, .. }) => {
                    let fields = variants.iter().rev().flat_map(|it| it.fields.iter().rev());
                    open.extend(fields.map(|it| (it.future_type, at(it.offset))));
                }
                Some(Shape::Pointer { to, kind }) => {
                    let held = match kind {
                        PointerKind::Box => Held::Boxed,
                        PointerKind::Mut => Held::Borrowed,
                    };
                    open.push((*to, held));
                }
                Some(Shape::TraitObject { .. } | Shape::List { .. } | Shape::Leaf) | None => {}
            }
        }
        children
    }
}

/// Returns where the last `impl` block of a path ends; `None` if there is none at the level of the
/// path itself.
pub(crate) fn end_of_impl(path: &str) -> Option<usize> {
    let last = segments(path).into_iter().rfind(|it| it.starts_with(IMPL))?;
    // Both are parts of one text.
    let start = last.as_ptr() as usize - path.as_ptr() as usize;
    Some(start + last.len())
}

/// Splits a path into its names. Those in the arguments of types are not split.
pub(crate) fn segments(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let (mut depth, mut start, mut last) = (0u32, 0, b' ');
    let bytes = path.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'>' if last != b'-' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && last == b':' && at > start => {
                names.push(&path[start..at - 1]);
                start = at + 1;
            }
            _ => {}
        }
        last = byte;
    }
    names.push(&path[start..]);
    names
}

/// Returns the text without what stands in brackets.
pub(crate) fn top_level(text: &str) -> String {
    let (mut depth, mut last) = (0u32, ' ');
    let mut is_top = |it: char| {
        let before = std::mem::replace(&mut last, it);
        match it {
            '<' | '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    text.chars().filter(|it| is_top(*it)).collect()
}

/// Returns where the path begins that ends here, as in `a::Held<b::c::`.
fn start_of_path(text: &str) -> usize {
    let is_path = |it: char| it.is_alphanumeric() || matches!(it, '_' | ':' | '{' | '}' | '#');
    text.rfind(|it| !is_path(it))
        .map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_its_type_wherever_it_is_in_a_name() {
        let layouts = Layouts {
            impls: [
                ("app::{impl#0}", "app::Foo"),
                ("app::{impl#1}", "<app::Foo as app::Call>"),
                ("app::f::{async_fn#0}::{impl#0}", "app::f::Inner"),
            ]
            .map(|(block, name)| (block.to_owned(), name.to_owned()))
            .into(),
            ..Layouts::default()
        };
        for (name, expected) in [
            ("app::{impl#0}::call::{async_fn_env#0}", "app::Foo::call::{async_fn_env#0}"),
            (
                "t::In<app::{impl#1}::call::{async_fn_env#0}, &app::{impl#0}::g::{async_fn_env#0}<u8>>",
                "t::In<<app::Foo as app::Call>::call::{async_fn_env#0}, &app::Foo::g::{async_fn_env#0}<u8>>",
            ),
            ("app::f::{async_fn#0}::{impl#0}::g", "app::f::Inner::g"),
            ("other::app::{impl#0}::g", "other::app::{impl#0}::g"),
            ("app::{impl#9}::g", "app::{impl#9}::g"),
            ("app::{impl#0", "app::{impl#0"),
            ("ä<app::{impl#0}>", "ä<app::Foo>"),
        ] {
            assert_eq!(layouts.with_impl_types(name), expected);
        }
    }

    #[test]
    fn a_path_is_split_outside_of_brackets() {
        assert_eq!(
            segments("<a::B<c::D> as e::F>::g::{h#0}"),
            ["<a::B<c::D> as e::F>", "g", "{h#0}"]
        );
        assert_eq!(segments("a::f<fn(b::C) -> d::E>::g"), ["a", "f<fn(b::C) -> d::E>", "g"]);
        assert_eq!(segments("::"), ["", ""]);
        assert_eq!(end_of_impl("a::{impl#3}::b::{async_fn_env#0}<c::{impl#1}>"), Some(11));
        assert_eq!(end_of_impl("a::b<c::{impl#1}>"), None);
        assert_eq!(top_level("a<b as c> as d"), "a as d");
    }
}
