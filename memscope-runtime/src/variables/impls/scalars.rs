//! Types that hold no heap block.

use std::{
    alloc::Layout,
    any::TypeId,
    cmp::Ordering,
    convert::Infallible,
    ffi::{CStr, OsStr},
    fmt, hash, io,
    marker::{PhantomData, PhantomPinned},
    net, num,
    ops::RangeFull,
    path::Path,
    process, ptr, str,
    sync::atomic,
    thread::ThreadId,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    model::{TaskId, TaskState, TaskType},
    variables::trackable::{Blocks, Contents, Trackable},
};

macro_rules! plain {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<$($generics)*> Trackable for $type {
            const IS_PLAIN: bool = true;

            fn visit(&self, _: &mut Blocks<'_>) {}
        }

        impl<$($generics)*> Contents for $type {
            fn visit_contents(&self, _: &mut Blocks<'_>) {}
        }
    )*};
    ($($type:ty),* $(,)?) => { plain! { $([] $type;)* } };
}

plain!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);
plain!(str, CStr, OsStr, Path);
plain!(Duration, Instant, SystemTime);
plain!(TaskId, TaskState, TaskType, ThreadId, TypeId, Layout);
plain!(Infallible, Ordering, PhantomPinned, RangeFull, fmt::Error, io::ErrorKind);
plain!(process::ExitCode, process::ExitStatus, str::Utf8Error);
plain!(num::ParseIntError, num::ParseFloatError, num::TryFromIntError, hash::RandomState);
plain!(net::IpAddr, net::Ipv4Addr, net::Ipv6Addr);
plain!(net::SocketAddr, net::SocketAddrV4, net::SocketAddrV6);
plain!(num::NonZeroU8, num::NonZeroU16, num::NonZeroU32, num::NonZeroU64, num::NonZeroU128);
plain!(num::NonZeroI8, num::NonZeroI16, num::NonZeroI32, num::NonZeroI64, num::NonZeroI128);
plain!(num::NonZeroUsize, num::NonZeroIsize);
plain!(atomic::AtomicBool, atomic::Ordering);
plain!(atomic::AtomicU8, atomic::AtomicU16, atomic::AtomicU32, atomic::AtomicUsize);
plain!(atomic::AtomicI8, atomic::AtomicI16, atomic::AtomicI32, atomic::AtomicIsize);

#[cfg(target_has_atomic = "64")]
plain!(atomic::AtomicU64, atomic::AtomicI64);

// Pointers that do not say which value owns their target.
plain! {
    [T: ?Sized] *const T;
    [T: ?Sized] *mut T;
    [T: ?Sized] ptr::NonNull<T>;
    [T] atomic::AtomicPtr<T>;
    [T: ?Sized] PhantomData<T>;
    [T] std::mem::Discriminant<T>;
    [H] hash::BuildHasherDefault<H>;
}

macro_rules! functions {
    ($($argument:ident)*) => {
        plain! {
            [R, $($argument),*] fn($($argument),*) -> R;
            [R, $($argument),*] unsafe fn($($argument),*) -> R;
            [R, $($argument),*] extern "C" fn($($argument),*) -> R;
            [R, $($argument),*] unsafe extern "C" fn($($argument),*) -> R;
        }
    };
}

functions!();
functions!(A);
functions!(A B);
functions!(A B C);
functions!(A B C D);
functions!(A B C D E);
functions!(A B C D E F);

#[cfg(feature = "tokio")]
plain!(tokio::task::Id);
