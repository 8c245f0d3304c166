//! The number that stands for a type.

use serde::{Deserialize, Serialize};

/// Identifies a type within one [`Layouts`](crate::Layouts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypeId(pub(crate) u32);
