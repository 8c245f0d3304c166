//! The counters that each task has, and each site as their sum: one list.
//!
//! A line below is all that a new counter needs, besides the place where it is counted. From it
//! follow the atomic storage of ended tasks and sites, the readings and their sums, the fields of
//! [`TaskMemoryProfile`](super::TaskMemoryProfile) and [`SiteProfile`](super::SiteProfile), and a
//! column in the tables of a report.

/// Applies a macro to its arguments and to the list of counters.
///
/// Each line is: the field's documentation, its name, its unit (`bytes` or `blocks`), whether
/// reports have a column for it (`shown` or `unshown`), and the column's title.
macro_rules! counters {
    ($apply:ident! { $($given:tt)* }) => {
        $apply! {
            { $($given)* }
            /// Bytes of all allocations so far.
            allocated_bytes: bytes, shown, "ALLOCATED";
            /// How many allocations those were; a `realloc` is one.
            allocation_count: blocks, unshown, "ALLOCATIONS";
            /// Of `allocated_bytes`, those that others allocated and
            /// [`transfer`](crate::async_memory::transfer) handed over.
            transferred_bytes: bytes, unshown, "TAKEN OVER";
        }
    };
}
pub(crate) use counters;

macro_rules! reading {
    ({} $($(#[$doc:meta])* $counter:ident: $unit:ident, $shown:ident, $title:literal;)+) => {
        /// One reading of the counters of a task, or of a site.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct TaskCounters {
            $($(#[$doc])* pub(crate) $counter: u64,)+
        }

        impl TaskCounters {
            /// The sum of both; it stops at the largest number, as rows may come from a file.
            #[inline]
            #[must_use]
            pub(crate) fn plus(self, other: Self) -> Self {
                Self { $($counter: self.$counter.saturating_add(other.$counter),)+ }
            }
        }
    };
}
counters!(reading! {});

impl TaskCounters {
    /// These, or zeroes where sizes are not measured.
    pub(crate) fn if_measured(self, measured: bool) -> Self {
        if measured { self } else { Self::default() }
    }

    /// Bytes that were allocated here first. Bytes that were handed over count where they came
    /// from.
    pub(crate) fn first_allocated_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.transferred_bytes)
    }
}

/// Declares a public row with a field for each counter between its other fields.
macro_rules! counted_row {
    (
        {
            $(#[$of_row:meta])*
            $row:ident
            { $($before:tt)* }
            { $($after:tt)* }
        }
        $($(#[$doc:meta])* $counter:ident: $unit:ident, $shown:ident, $title:literal;)+
    ) => {
        $(#[$of_row])*
        pub struct $row {
            $($before)*
            $(
                $(#[$doc])*
                #[serde(default)]
                pub $counter: u64,
            )+
            $($after)*
        }

        impl $row {
            pub(crate) fn counters(&self) -> $crate::model::TaskCounters {
                $crate::model::TaskCounters { $($counter: self.$counter,)+ }
            }

            #[allow(dead_code, reason = "not every row is added to")]
            pub(crate) fn set_counters(&mut self, counters: $crate::model::TaskCounters) {
                $(self.$counter = counters.$counter;)+
            }
        }
    };
}
pub(crate) use counted_row;

/// A row, from a reading of its counters and its other fields.
macro_rules! row_of {
    (
        { $counters:expr, $row:ident { $($fields:tt)* } }
        $($(#[$doc:meta])* $counter:ident: $unit:ident, $shown:ident, $title:literal;)+
    ) => {
        $row { $($counter: $counters.$counter,)+ $($fields)* }
    };
}
pub(crate) use row_of;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stop_at_the_largest_number() {
        let none = TaskCounters::default();
        let some = TaskCounters { allocated_bytes: 5, transferred_bytes: 2, ..none };
        let most = TaskCounters { allocated_bytes: u64::MAX, ..none };
        assert_eq!(some.plus(most), TaskCounters { transferred_bytes: 2, ..most });
        assert_eq!(some.first_allocated_bytes(), 3);
        assert_eq!(some.if_measured(false), TaskCounters::default());
    }
}
