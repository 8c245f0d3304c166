//! Types that futures are in: how to get from what a coroutine waits for to the next coroutine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{coroutine::Discriminant, type_id::TypeId};

/// A type that a future is in, or that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FutureType {
    /// Its path.
    pub name: Arc<str>,
    /// Its size in bytes; `None` where debug information declares it only.
    pub size: Option<u64>,
    /// What is in it.
    pub shape: Shape,
    /// Whether all that it has besides futures is plain data: numbers, functions, text that it
    /// owns, and types made of these.
    ///
    /// A value that has no more than that has nothing by which another thread could tell it that a
    /// part of it, lent to that thread, is given back. So its parts are its own. `false` where it
    /// has a pointer, an `UnsafeCell`, a `PhantomPinned`, or more than debug information shows.
    #[serde(default)]
    pub is_plain_besides: bool,
    /// Whether it is the closure that `tokio::select!` polls: known by the type that it returns,
    /// which that macro defines beside it.
    #[serde(default)]
    pub is_select: bool,
}

/// What is in a type, as far as it leads to futures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// It is a state machine: an index into [`Layouts::coroutines`](crate::Layouts::coroutines).
    Coroutine(usize),
    /// It has fields that lead to futures; one for a wrapper, several where futures run side by
    /// side.
    Struct(Vec<Field>),
    /// It has such fields in some of its variants.
    Enum {
        /// Tells the variant; `None` for an enum of a single one.
        discriminant: Option<Discriminant>,
        /// Those that have such fields, and all whose value is needed to tell them apart.
        variants: Vec<Variant>,
    },
    /// It is one address, of a value of this type.
    Pointer {
        /// The type of the value.
        to: TypeId,
        /// Which pointer.
        kind: PointerKind,
    },
    /// It is two addresses, of a future and of its vtable:
    /// [`Layouts::by_vtable`](crate::Layouts::by_vtable) tells the type.
    TraitObject {
        /// Where the future's address is.
        data_offset: u64,
        /// Where the vtable's address is.
        vtable_offset: u64,
        /// Which pointer.
        kind: PointerKind,
    },
    /// No future is known to be in it: it waits by itself, for a timer or a socket; or it is more
    /// than debug information shows.
    Leaf,
}

/// A field that leads to a future.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// Its name; `__0` and so on in tuples.
    pub name: Arc<str>,
    /// Where it is, in bytes.
    pub offset: u64,
    /// Its type.
    pub future_type: TypeId,
    /// Whether a living value has a living value there, that nobody else writes. Not so in a
    /// `ManuallyDrop` or an `UnsafeCell`.
    pub is_certain: bool,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Variant {
    /// Its name.
    pub name: Arc<str>,
    /// The discriminant's value; `None` for the variant that all values mean which no other has.
    pub value: Option<u64>,
    /// Fields that lead to futures.
    pub fields: Vec<Field>,
}

/// A pointer that has its value for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointerKind {
    /// A `Box`: the value is on the heap.
    Box,
    /// A `&mut`: the value is somewhere else, perhaps in the same future.
    Mut,
}

impl FutureType {
    /// The variant that a value of the discriminant means; `None` where this is no enum, or the
    /// value has no variant.
    pub fn variant(&self, value: u64) -> Option<&Variant> {
        let Shape::Enum { variants, .. } = &self.shape else { return None };
        let exact = variants.iter().find(|it| it.value == Some(value));
        exact.or_else(|| variants.iter().find(|it| it.value.is_none()))
    }
}
