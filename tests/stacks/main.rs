//! Sampled call stacks: their estimates, their limits, the functions that they name.
//! Each file runs in a process of its own.

mod adaptive_interval;
mod channels;
mod course_of_a_stack;
mod inlined_names;
mod small_stacks;
mod stack_estimates;
mod stack_limits;
mod stack_samples;
mod stacks_and_locks;
mod stacks_of_programs;
mod stacks_off;
mod where_the_code_allocates;

memscope_tests::install!();
memscope_tests::files_apart!();
