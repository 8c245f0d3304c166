//! Types that contain futures: how to get from an awaited value to the next coroutine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{coroutine::Discriminant, type_id::TypeId};

/// A type that contains a future, or whose values are awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the type")]
#[non_exhaustive]
pub struct FutureType {
    /// The path of the type.
    pub name: Arc<str>,
    /// The size in bytes; `None` if debug information only declares the type.
    pub size: Option<u64>,
    /// What the type contains.
    pub shape: Shape,
    /// Whether all of its data, apart from futures, is plain: numbers, functions, owned text, and
    /// types made of these.
    ///
    /// Plain data contains nothing by which another thread could signal that it is done with a
    /// borrowed part of the value. So no other thread uses the futures in such a value.
    ///
    /// `false` if the type contains a pointer, an `UnsafeCell`, a `PhantomPinned`, or data that
    /// debug information does not describe.
    #[serde(default)]
    pub is_plain_besides: bool,
    /// Whether all of its data, apart from futures, is nothing that may be waited for: numbers,
    /// functions, text, collections of these, and types that no function polls.
    ///
    /// Such data may be behind a pointer, and so is not always plain. `false` if it has a cell, a
    /// raw pointer, or a type that is polled, such as a future without a state machine.
    #[serde(default)]
    pub is_data_besides: bool,
    /// If all else that may be waited for is in `Option`s: where these say whether they are `None`.
    /// With `None` in each of them there is nothing but data beside the futures. Empty if there is
    /// something else, or nothing.
    #[serde(default)]
    pub options_besides: Vec<OptionBesides>,
    /// Whether all futures with a state machine that its values may have are among its fields.
    ///
    /// `false` if it may have others, as in a `Vec` of boxed futures, behind a lock, or in an
    /// object of a trait.
    #[serde(default)]
    pub is_closed_besides: bool,
    /// Whether the program may poll it as a sink, with `poll_ready`, `poll_flush` or `poll_close`.
    /// A stream that is a sink as well does not poll then what it polls for its next item.
    #[serde(default)]
    pub is_sink: bool,
    /// The macro, if it is the closure that a `select!` polls. Such a closure is recognised by its
    /// return type, which the macro defines beside it.
    #[serde(default)]
    pub select: Option<Select>,
    /// Of the closure of `tokio::select!`: which of its branches are disabled.
    #[serde(default)]
    pub select_mask: Option<SelectMask>,
    /// Of a future that waits in a queue, as that of a lock, a semaphore or a `Notify`: the offset
    /// of the queue's address in the future. All that wait in a queue have its address.
    #[serde(default)]
    pub queue_offset: Option<u64>,
    /// Of a type that polls its stream only while its list has room: when that is.
    #[serde(default)]
    pub limit: Option<Limit>,
}

/// An `Option` in a type, of something that may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OptionBesides {
    /// The discriminant, with its offset in the type that has the `Option`.
    pub discriminant: Discriminant,
    /// The value for `None`; if there is none, all but that for `Some` are.
    pub none: Option<u64>,
    /// The value for `Some`.
    pub some: Option<u64>,
}

impl OptionBesides {
    /// Whether this value of the discriminant stands for `None`.
    pub fn is_none(&self, value: u64) -> bool {
        match self.none {
            Some(none) => value == none,
            None => self.some.is_some_and(|some| value != some),
        }
    }
}

/// How many futures a type has at most in its list. With as many it does not poll its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limit {
    /// The offset of the limit, which is as large as an address; 0 stands for none.
    pub most_offset: u64,
    /// How many there are.
    pub count: Count,
}

/// Where the number of futures in a list is. All numbers are as large as an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Count {
    /// In the first node of the list.
    InFirst {
        /// The offset of the address of the first node, in the type that has the limit.
        first_offset: u64,
        /// The offset of the number there.
        length_offset: u64,
    },
    /// The difference of two numbers.
    Between {
        /// The offset of the number of the first future, in the type that has the limit.
        first_offset: u64,
        /// The offset of the number that the next one gets.
        end_offset: u64,
    },
}

/// A macro that has made a closure which polls several futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Select {
    /// `tokio::select!`.
    OfTokio,
    /// `futures::select!` or `futures::select_biased!`: the closure polls all futures that it
    /// borrows and that are not over.
    OfFutures,
}

/// Which branches of a `tokio::select!` are disabled: its `if` is false, or its pattern did not
/// match.
///
/// The closure does not poll them. It borrows a number, in which bit 0 stands for the first branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelectMask {
    /// The offset in the closure of the number's address.
    pub pointer_offset: u64,
    /// The size of the number in bytes.
    pub size: u64,
}

/// What a type contains, as far as it leads to futures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// A state machine: an index into [`Layouts::coroutines`](crate::Layouts::coroutines).
    Coroutine(usize),
    /// A struct with fields that lead to futures. A wrapper has one such field; a type that runs
    /// futures side by side has several.
    Struct(Vec<Field>),
    /// An enum with such fields in some of its variants.
    Enum {
        /// The discriminant; `None` for an enum with a single variant.
        discriminant: Option<Discriminant>,
        /// The variants with such fields, and every variant whose value is needed to tell them
        /// apart.
        variants: Vec<Variant>,
    },
    /// One address, of a value of this type.
    Pointer {
        /// The type of the value.
        to: TypeId,
        /// The kind of pointer.
        kind: PointerKind,
    },
    /// Two addresses, of a future and of its vtable.
    /// [`Layouts::by_vtable`](crate::Layouts::by_vtable) returns the type.
    TraitObject {
        /// The offset of the future's address.
        data_offset: u64,
        /// The offset of the vtable's address.
        vtable_offset: u64,
        /// The kind of pointer.
        kind: PointerKind,
    },
    /// Futures of one type that stand elsewhere, as those of `FuturesUnordered` do. How many there
    /// are is known while the program runs.
    List {
        /// The type of each of them.
        element: TypeId,
        /// Where they are.
        places: ListPlaces,
    },
    /// No known future. The type waits by itself, for a timer or a socket, or contains data that
    /// debug information does not describe.
    Leaf,
}

/// Where the futures of a list are. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ListPlaces {
    /// One after the other, as in a `Vec`.
    Row {
        /// The offset of the address of the first one, in the type that has the list.
        data_offset: u64,
        /// The offset of their number there.
        length_offset: u64,
        /// From one to the next.
        stride: u64,
        /// The offset of the future in each.
        value_offset: u64,
    },
    /// Each in a node of its own, which has the address of the next one. The last one has 0.
    Nodes {
        /// The offset of the address of the first node, in the type that has the list.
        first_offset: u64,
        /// The offset of the address of the next one, in a node.
        next_offset: u64,
        /// The offset in the first node of the number of nodes.
        length_offset: u64,
        /// The offset of the future in a node.
        value_offset: u64,
    },
}

/// A field that leads to a future.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// The name; `__0` and so on in tuples.
    pub name: Arc<str>,
    /// The offset in bytes.
    pub offset: u64,
    /// The type.
    pub future_type: TypeId,
    /// Whether the field of a live value is always a live value that only its owner writes. `false`
    /// inside a `ManuallyDrop` or an `UnsafeCell`.
    pub is_certain: bool,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Variant {
    /// The name.
    pub name: Arc<str>,
    /// The value of the discriminant; `None` for the variant selected by all values that no other
    /// variant has.
    pub value: Option<u64>,
    /// The fields that lead to futures.
    pub fields: Vec<Field>,
    /// As [`FutureType::is_data_besides`], for this variant.
    #[serde(default)]
    pub is_data_besides: bool,
    /// As [`FutureType::is_closed_besides`], for this variant.
    #[serde(default)]
    pub is_closed_besides: bool,
}

/// A pointer with exclusive access to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointerKind {
    /// A `Box`: the target is on the heap.
    Box,
    /// A `&mut`: the target is elsewhere, possibly in the same future.
    Mut,
}

impl FutureType {
    /// A type of 8 bytes of which nothing else is known.
    #[cfg(test)]
    pub(crate) fn of_tests(name: &str, shape: Shape) -> Self {
        Self {
            name: name.into(),
            size: Some(8),
            shape,
            is_plain_besides: false,
            is_data_besides: false,
            options_besides: Vec::new(),
            is_closed_besides: false,
            is_sink: false,
            select: None,
            select_mask: None,
            queue_offset: None,
            limit: None,
        }
    }

    /// Returns the variant for a value of the discriminant; `None` if this is not an enum, or no
    /// variant has the value.
    pub fn variant(&self, value: u64) -> Option<&Variant> {
        let Shape::Enum { variants, .. } = &self.shape else { return None };
        let exact = variants.iter().find(|it| it.value == Some(value));
        exact.or_else(|| variants.iter().find(|it| it.value.is_none()))
    }
}
