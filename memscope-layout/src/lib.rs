#![cfg_attr(feature = "dwarf", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "dwarf"), doc = "The names of functions, from symbol tables.")]
#![deny(unsafe_code)]

// Bottom first: a module imports only from modules above it. `tests/architecture.rs` holds this.
mod error;
#[cfg(feature = "dwarf")]
mod work_limit;
#[cfg(feature = "dwarf")]
mod pages;
#[cfg(feature = "dwarf")]
mod source_location;
#[cfg(feature = "inlined")]
mod source_path;
#[cfg(feature = "inlined")]
mod frame;
#[cfg(feature = "dwarf")]
mod type_id;
#[cfg(feature = "dwarf")]
mod coroutine;
#[cfg(feature = "dwarf")]
mod shape;
#[cfg(feature = "dwarf")]
mod task_layout;
#[cfg(feature = "dwarf")]
mod layouts;
mod elf;
mod symbols;
#[cfg(feature = "dwarf")]
mod symbolizer;
#[cfg(feature = "dwarf")]
mod dwarf;
#[cfg(feature = "dwarf")]
mod read;

#[cfg(feature = "dwarf")]
pub use coroutine::{
    Candidate, Coroutine, Discriminant, Evidence, Hidden, Member, MemberKind, State, StateKind,
};
pub use error::Error;
#[cfg(feature = "inlined")]
pub use frame::Frame;
#[cfg(feature = "dwarf")]
pub use layouts::{Child, Held, Layouts};
#[cfg(feature = "dwarf")]
pub use shape::{
    Count, Field, FutureType, Limit, ListPlaces, OptionBesides, PointerKind, Select, SelectMask,
    Shape, Variant,
};
#[cfg(feature = "dwarf")]
pub use source_location::Place;
#[cfg(feature = "dwarf")]
pub use symbolizer::Symbolizer;
pub use symbols::{Symbols, Variable};
#[cfg(feature = "dwarf")]
pub use task_layout::{Output, Room, TaskLayout};
#[cfg(feature = "dwarf")]
pub use type_id::TypeId;
