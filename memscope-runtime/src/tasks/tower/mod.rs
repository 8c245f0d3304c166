//! A tower layer that gives every HTTP request a row, from its call to its last frame.

mod body;
mod layer;
mod name;
mod request;

pub use body::TrackedBody;
pub use layer::{TrackLayer, TrackService, TrackedResponse};
