//! All layouts of a program, and the questions to them.

use serde::{Deserialize, Serialize};

use crate::{
    coroutine::{Coroutine, Member},
    shape::{FutureType, PointerKind, Shape},
    type_id::TypeId,
};

/// Types looked at for the futures in one member: more are there only in a damaged file, or in a
/// value of thousands of futures.
const MOST_STEPS: usize = 4096;

/// The layouts of all state machines in a program.
///
/// Plain data; the file is closed again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layouts {
    pub(crate) build_id: Option<String>,
    pub(crate) base_address: u64,
    pub(crate) coroutines: Vec<Coroutine>,
    pub(crate) future_types: Vec<FutureType>,
    /// By address.
    pub(crate) vtables: Vec<(u64, Option<TypeId>)>,
    pub(crate) missing_files: usize,
}

/// A coroutine that a member of another one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Child {
    /// Which: an index into [`Layouts::coroutines`].
    pub coroutine: usize,
    /// How it is had.
    pub held: Held,
}

/// How a coroutine has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// Its bytes are among the parent's, from this offset on.
    Inline(u64),
    /// It has an allocation of its own.
    Boxed,
    /// It is elsewhere, and borrowed: often in another variable of the same parent.
    Borrowed,
}

impl Layouts {
    /// All state machines, the largest first.
    pub fn coroutines(&self) -> &[Coroutine] {
        &self.coroutines
    }

    /// A type that a [`Member`] or a [`Shape`] names.
    pub fn future_type(&self, id: TypeId) -> Option<&FutureType> {
        self.future_types.get(id.0 as usize)
    }

    /// The type of the future that a vtable of `dyn Future` belongs to.
    ///
    /// `address` is the vtable's address in the running program minus where that program was
    /// loaded: `running address − address of the file's first byte + base_address()`. `size` is the
    /// size of the future in bytes.
    ///
    /// `None` where the vtable is not known, where several types share it, and where the sizes do
    /// not agree: what cannot be believed is not told.
    pub fn by_vtable(&self, address: u64, size: u64) -> Option<TypeId> {
        let index = self.vtables.binary_search_by_key(&address, |it| it.0).ok()?;
        let id = self.vtables.get(index)?.1?;
        (self.future_type(id)?.size == Some(size)).then_some(id)
    }

    /// The addresses of all vtables of `dyn Future`, and the types; `None` where several types
    /// share one.
    pub fn vtables(&self) -> impl Iterator<Item = (u64, Option<TypeId>)> {
        self.vtables.iter().copied()
    }

    /// The address that the linker gave to the file's first byte: 0 for a position-independent
    /// program.
    pub fn base_address(&self) -> u64 {
        self.base_address
    }

    /// The linker's name for exactly this build, in hexadecimal digits; `None` where it was not
    /// asked for one.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// How many files of split debug information were not found: coroutines in those are missing
    /// here.
    pub fn missing_files(&self) -> usize {
        self.missing_files
    }

    /// The coroutines that a member is or has, through wrappers, enums and pointers; none of those
    /// that they have in turn.
    pub fn children(&self, member: &Member) -> Vec<Child> {
        member.future_type.map_or_else(Vec::new, |id| self.children_of(id, member.offset))
    }

    /// The same of a type, for a value of it that begins at this offset.
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
                Some(Shape::TraitObject { .. } | Shape::Leaf) | None => {}
            }
        }
        children
    }
}
