#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

// A file …
mod mapped;
mod sections;
mod split;
mod detached;
// … is made of units, of which each is passed over once …
mod units;
mod scan;
// … and then read where there is something to read …
mod types;
mod variants;
mod bodies;
mod machine;
mod future_types;
mod program;
// … into plain data.
mod place;
mod coroutine;
mod future_type;
mod layouts;
// What these stand on.
mod budget;
mod error;

pub use coroutine::{
    Candidate, Coroutine, Discriminant, Evidence, Hidden, Member, MemberKind, State, StateKind,
};
pub use error::Error;
pub use future_type::{Field, FutureType, PointerKind, Shape, TypeId, Variant};
pub use layouts::{Child, Held, Layouts};
pub use place::Place;
