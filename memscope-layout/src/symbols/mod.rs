//! The names of functions, from the symbol table of an ELF file.

mod calls;
#[cfg(feature = "inlined")]
mod declared;
mod demangle;
#[cfg(feature = "inlined")]
mod frames;
mod in_common;
#[cfg(feature = "inlined")]
mod lines;
#[cfg(feature = "inlined")]
mod units;

pub(crate) use demangle::readable;

use std::path::Path;

use object::{
    File, FileKind, Object, ObjectSegment, ObjectSymbol, SymbolIterator, SymbolKind,
    read::elf::{ElfFile32, ElfFile64},
};

use crate::{
    elf::MappedFile,
    error::{Error, Kind},
};

/// The most symbols of one address whose names are compared. Folded code rarely has more names.
const MOST_NAMES: u32 = 64;
/// Pairs of a function and an address in it that any file may have. In a damaged file all functions
/// may contain all addresses.
const LEAST_VISITS: usize = 1 << 20;

/// An ELF file whose symbol table is read: mapped into memory until it is dropped.
///
/// ```no_run
/// use memscope_layout::Symbols;
///
/// let symbols = Symbols::open("target/release/app")?;
/// symbols.find(&[0x1234, 0x5678], |index, name| println!("{index}: {name}"))?;
/// # Ok::<(), memscope_layout::Error>(())
/// ```
#[derive(Debug)]
pub struct Symbols {
    file: MappedFile,
}

impl Symbols {
    /// Opens an executable or a library.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or is not an ELF file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let open = || {
            let file = MappedFile::open(path)?;
            parse(&file)?;
            Ok(Self { file })
        };
        open().map_err(|kind| Error::new(path, kind))
    }

    /// Returns the linker's identifier of exactly this build, if the file has one.
    pub fn build_id(&self) -> Option<&[u8]> {
        parse(&self.file).ok()?.build_id().ok()?
    }

    /// Returns the segments that are loaded into memory: the address that the linker assigned, and
    /// the size.
    pub fn loaded(&self) -> Vec<(u64, u64)> {
        parse(&self.file).map_or_else(
            |_| Vec::new(),
            |file| file.segments().map(|it| (it.address(), it.size())).collect(),
        )
    }

    /// Calls `each` with the variables that the file has room for, statics and thread-locals, and
    /// with their symbols.
    pub fn variables(&self, mut each: impl FnMut(Variable, &[u8])) {
        let Ok(file) = parse(&self.file) else { return };
        for it in symbols(&file).filter(|it| it.size() != 0 && !it.is_undefined()) {
            let is_thread_local = match it.kind() {
                SymbolKind::Data => false,
                SymbolKind::Tls => true,
                _ => continue,
            };
            let (address, size, symbol) = (it.address(), it.size(), it.index().0);
            let variable = Variable { address, size, is_thread_local, symbol };
            each(variable, it.name_bytes().unwrap_or_default());
        }
    }

    /// Returns the readable name of a variable, without a hash.
    pub fn variable_name(&self, variable: &Variable) -> Option<String> {
        let file = parse(&self.file).ok()?;
        readable(file_symbol(&file, variable.symbol)?)
    }

    /// Calls `found` with each address that lies in a function, as an index into `addresses`, and
    /// with the function's name.
    ///
    /// `addresses` must be sorted; they are addresses that the linker assigned. The table is read
    /// once, and once more if some function has several names. Names are readable, without hashes;
    /// symbols that were mangled by the newer scheme keep their type parameters. A name is cut off
    /// after a kibibyte.
    ///
    /// If the linker or the compiler has merged functions with the same code, their names differ.
    /// Then `_` stands where they do; if nothing is in common, there is no name.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged.
    pub fn find(&self, addresses: &[u64], found: impl FnMut(usize, &str)) -> Result<(), Error> {
        Self::find_in(&self.file, addresses, found)
    }

    /// Like [`find`](Self::find), for the bytes of a file in memory.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no ELF file, or a damaged one.
    pub fn find_in(
        bytes: &[u8],
        addresses: &[u64],
        found: impl FnMut(usize, &str),
    ) -> Result<(), Error> {
        debug_assert!(addresses.is_sorted(), "the caller sorts them");
        let find = || {
            let file = parse(bytes)?;
            name_all(&file, addresses, found)
        };
        find().map_err(|kind: Kind| Error::new(Path::new("the file"), kind))
    }
}

/// A variable that lives as long as the program, or as long as a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The address that the linker assigned; of a thread-local, the distance from the start of each
    /// thread's copy.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// Whether each thread has its own.
    pub is_thread_local: bool,
    symbol: usize,
}

fn parse(bytes: &[u8]) -> Result<File<'_>, Kind> {
    match FileKind::parse(bytes)? {
        FileKind::Elf32 => Ok(File::Elf32(ElfFile32::parse(bytes)?)),
        FileKind::Elf64 => Ok(File::Elf64(ElfFile64::parse(bytes)?)),
        _ => Err(Kind::NotElf("")),
    }
}

/// The symbols of functions: `.symtab`, or what is left of a stripped file, `.dynsym`.
fn symbols<'f>(file: &'f File<'_>) -> SymbolIterator<'f, 'f> {
    let all = file.symbols();
    if file.symbol_table().is_some() { all } else { file.dynamic_symbols() }
}

/// The smallest function that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Best {
    start: u64,
    size: u64,
    /// The first symbol of this function, and how many there are.
    symbol: usize,
    count: u32,
}

fn name_all(
    file: &File<'_>,
    addresses: &[u64],
    mut found: impl FnMut(usize, &str),
) -> Result<(), Kind> {
    // Memory for each address, and none for each symbol.
    let mut best = vec![Best { start: 0, size: 0, symbol: 0, count: 0 }; addresses.len()];
    each_function(file, addresses, |index, start, size, symbol| {
        let best = &mut best[index];
        if best.count == 0 || (start, best.size) > (best.start, size) {
            *best = Best { start, size, symbol, count: 1 };
        } else if (best.start, best.size) == (start, size) {
            best.count = best.count.saturating_add(1);
        }
    })?;
    let mut names: Vec<(usize, String)> = Vec::new();
    for (index, best) in best.iter().enumerate() {
        let name = || {
            let symbol = file_symbol(file, best.symbol)?;
            readable(symbol)
        };
        match best.count {
            0 => {}
            1 => {
                if let Some(name) = name() {
                    found(index, &name);
                }
            }
            2..=MOST_NAMES => names.extend(name().map(|name| (index, name))),
            _ => {}
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    each_function(file, addresses, |index, start, size, symbol| {
        let best = &best[index];
        let is_another = best.symbol != symbol && (best.start, best.size) == (start, size);
        if is_another
            && let Ok(at) = names.binary_search_by_key(&index, |it| it.0)
            && let Some(other) = file_symbol(file, symbol).and_then(readable)
        {
            in_common::keep(&mut names[at].1, &other);
        }
    })?;
    for (index, name) in &names {
        if !name.is_empty() {
            found(*index, name);
        }
    }
    Ok(())
}

/// The name of the symbol with this number.
fn file_symbol<'f>(file: &'f File<'_>, index: usize) -> Option<&'f [u8]> {
    use object::{ObjectSymbolTable, SymbolIndex};
    let table = file.symbol_table().or_else(|| file.dynamic_symbol_table())?;
    table.symbol_by_index(SymbolIndex(index)).ok()?.name_bytes().ok()
}

/// Visits each pair of an address and a function that it lies in.
fn each_function(
    file: &File<'_>,
    addresses: &[u64],
    mut visit: impl FnMut(usize, u64, u64, usize),
) -> Result<(), Kind> {
    let mut left = LEAST_VISITS + MOST_NAMES as usize * addresses.len();
    for symbol in symbols(file) {
        let (start, size) = (symbol.address(), symbol.size());
        if size == 0 || symbol.kind() != SymbolKind::Text || !symbol.is_definition() {
            continue;
        }
        let first = addresses.partition_point(|address| *address < start);
        for (index, _) in
            (first..).zip(addresses[first..].iter().take_while(|it| **it - start < size))
        {
            left = left.checked_sub(1).ok_or_else(|| Kind::Corrupt("functions overlap".into()))?;
            visit(index, start, size, symbol.index().0);
        }
    }
    Ok(())
}
