//! Reads futures from a program's debug information, or from a file that `--json` wrote.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use memscope_layout::{Coroutine, Layouts};
use memscope_runtime::__terminal::{MOST_BYTES, read, visible_path};

use super::{
    advice,
    crate_of_line::Origin,
    packages::Packages,
    rows::{Future, Futures, State},
    type_name, why,
};
use crate::error::Error;

/// The version of the format. It changes if a field changes its meaning.
const FORMAT: u32 = 1;

impl Futures {
    /// Reads a program that was built from these packages.
    pub(crate) fn of_build(
        path: &Path,
        packages: &Packages,
    ) -> Result<Self, memscope_layout::Error> {
        Ok(Self::of(&Layouts::read(path)?, path, packages))
    }

    /// Reads a program, or a file that `--json` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let shown = visible_path(path);
        let cannot = |error: io::Error| Error::new(format!("cannot read {shown}: {error}"));
        let about = fs::metadata(path).map_err(cannot)?;
        // A pipe, such as `<(command)`, can be read only once, so it cannot be a program.
        let is_json = if about.is_file() {
            let mut start = [0u8; 1];
            let read = fs::File::open(path).and_then(|mut file| file.read(&mut start));
            // No executable begins with these bytes.
            read.map_err(cannot)? == 1 && (start == *b"{" || start[0].is_ascii_whitespace())
        } else {
            true
        };
        if !is_json {
            return Ok(Self::of_build(path, &Packages::default())?);
        }
        let bytes = read(path, MOST_BYTES, Some(b'{')).map_err(cannot)?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            Error::new(format!("{shown} is neither a program nor the JSON of futures: {error}"))
        })?;
        Self::from_json(text).map_err(|error| Error::new(format!("{shown} {error}")))
    }

    /// Reads what `--json` wrote. The text of the error continues the file's name.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        const WRITE: &str = "write it with `cargo memscope futures --json > FILE`";
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| format!("is not the JSON of futures: {error}; {WRITE}"))?;
        match value.get("memscope_futures").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "has format {other}, and this version reads {FORMAT}: {WRITE} by the same version"
                ));
            }
            None => return Err(format!("is some other JSON: {WRITE}")),
        }
        serde_json::from_value(value).map_err(|error| format!("is damaged: {error}; {WRITE}"))
    }

    fn of(layouts: &Layouts, path: &Path, packages: &Packages) -> Self {
        let futures = layouts.coroutines().iter().enumerate();
        Self {
            format: FORMAT,
            program: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            build_id: layouts.build_id().map(str::to_owned),
            missing_files: layouts.missing_files(),
            all: futures.map(|(index, it)| Future::of(layouts, index, it, packages)).collect(),
        }
    }
}

impl Future {
    /// Makes the row of the state machine at `index`.
    pub(crate) fn of(
        layouts: &Layouts,
        index: usize,
        coroutine: &Coroutine,
        packages: &Packages,
    ) -> Self {
        let largest = coroutine.largest_state;
        let states = coroutine.states.iter().enumerate();
        Self {
            name: type_name::short(layouts, &coroutine.path),
            path: coroutine.path.to_string(),
            origin: Origin::of(coroutine.declared_at.as_ref(), packages),
            size: coroutine.size,
            align: coroutine.align,
            declared_at: coroutine.declared_at.clone(),
            await_points: coroutine.suspended().count(),
            padding: coroutine.padding,
            why: why::chain(layouts, index),
            advice: advice::of(layouts, coroutine, packages),
            states: states.map(|(at, it)| State::of(layouts, it, largest == Some(at))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> String {
        r#"{"memscope_futures":1,"program":"app","build_id":null,"futures":[
            {"name":"app::f","path":"app::f::{async_fn_env#0}","origin":"own","size":24,
             "states":[{"kind":{"suspended":0},"live_bytes":8,"is_largest":true,"members":[
               {"name":"x","type":"u64","kind":"local","offset":0,"size":8}]}]}]}"#
            .to_owned()
    }

    #[test]
    fn json_reads_as_it_was_written() {
        let futures = Futures::from_json(&some()).unwrap();
        let written = serde_json::to_string(&futures).unwrap();
        assert_eq!(Futures::from_json(&written).unwrap(), futures);
        assert_eq!(futures.all[0].states[0].members[0].size, Some(8));
    }

    #[test]
    fn other_json_is_told_apart() {
        let error = |text: &str| Futures::from_json(text).unwrap_err();
        assert!(error("{}").contains("some other JSON"));
        assert!(error("{\"memscope_futures\":9}").contains("has format 9"));
        assert!(error("{\"memscope_futures\":1}").contains("is damaged"));
        assert!(error("{").contains("is not the JSON of futures"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            drop(Futures::from_json(&text));
        }

        #[test]
        fn damaged_json_is_an_error_or_still_futures(at: prop::sample::Index, with: char, cut: bool) {
            let mut text: Vec<char> = some().chars().collect();
            let at = at.index(text.len());
            if cut { text.truncate(at) } else { text[at] = with }
            let text: String = text.into_iter().collect();
            if let Err(error) = Futures::from_json(&text) {
                prop_assert!(error.contains("--json"), "says what to do: {}", error);
            }
        }
    }
}
