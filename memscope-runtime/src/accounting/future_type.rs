//! The type of a future, as far as it is known without debug information.

use std::{any::type_name, future::Future, marker::PhantomData, mem::transmute, ptr};

/// The name, the size and the vtable of a future's type.
#[derive(Debug)]
pub(crate) struct FutureType {
    pub(crate) name: FutureName,
    /// Of an unannotated task: the room in its Tokio cell for the future, and later its output. 0
    /// if that is not known.
    pub(crate) size: usize,
    /// Returns the address of the type's vtable as a `dyn Future`. `None` for a type that is no
    /// future.
    pub(crate) vtable: Option<fn() -> usize>,
    /// Whether it is the type of a task that the program has annotated.
    pub(crate) is_annotated: bool,
}

/// The name of a future's type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FutureName {
    /// The name that the compiler gives.
    Of(fn() -> &'static str),
    /// The name in a symbol; `None` if it is not known.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of unannotated tasks"))]
    Found(Option<&'static str>),
}

impl FutureType {
    /// The name, or "not known".
    pub(crate) fn name(&self) -> &'static str {
        match self.name {
            FutureName::Of(name) => name(),
            FutureName::Found(name) => name.unwrap_or("not known"),
        }
    }

    /// The type `F`.
    pub(crate) const fn of<F: Future>() -> &'static Self {
        struct Of<F>(PhantomData<F>);
        impl<F: Future> Of<F> {
            const TYPE: FutureType =
                FutureType { vtable: Some(vtable::<F>), ..FutureType::without_vtable::<F>() };
        }
        const { &Of::<F>::TYPE }
    }

    /// A type that is polled as a future but is none: a stream or a closure.
    pub(crate) const fn of_other<N>() -> &'static Self {
        struct Of<N>(PhantomData<N>);
        impl<N> Of<N> {
            const TYPE: FutureType = FutureType::without_vtable::<N>();
        }
        const { &Of::<N>::TYPE }
    }

    const fn without_vtable<N>() -> Self {
        let name = FutureName::Of(type_name::<N>);
        Self { name, size: size_of::<N>(), vtable: None, is_annotated: true }
    }

    /// Stands for the unknown type of an unannotated task.
    #[cfg(feature = "tokio")]
    pub(crate) fn not_known() -> &'static Self {
        &NOT_KNOWN
    }

    /// Stands for a type in the dump of another program.
    #[cfg(all(feature = "decode", target_pointer_width = "64"))]
    pub(crate) const fn in_dump() -> Self {
        Self { name: FutureName::Found(None), size: 0, vtable: None, is_annotated: false }
    }

    /// The type of an unannotated task's future, as far as its Tokio cell tells.
    #[cfg(feature = "tokio")]
    pub(crate) const fn in_cell(name: Option<&'static str>, size: usize) -> Self {
        Self { name: FutureName::Found(name), size, vtable: None, is_annotated: false }
    }
}

#[cfg(feature = "tokio")]
static NOT_KNOWN: FutureType = FutureType::in_cell(None, 0);

/// The address of the vtable that makes an `F` a `dyn Future`. In the debug information that vtable
/// carries the name of the type.
///
/// The language does not say which of the two words is the vtable. With the wrong word, the debug
/// information would know no vtable at that address.
fn vtable<'f, F: Future + 'f>() -> usize {
    type Object<'f, T> = *const (dyn Future<Output = T> + 'f);
    const { assert!(size_of::<Object<'_, ()>>() == size_of::<[*const (); 2]>()) };
    let object: Object<'f, F::Output> = ptr::null::<F>();
    // SAFETY: a pointer to a trait object has the size of two addresses, as asserted above. Any
    // bits are a valid raw pointer.
    let [_, vtable] = unsafe { transmute::<Object<'f, F::Output>, [*const (); 2]>(object) };
    vtable.addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_future_has_a_vtable_of_its_own() {
        fn of<F: Future>(_: &F) -> usize {
            FutureType::of::<F>().vtable.map_or(0, |vtable| vtable())
        }
        let text = String::from("borrowed");
        let (one, two) = (async { text.len() }, async { text.len() + 1 });
        assert_ne!((of(&one), of(&two)), (0, 0));
        assert_ne!(of(&one), of(&two));
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn an_unannotated_task_has_no_vtable() {
        assert!(FutureType::not_known().vtable.is_none());
    }
}
