//! The program of the guide, in two versions.

#[cfg(not(feature = "after"))]
include!("../upload/before.rs");
#[cfg(feature = "after")]
include!("../upload/after.rs");
