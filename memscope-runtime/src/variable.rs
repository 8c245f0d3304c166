//! A variable that `track_var!` registered.

use crate::{trackable::Blocks, variable_site::VariableCallsite};

/// Registers `value`; `show` finds its heap blocks.
pub fn track_value<T: ?Sized>(
    callsite: &'static VariableCallsite,
    value: &T,
    show: impl FnOnce(&mut Blocks<'_>),
) {
    let _ = (callsite, size_of_val(value), std::any::type_name::<T>());
    show(&mut Blocks::new(&mut |_| {}));
}
