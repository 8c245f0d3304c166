//! Callsites: places in the code where a macro stands, each with its site.

use std::{cell::Cell, panic::Location, ptr};

use super::site::{Key, Site};
use crate::{model::TaskType, primitives::StaticRef};

/// The place of a `#[tracked]`; the macro makes it. Its site is looked up once.
#[derive(Debug)]
pub struct Callsite {
    key: Key<'static>,
    site: StaticRef<Site>,
    budget_bytes: Option<u64>,
}

impl Callsite {
    /// A callsite at this place, with the name and the kind of its tasks.
    pub const fn new(
        name: &'static str,
        task_type: TaskType,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self {
            key: Key { name, task_type, file, line, column: 0 },
            site: StaticRef::none(),
            budget_bytes: None,
        }
    }

    /// Adds a budget for each of its tasks.
    #[must_use]
    pub const fn budget(mut self, bytes: u64) -> Self {
        self.budget_bytes = Some(bytes);
        self
    }

    #[inline]
    pub(crate) fn site(&self) -> &'static Site {
        self.site.get().unwrap_or_else(|| {
            let site = Site::of(self.key);
            if let Some(bytes) = self.budget_bytes {
                site.offer_budget(bytes);
            }
            self.site.set(site);
            site
        })
    }
}

/// An entry of a thread's cache: a call of `track` for one type of future, and its site.
///
/// PERF: single fields, so that a lookup compares them in place.
#[derive(Debug)]
pub(super) struct Call {
    location: Cell<Option<&'static Location<'static>>>,
    type_name: Cell<&'static str>,
    task_type: Cell<TaskType>,
    site: Cell<Option<&'static Site>>,
}

impl Call {
    const fn new() -> Self {
        Self {
            location: Cell::new(None),
            type_name: Cell::new(""),
            task_type: Cell::new(TaskType::Unspecified),
            site: Cell::new(None),
        }
    }
}

const CALLS: usize = 16;

/// The index of this call in a thread's cache.
#[inline]
fn place_of(location: &Location<'_>, type_name: &str, task_type: TaskType) -> usize {
    let place = (ptr::from_ref(location).addr() >> 3) ^ (type_name.as_ptr().addr() >> 2);
    (place ^ task_type as usize) % CALLS
}

thread_local! {
    // PERF: three comparisons replace hashing and comparing the names.
    static LAST_CALLS: [Call; CALLS] = const { [const { Call::new() }; CALLS] };
}

impl Site {
    /// Returns the site of a call of `track` with a future of this type.
    // PERF: inlined, as its caller knows all arguments.
    #[inline]
    pub(crate) fn of_call(
        location: &'static Location<'static>,
        type_name: &'static str,
        task_type: TaskType,
    ) -> &'static Self {
        let find = |calls: &[Call; CALLS]| {
            let call = &calls[place_of(location, type_name, task_type)];
            let is_it = call.location.get().is_some_and(|last| ptr::eq(last, location))
                && ptr::eq(call.type_name.get(), type_name)
                && call.task_type.get() == task_type;
            if is_it { call.site.get() } else { None }
        };
        LAST_CALLS.with(find).unwrap_or_else(|| Self::of_other_call(location, type_name, task_type))
    }

    /// [`Site::of_call`] for a call that is not in this thread's cache.
    #[cold]
    #[inline(never)]
    fn of_other_call(
        location: &'static Location<'static>,
        type_name: &'static str,
        task_type: TaskType,
    ) -> &'static Self {
        let site = Self::of(Key {
            name: name_of(type_name),
            task_type,
            file: location.file(),
            line: location.line(),
            column: location.column(),
        });
        LAST_CALLS.with(|calls| {
            let call = &calls[place_of(location, type_name, task_type)];
            call.location.set(Some(location));
            call.type_name.set(type_name);
            call.task_type.set(task_type);
            call.site.set(Some(site));
        });
        site
    }
}

/// The default name of a task: the function whose body is its future.
fn name_of(type_name: &'static str) -> &'static str {
    let mut name = type_name;
    while let Some(shorter) = name.strip_suffix("::{{closure}}") {
        name = shorter;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_named_after_its_function() {
        assert_eq!(name_of("app::main::{{closure}}::{{closure}}"), "app::main");
        assert_eq!(name_of("futures::Ready<u8>"), "futures::Ready<u8>");
    }
}
