//! Lines of source files, where they are still there.

use std::{collections::HashMap, fs};

use memscope_layout::Place;

/// Longer lines say no more.
const LONGEST: usize = 100;

/// The files that were read.
#[derive(Debug, Default)]
pub(crate) struct Source {
    files: HashMap<String, Option<String>>,
}

impl Source {
    /// The line, without the space around it; `None` where it is empty or not there.
    pub(crate) fn line(&mut self, place: &Place) -> Option<String> {
        let file = self
            .files
            .entry(place.file.to_string())
            .or_insert_with(|| fs::read_to_string(&*place.file).ok());
        let index = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let line = file.as_ref()?.lines().nth(index)?.trim();
        // A file in which anything may be must not move the cursor.
        let clean = line.chars().filter(|it| !it.is_control()).take(LONGEST);
        (!line.is_empty()).then(|| clean.collect())
    }
}
