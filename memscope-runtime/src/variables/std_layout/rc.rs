//! `Rc` and `Arc`: two counters in front of the value.

use std::{alloc::Layout, any::Any, ffi::CStr, rc::Rc, sync::Arc};

use super::{
    OwnBlock, allocate_probe, probed_layout,
    shapes::{Large, Line, Wide},
};
use crate::primitives::Once;

/// The address of the value in the static empty `Arc<[T]>` and `Arc<str>`, which all handles share
/// and which lies in no block. 0 if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shared(usize);

/// The block of the `Rc` that holds this value.
#[inline]
pub(crate) fn rc(value: *const u8, layout: Layout) -> OwnBlock {
    static LEARNED: Once<Option<Shared>> = Once::new();
    block(probed_layout(&LEARNED, learn_rc), value, layout)
}

/// The block of the `Arc` that holds this value.
#[inline]
pub(crate) fn arc(value: *const u8, layout: Layout) -> OwnBlock {
    static LEARNED: Once<Option<Shared>> = Once::new();
    block(probed_layout(&LEARNED, learn_arc), value, layout)
}

#[inline]
fn block(probed_layout: Option<Shared>, value: *const u8, layout: Layout) -> OwnBlock {
    match probed_layout {
        None => OwnBlock::Unknown,
        Some(Shared(address)) if address == value.addr() => OwnBlock::Nothing,
        Some(_) => formula(value, layout),
    }
}

#[inline]
fn formula(value: *const u8, layout: Layout) -> OwnBlock {
    match Layout::new::<[usize; 2]>().extend(layout) {
        Ok((whole, offset)) => OwnBlock::Block(value.wrapping_sub(offset), whole.pad_to_align()),
        Err(_) => OwnBlock::Unknown,
    }
}

macro_rules! learn {
    ($pointer:ident, $name:ident) => {
        #[inline]
        fn $name() -> Option<Shared> {
            fn fits<T: ?Sized>(make: impl FnOnce() -> $pointer<T>) -> bool {
                let (made, seen) = allocate_probe(make);
                // Empty values may be shared. `empty` below handles them.
                formula($pointer::as_ptr(&made).cast(), Layout::for_value(&*made)).is(seen)
            }
            fn all_fit<T: Copy + Default + 'static>() -> bool {
                let value = T::default();
                fits(|| $pointer::new(value))
                    && fits(|| -> $pointer<dyn Any> { $pointer::new(value) })
                    && [1, 2, 3, 7].into_iter().all(|length| {
                        fits(|| $pointer::<[T]>::from(vec![value; length].as_slice()))
                            && fits(|| (0..length).map(|_| value).collect::<$pointer<[T]>>())
                    })
                    && fits(|| $pointer::<[T]>::from([T::default(); 0]))
            }
            /// The address of an empty pointer's value if it lies in no block; 0 if it lies in its
            /// own.
            fn empty<T: ?Sized>(make: impl FnOnce() -> $pointer<T>) -> Option<usize> {
                let (made, seen) = allocate_probe(make);
                let value = $pointer::as_ptr(&made).cast::<u8>();
                let is_ordinary = formula(value, Layout::for_value(&*made)).is(seen);
                if is_ordinary { Some(0) } else { seen.is_none().then_some(value.addr()) }
            }

            let fit = all_fit::<()>()
                && all_fit::<u8>()
                && all_fit::<[u8; 3]>()
                && all_fit::<u16>()
                && all_fit::<u64>()
                && all_fit::<[u64; 3]>()
                && all_fit::<Wide>()
                && all_fit::<[Line; 0]>()
                && all_fit::<Line>()
                && all_fit::<Large>();
            let text = ["a", "nine byte", "text of some length"];
            let fit = fit && text.into_iter().all(|text| fits(|| $pointer::<str>::from(text)));
            let mut shared = 0;
            for address in [
                empty($pointer::<str>::default),
                empty($pointer::<CStr>::default),
                empty($pointer::<[()]>::default),
                empty($pointer::<[u8]>::default),
                empty($pointer::<[u16]>::default),
                empty($pointer::<[u64]>::default),
                empty($pointer::<[Wide]>::default),
                empty($pointer::<[Line]>::default),
                empty($pointer::<[Large]>::default),
            ] {
                match address? {
                    0 => {}
                    address if shared == 0 || shared == address => shared = address,
                    _ => return None,
                }
            }
            fit.then_some(Shared(shared))
        }
    };
}

learn!(Rc, learn_rc_any_thread);
learn!(Arc, learn_arc);

/// Learns the layout of `Rc`, without a shared empty value. Only the handles of one thread could
/// share it, so it would have another address on each thread.
#[inline]
fn learn_rc() -> Option<Shared> {
    learn_rc_any_thread().filter(|shared| *shared == Shared(0))
}
