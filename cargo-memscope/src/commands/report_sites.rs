//! Prints the state machines of a saved report: joins its sites with the program's debug
//! information.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    io::{self, Write},
    path::{Path, PathBuf},
};

use memscope_layout::{Layouts, Shape};
use memscope_runtime::{
    __terminal::{Visible, visible, visible_path},
    async_memory::{MemorySnapshot, Program, SiteProfile},
};

use super::builds::{REPORT, another_build, without_deleted_suffix};
use crate::{
    arguments::Report,
    error::Error,
    model::{Future, Packages, relative_path, short_path, type_name},
    output::{List, NAME, PLACE, SourceFiles, Width, escape_future},
};

/// The number of sites that are printed by default.
const MOST: usize = 10;

/// The sites of a report with a known future. Sites whose live futures take the most bytes come
/// first.
#[derive(Debug)]
pub(crate) struct Sites<'s> {
    program: Option<&'s Program>,
    sites: Vec<&'s SiteProfile>,
}

/// The places of the program and its debug information that the command line gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'o> {
    program: Option<&'o Path>,
    debug_files: &'o [PathBuf],
}

impl<'o> Places<'o> {
    pub(crate) fn of(options: &'o Report) -> Self {
        Self { program: options.program.as_deref(), debug_files: &options.debug_file }
    }
}

/// The result of looking up a site's future.
#[derive(Debug, PartialEq, Eq)]
enum SiteFuture {
    /// The future is this coroutine, or a value of the type `within` that contains it.
    Coroutine { index: usize, within: Option<String> },
    /// The future contains no state machine.
    Plain(String),
    /// The future is unknown, for this reason.
    Nothing(&'static str),
}

impl<'s> Sites<'s> {
    pub(crate) fn of(report: &'s MemorySnapshot) -> Self {
        let mut sites: Vec<_> =
            report.sites().iter().filter(|it| it.future_vtable.is_some()).collect();
        let bytes = |it: &SiteProfile| it.active.saturating_mul(it.future_size_bytes);
        sites.sort_by_key(|it| Reverse((bytes(it), it.future_size_bytes)));
        Self { program: report.program(), sites }
    }

    /// Prints the sites. If a program is named, it is read from there. Otherwise it is read from
    /// the path in the report or found by its build id, and sites that the program explained itself
    /// are omitted.
    pub(crate) fn print(
        mut self,
        out: &mut impl Write,
        places: Places<'_>,
        is_full: bool,
    ) -> Result<(), Error> {
        if let Some(path) = places.program {
            let layouts = self.layouts(path, places.debug_files)?;
            return Ok(self.list(out, &layouts, path, is_full)?);
        }
        self.sites.retain(|it| it.state_machine.is_none());
        let Some(program) = self.program.filter(|_| !self.sites.is_empty()) else {
            return Ok(());
        };
        let path = without_deleted_suffix(Path::new(&program.path));
        let named = self.layouts(&path, places.debug_files);
        // The file may be another program by now, and the debug information elsewhere.
        let found = named.or_else(|error| {
            let of_build = |id| Layouts::of_build(id, places.debug_files);
            program.build_id.as_deref().and_then(of_build).ok_or(error)
        });
        match found {
            Ok(layouts) => self.list(out, &layouts, &path, is_full)?,
            // This is not an error, as the report is complete without state machines.
            Err(error) => writeln!(
                out,
                "\nstate machines: not shown, as {error}\n`--program PATH` names the program where it is now"
            )?,
        }
        Ok(())
    }

    fn layouts(&self, path: &Path, debug_files: &[PathBuf]) -> Result<Layouts, Error> {
        let layouts = Layouts::read_with(path, debug_files)?;
        let own = self.program.and_then(|it| it.build_id.as_deref());
        match (own, layouts.build_id()) {
            (Some(own), Some(other)) if own != other => {
                Err(another_build(path, other, own, REPORT))
            }
            _ => Ok(layouts),
        }
    }

    fn list(
        &self,
        out: &mut impl Write,
        layouts: &Layouts,
        path: &Path,
        is_full: bool,
    ) -> io::Result<()> {
        let width = Width::of_output();
        let mut list = List { width, source: SourceFiles::default(), shown: HashSet::new() };
        let mut seen: HashMap<usize, Visible<'_>> = HashMap::new();
        let count = if is_full { self.sites.len() } else { self.sites.len().min(MOST) };
        writeln!(out, "\nstate machines, from {}", visible_path(&relative_path(path)))?;
        if self.sites.is_empty() {
            writeln!(out, "  no site of the report says which future it has")?;
        }
        for site in &self.sites[..count] {
            let place = format!("{}:{}", visible(&short_path(&site.file)), site.line);
            let SiteProfile { name, active, spawned, .. } = site;
            let name = visible(name);
            writeln!(
                out,
                "\n{NAME}{name}{NAME:#}  {PLACE}{place}{PLACE:#}  {active} of {spawned} alive"
            )?;
            match site_future(layouts, site.future_vtable, site.future_size_bytes) {
                SiteFuture::Coroutine { index, within } => {
                    if let Some(within) = within {
                        writeln!(
                            out,
                            "  inside {}:",
                            width.minus(10).middle(&visible(&within).to_string())
                        )?;
                    }
                    if let Some(other) = seen.insert(index, name) {
                        writeln!(out, "  the same future as that of `{other}`")?;
                    } else if let Some(coroutine) = layouts.coroutines().get(index) {
                        list.future(
                            out,
                            &escape_future(&Future::of(
                                layouts,
                                index,
                                coroutine,
                                &Packages::default(),
                            )),
                        )?;
                    }
                }
                SiteFuture::Plain(type_name) => {
                    let type_name = width.minus(30).middle(&visible(&type_name).to_string());
                    writeln!(out, "  {type_name}: no state machine is in it")?;
                }
                SiteFuture::Nothing(why) => writeln!(out, "  not known: {why}")?,
            }
        }
        if count < self.sites.len() {
            writeln!(out, "\n{count} of {} sites; `--full` shows the rest", self.sites.len())?;
        }
        let is_sure =
            self.program.is_some_and(|it| it.build_id.is_some()) && layouts.build_id().is_some();
        if !is_sure {
            writeln!(
                out,
                "\nthe program or the report has no build id: that sizes agree is all that says that they belong together"
            )?;
        }
        Ok(())
    }
}

/// Looks up the vtable at this offset in the program's image, if its future has this size.
fn site_future(layouts: &Layouts, vtable: Option<u64>, size: u64) -> SiteFuture {
    let address = vtable.unwrap_or(0).saturating_add(layouts.base_address());
    let Some(id) = layouts.by_vtable(address, size) else {
        return SiteFuture::Nothing(match layouts.vtables().find(|it| it.0 == address) {
            Some((_, Some(_))) => "the type at its place has another size",
            Some((_, None)) => "the linker gave several types one place",
            None => {
                "its type is not in the debug information; `debug = 2` is needed in the crate that makes the future"
            }
        });
    };
    let Some(future) = layouts.future_type(id) else {
        return SiteFuture::Nothing("its type is not in the debug information");
    };
    if let Shape::Coroutine(index) = future.shape {
        return SiteFuture::Coroutine { index, within: None };
    }
    let within = type_name::short(layouts, &future.name);
    // The lowest index belongs to the largest coroutine.
    match layouts.children_of(id, 0).iter().map(|it| it.coroutine).min() {
        Some(index) => SiteFuture::Coroutine { index, within: Some(within) },
        None => SiteFuture::Plain(within),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vtable_is_looked_up_from_where_the_linker_put_the_program() {
        let layouts: Layouts = serde_json::from_str(
            r#"{"build_id":null,"base_address":4194304,"coroutines":[],"missing_files":0,
            "future_types":[{"name":"core::future::ready::Ready<u8>","size":2,"shape":"leaf"}],
            "vtables":[[4096,null],[4198400,0]]}"#,
        )
        .unwrap();
        let site_future = |size| site_future(&layouts, Some(4_096), size);
        assert_eq!(site_future(2), SiteFuture::Plain("Ready<u8>".to_owned()));
        assert_eq!(site_future(3), SiteFuture::Nothing("the type at its place has another size"));
    }
}
