//! Memory that a dump of tasks has with it, to be read where there is debug information.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Memory of the program at the moment of a dump.
///
/// It is there only if [`Builder::dump_memory`](crate::Builder::dump_memory) was set, and it has
/// what was in the program's variables. `cargo memscope tasks` reads places from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DumpedMemory {
    /// The path of the program, as the system reports it.
    pub program: Option<String>,
    /// The linker's name for exactly this build, in hexadecimal digits.
    pub build_id: Option<String>,
    /// The address that the first byte of the program's file was loaded at.
    pub image: u64,
    /// How many bytes from there on belong to the program.
    pub image_bytes: u64,
    /// The memory, in the order of addresses. No two pieces have a byte in common.
    pub pieces: Vec<MemoryPiece>,
}

/// Bytes at an address. As JSON they are a text of hexadecimal digits.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPiece {
    /// The address of the first byte.
    pub address: u64,
    /// What was there.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub bytes: Vec<u8>,
}

/// Without the bytes, which may be secrets.
impl fmt::Debug for MemoryPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:#x}", self.bytes.len(), self.address)
    }
}

/// Where the cell of a waiting task is in the dumped memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpedCell {
    /// The address of the cell.
    pub address: u64,
    /// The function that polls the task: its offset from the first byte of the program's image.
    pub poll: u64,
    /// How many bytes the cell has; 0: not known.
    pub bytes: u64,
    /// Where the cell has the task's id, in bytes from its start.
    pub id_offset: u64,
}

fn write_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let digit = |it: u8| char::from_digit(u32::from(it), 16).unwrap_or('0');
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    serializer.serialize_str(&text)
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Digits;
    impl de::Visitor<'_> for Digits {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("two hexadecimal digits for each byte")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
            let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
            let pairs = text.as_bytes().chunks(2);
            let bytes = pairs.map(|pair| match *pair {
                [high, low] => Some((digit(high)? << 4) | digit(low)?),
                _ => None,
            });
            let wrong = || E::invalid_value(de::Unexpected::Other("other text"), &self);
            bytes.collect::<Option<_>>().ok_or_else(wrong)
        }
    }
    deserializer.deserialize_str(Digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_digits_and_read_back() {
        let piece = MemoryPiece { address: 4_096, bytes: (0..=255).collect() };
        let json = serde_json::to_string(&piece).expect("JSON");
        assert!(json.contains("\"000102") && json.contains("fdfeff\""), "{json}");
        assert_eq!(serde_json::from_str::<MemoryPiece>(&json).expect("a piece"), piece);
        assert_eq!(format!("{piece:?}"), "256 bytes at 0x1000");
        for wrong in ["0", "0g", "é", "+1", " 1"] {
            let json = format!("{{\"address\": 1, \"bytes\": \"{wrong}\"}}");
            let error = serde_json::from_str::<MemoryPiece>(&json).expect_err(wrong);
            assert!(error.to_string().contains("two hexadecimal digits"), "{error}");
        }
    }
}
