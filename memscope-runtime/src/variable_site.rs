//! The place of a `track_var!` and the type of its variable: one row for all that were registered there.

/// A place that `track_var!` stands at, made by the macro.
#[derive(Debug)]
pub struct VariableCallsite {
    name: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
}

impl VariableCallsite {
    /// A variable as it is written in the code, and where.
    pub const fn new(
        name: &'static str,
        file: &'static str,
        line: u32,
        column: u32,
    ) -> Self {
        Self { name, file, line, column }
    }
}
