//! Whether the process may be copied, and how callers share what is read in the copy.

use crate::{
    alloc::{current::exempt, install_check},
    model::Error,
    primitives::fork,
    snapshot::Sharing,
};

/// An error if a picture would tell nothing, or could wait for ever. `refuse` makes it of the
/// reason.
pub(crate) fn may_take(refuse: fn(String) -> Error) -> Result<(), Error> {
    let measured = install_check::measured();
    if !measured.is_yes() {
        return Err(Error::not_measured(measured));
    }
    if fork::may_have_foreign_locks() {
        return Err(refuse(
            "this is a forked child of a process with other threads, whose locks nothing releases"
                .to_owned(),
        ));
    }
    Ok(())
}

/// What `take` reads, shared by callers at the same time. The program holds its copy, and is
/// charged with it.
pub(crate) fn shared<T: Clone>(sharing: &Sharing<T>, take: fn() -> T) -> T {
    let shared = exempt(|| sharing.get(take));
    let own = shared.clone();
    exempt(|| drop(shared));
    own
}
