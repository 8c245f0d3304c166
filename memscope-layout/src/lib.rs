#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

// Bottom first: a module imports only from modules above it. `tests/architecture.rs` holds this.
mod error;
mod work_limit;
mod source_location;
mod type_id;
mod coroutine;
mod shape;
mod layouts;
mod elf;
mod dwarf;
mod read;

pub use coroutine::{
    Candidate, Coroutine, Discriminant, Evidence, Hidden, Member, MemberKind, State, StateKind,
};
pub use error::Error;
pub use layouts::{Child, Held, Layouts};
pub use shape::{Field, FutureType, PointerKind, Shape, Variant};
pub use source_location::Place;
pub use type_id::TypeId;
