//! Reads the debug sections of an ELF file, decompressed, and the fields that identify the file.

use std::{
    borrow::Cow,
    fmt::Write,
    path::{Path, PathBuf},
};

use gimli::{AttributeValue, EndianSlice, RunTimeEndian, SectionId};
use object::{CompressionFormat, Object, ObjectSection, ObjectSegment};

use crate::error::Kind;

pub(crate) type Bytes<'d> = EndianSlice<'d, RunTimeEndian>;
pub(crate) type Dwarf<'d> = gimli::Dwarf<Bytes<'d>>;
pub(crate) type Package<'d> = gimli::DwarfPackage<Bytes<'d>>;
pub(crate) type Value<'d> = AttributeValue<Bytes<'d>>;

/// The sections with the layouts of types. Address ranges and locations, most of the rest, are not
/// decompressed.
const NEEDED: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugCuIndex,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTuIndex,
];
/// Further sections that the index of a package refers to, and that must therefore be loaded.
const INDEXED: [SectionId; 6] = [
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
    SectionId::DebugRngLists,
    SectionId::DebugTypes,
];
/// The highest accepted compression ratio. Debug information shrinks to about a third; a damaged
/// header may claim terabytes.
const MOST_COMPRESSION: u64 = 256;

/// The debug sections of an ELF file.
#[derive(Debug)]
pub(crate) struct Sections<'d> {
    all: Vec<(SectionId, Cow<'d, [u8]>)>,
    endian: RunTimeEndian,
    pub(crate) identity: Identity,
}

/// Facts about the file other than its debug information.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) build_id: Option<Vec<u8>>,
    /// The debug link: the name of the file with the debug information, and the CRC-32 of its
    /// bytes.
    pub(crate) debug_link: Option<(PathBuf, u32)>,
    /// The link-time address of the file's first byte.
    pub(crate) base: u64,
    /// The link-time addresses of loaded segments: start and end.
    pub(crate) loaded: Vec<(u64, u64)>,
    pub(crate) has_symbols: bool,
}

/// Which set of names the debug sections have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// `.debug_info`: an executable, or its separate debug file.
    Whole,
    /// `.debug_info.dwo`: a split file with one unit, or a package of such files.
    Split,
}

impl<'d> Sections<'d> {
    pub(crate) fn read(data: &'d [u8], flavour: Flavour) -> Result<Self, Kind> {
        let file = parse(data)?;
        let mut all = Vec::new();
        let (name, besides): (fn(SectionId) -> Option<&'static str>, _) = match flavour {
            Flavour::Whole => (|id| Some(id.name()), &[][..]),
            Flavour::Split => (|id| id.dwo_name(), &INDEXED[..]),
        };
        for &id in NEEDED.iter().chain(besides) {
            if let Some(section) = name(id).and_then(|name| file.section_by_name(name)) {
                all.push((id, decompressed(&section)?));
            }
        }
        let endian =
            if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let identity = Identity::of(&file);
        Ok(Self { all, endian, identity })
    }

    fn section(&self, id: SectionId) -> Bytes<'_> {
        let found = self.all.iter().find(|it| it.0 == id);
        EndianSlice::new(found.map_or(&[], |it| &it.1), self.endian)
    }

    pub(crate) fn dwarf(&self) -> Result<Dwarf<'_>, Kind> {
        Dwarf::load(|id| Ok(self.section(id)))
    }

    pub(crate) fn package(&self) -> Result<Package<'_>, Kind> {
        Package::load(|id| Ok(self.section(id)), EndianSlice::new(&[], self.endian))
    }

    /// Returns the number of bytes in `.debug_info`.
    pub(crate) fn entry_bytes(&self) -> u64 {
        self.section(SectionId::DebugInfo).len() as u64
    }
}

impl Identity {
    /// Whether the program has anything at this link-time address.
    pub(crate) fn is_loaded(&self, address: u64) -> bool {
        self.loaded.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    /// Reads the identity of a file, whatever else the file contains.
    pub(crate) fn read(data: &[u8]) -> Result<Self, Kind> {
        Ok(Self::of(&parse(data)?))
    }

    fn of(file: &object::File<'_>) -> Self {
        Self {
            build_id: file.build_id().ok().flatten().map(<[u8]>::to_vec),
            debug_link: file.gnu_debuglink().ok().flatten().and_then(|(name, sum)| {
                // Only the file name is used: a path could lead anywhere.
                let name = Path::new(str::from_utf8(name).ok()?).file_name()?;
                Some((name.into(), sum))
            }),
            base: file.segments().find(|it| it.file_range().0 == 0).map_or(0, |it| it.address()),
            loaded: file
                .segments()
                .map(|it| (it.address(), it.address().saturating_add(it.size())))
                .collect(),
            has_symbols: file.symbol_table().is_some(),
        }
    }
}

fn parse(data: &[u8]) -> Result<object::File<'_>, Kind> {
    if !data.starts_with(b"\x7fELF") {
        return Err(Kind::NotElf(kind_of_file(data)));
    }
    Ok(object::File::parse(data)?)
}

/// Returns the text of an attribute.
pub(crate) fn text<'d>(
    dwarf: &Dwarf<'d>,
    unit: &gimli::Unit<Bytes<'d>>,
    value: Value<'d>,
) -> Option<&'d str> {
    dwarf.attr_string(unit, value).ok().and_then(|it| str::from_utf8(it.slice()).ok())
}

/// Formats a build id as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a `String` never fails.
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn decompressed<'d>(section: &object::Section<'d, '_>) -> Result<Cow<'d, [u8]>, Kind> {
    let packed = section.compressed_data()?;
    let most = (packed.data.len() as u64).saturating_mul(MOST_COMPRESSION);
    if packed.format != CompressionFormat::None && packed.uncompressed_size > most {
        return Err(Kind::Corrupt("a compressed section says that it is huge".to_owned()));
    }
    Ok(packed.decompress()?)
}

/// Returns what kind of file this is instead, judged by its first bytes, followed by a comma.
fn kind_of_file(data: &[u8]) -> &'static str {
    match data {
        [] => "empty, ",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "a Mach-O file (macOS), ",
        [b'M', b'Z', ..] => "a PE file (Windows), ",
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => "an archive, ",
        _ => "",
    }
}
