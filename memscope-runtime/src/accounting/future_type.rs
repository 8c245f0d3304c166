//! The type of a future, as far as it is known without debug information.

use std::{any::type_name, future::Future, marker::PhantomData, mem::transmute, ptr};

/// What is known of a future's type.
#[derive(Debug)]
pub(crate) struct FutureType {
    pub(crate) name: fn() -> &'static str,
    pub(crate) size: usize,
    /// Says the address of its vtable as a `dyn Future`; `None` for what is no future.
    pub(crate) vtable: Option<fn() -> usize>,
}

impl FutureType {
    /// The one of `F`.
    pub(crate) const fn of<F: Future>() -> &'static Self {
        struct Of<F>(PhantomData<F>);
        impl<F: Future> Of<F> {
            const TYPE: FutureType =
                FutureType { vtable: Some(vtable::<F>), ..FutureType::without_vtable::<F>() };
        }
        const { &Of::<F>::TYPE }
    }

    /// The one of what is polled as a future and is none: a stream, a closure.
    #[cfg(any(feature = "stream", feature = "tokio"))]
    pub(crate) const fn of_other<N>() -> &'static Self {
        struct Of<N>(PhantomData<N>);
        impl<N> Of<N> {
            const TYPE: FutureType = FutureType::without_vtable::<N>();
        }
        const { &Of::<N>::TYPE }
    }

    const fn without_vtable<N>() -> Self {
        Self { name: type_name::<N>, size: size_of::<N>(), vtable: None }
    }

    /// The one of tasks that nobody annotated.
    #[cfg(feature = "tokio")]
    pub(crate) fn not_known() -> &'static Self {
        &NOT_KNOWN
    }

    /// Whether this is the type of a future that was seen.
    pub(crate) fn is_known(&self) -> bool {
        !ptr::eq(self, &raw const NOT_KNOWN)
    }
}

static NOT_KNOWN: FutureType = FutureType { name: || "not known", size: 0, vtable: None };

/// The address of the vtable that makes an `F` a `dyn Future`: in the debug information it has the
/// name of the type.
///
/// Which of the two words it is, the language does not say; a wrong one would be no vtable that
/// debug information knows.
fn vtable<'f, F: Future + 'f>() -> usize {
    type Object<'f, T> = *const (dyn Future<Output = T> + 'f);
    const { assert!(size_of::<Object<'_, ()>>() == size_of::<[*const (); 2]>()) };
    let object: Object<'f, F::Output> = ptr::null::<F>();
    // SAFETY: a pointer to a trait object has the size of two addresses, as is asserted above, and
    // any address is a pointer.
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
    fn a_task_that_nobody_annotated_has_no_vtable() {
        assert!(FutureType::not_known().vtable.is_none());
    }
}
