//! Millions of tasks, and what memscope itself may take. Each file runs in a process of its own.

mod budgets;
mod kept_snapshot_cost;
mod memory;
mod million;
mod overload;
mod shared_limit;
mod site_limit;
mod small_snapshot_cost;
mod snapshot_cost;
mod ten_million;
mod ten_million_spawned;
mod timeline_month;

memscope_tests::install!();
memscope_tests::files_apart!();
