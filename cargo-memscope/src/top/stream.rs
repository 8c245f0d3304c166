//! Reads the data of server-sent events from a stream that may send anything.

use std::io::{self, BufRead, Read};

/// The most bytes of one event. A server sends about 200 kB, or its findings if they are larger.
const MOST_BYTES: usize = 64 << 20;

/// Reads the next event, and returns its data, or `None` if the stream has ended.
///
/// # Errors
///
/// Returns an error if the stream breaks off, or sends a too long event or bytes that are not
/// UTF-8.
pub(super) fn next_event(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut data = String::new();
    loop {
        let Some(line) = line(stream, MOST_BYTES.saturating_sub(data.len()))? else {
            return Ok(None);
        };
        if line.is_empty() {
            if data.is_empty() {
                continue;
            }
            return Ok(Some(data));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field == "data" {
            if !data.is_empty() {
                data.push('\n');
            }
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
    }
}

/// Reads the next line, without its end. Returns `None` if there is none, or if it was cut off.
fn line(stream: &mut impl BufRead, most: usize) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    stream.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
    if bytes.last() != Some(&b'\n') {
        if bytes.len() < most {
            return Ok(None);
        }
        let why = format!("an update has more than {} MiB", MOST_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    bytes.pop();
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "what comes is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8]) -> Vec<String> {
        let mut stream = bytes;
        std::iter::from_fn(|| next_event(&mut stream).unwrap()).collect()
    }

    #[test]
    fn events_have_their_data_and_nothing_else() {
        let text =
            b"retry: 2000\n\nevent: snapshot\ndata: {\"a\":\ndata:1}\n\n: note\r\ndata: b\r\n\r\n";
        assert_eq!(events(text), ["{\"a\":\n1}", "b"]);
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(events(b"data: a\n\ndata: b\n"), ["a"]);
        assert!(events(b"data: a").is_empty());
    }

    #[test]
    fn a_stream_without_an_end_is_an_error() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(next_event(&mut endless).unwrap_err().to_string().contains("64 MiB"));
        let mut lines =
            io::BufReader::new(b"data: xxxxxxx\n".as_slice().chain(io::repeat(b'\xff')));
        assert!(next_event(&mut lines).is_err());
    }
}
