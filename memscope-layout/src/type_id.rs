//! Numbers that stand for types.

use serde::{Deserialize, Serialize};

/// Names a type of one [`Layouts`](crate::Layouts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypeId(pub(crate) u32);
