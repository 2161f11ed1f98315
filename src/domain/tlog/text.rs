//! The texts of a log: tree heads and records (x/mod/sumdb/tlog, `note.go`).

use super::{Hash, MAX_SIZE};

const TREE: &str = "go.sum database tree\n";

/// The most bytes of the text of a tree head (x/mod/sumdb/tlog, `ParseTree`): 1 MB.
const MAX_TREE_TEXT: usize = 1_000_000;

/// A text that is not what the log should have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Not `go.sum database tree`, size, hash.
    #[error("the tree head is malformed: this is not the answer of a checksum database")]
    TreeHead,
    /// Not id, lines, blank line.
    #[error("the record is malformed: this is not the answer of a checksum database")]
    Record,
}

/// What a log looked like at some moment. Unsigned: who says so is another matter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TreeHead {
    /// The number of records, at most [`MAX_SIZE`].
    pub size: u64,
    /// The hash over all of them.
    pub hash: Hash,
}

impl TreeHead {
    /// The text that is signed: `go.sum database tree`, size, hash, each a line.
    #[must_use]
    pub fn format(&self) -> String {
        format!("{TREE}{}\n{}\n", self.size, self.hash)
    }

    /// Reads the text of a signed note. Lines after the hash are of a later version and are passed over.
    ///
    /// # Errors
    /// [`BadText::TreeHead`], also for a size over [`MAX_SIZE`] or one with leading zeros, and for a tree without records
    /// that has another hash than [`Hash::of_nothing`].
    pub fn parse(text: &str) -> Result<Self, BadText> {
        let read = || {
            let mut lines = text.strip_prefix(TREE)?.splitn(3, '\n');
            let size = decimal(lines.next()?)?;
            let hash = Hash::parse(lines.next()?)?;
            // What stands after the hash is its newline, and so there is a third piece, be it empty.
            lines.next()?;
            (size > 0 || hash == Hash::of_nothing()).then_some(Self { size, hash })
        };
        if text.len() > MAX_TREE_TEXT {
            return Err(BadText::TreeHead);
        }
        read().ok_or(BadText::TreeHead)
    }
}

/// A record as a lookup answers it: its id, its text, and a blank line.
///
/// # Errors
/// [`BadText::Record`] when `text` is not lines of UTF-8, none of them blank, without control characters.
pub fn format_record(id: u64, text: &[u8]) -> Result<Vec<u8>, BadText> {
    if !is_record_text(text) || id >= MAX_SIZE {
        return Err(BadText::Record);
    }
    Ok([id.to_string().as_bytes(), b"\n", text, b"\n"].concat())
}

/// Takes a record off the start of `message`: its id, its text, and what stands after the blank line.
///
/// # Errors
/// [`BadText::Record`] for anything that [`format_record`] would not write.
pub fn parse_record(message: &[u8]) -> Result<(u64, &[u8], &[u8]), BadText> {
    let read = || {
        let line = message.iter().position(|&byte| byte == b'\n')?;
        let id = decimal(std::str::from_utf8(&message[..line]).ok()?).filter(|&id| id < MAX_SIZE)?;
        let body = &message[line + 1..];
        let blank = body.windows(2).position(|pair| pair == b"\n\n")?;
        let text = &body[..=blank];
        is_record_text(text).then_some((id, text, &body[blank + 2..]))
    };
    read().ok_or(BadText::Record)
}

fn is_record_text(text: &[u8]) -> bool {
    let lines = std::str::from_utf8(text).ok().and_then(|text| text.strip_suffix('\n'));
    lines.is_some_and(|lines| lines.split('\n').all(|line| !line.is_empty() && line.bytes().all(|byte| byte >= 0x20)))
}

/// A number as it is written in the one canonical way, at most [`MAX_SIZE`].
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number <= MAX_SIZE && number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tlog::record_hash;

    // The golden texts are those of x/mod/sumdb/tlog, note_test.go.
    const HEAD: &str = "go.sum database tree\n123456789012\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n";

    #[test]
    fn a_tree_head_is_written_and_read_as_go_does() {
        let head = TreeHead { size: 123_456_789_012, hash: record_hash(b"hello world") };
        assert_eq!(head.format(), HEAD);
        assert_eq!(TreeHead::parse(HEAD), Ok(head));
        for later in ["JOE", "JOE\n", &"JOE\n".repeat(1000)] {
            assert_eq!(TreeHead::parse(&format!("{HEAD}{later}")), Ok(head));
        }
    }

    #[test]
    fn what_is_not_a_tree_head_is_refused() {
        let with = |size: &str| HEAD.replace("123456789012", size);
        for bad in [
            format!("not-{HEAD}"),
            HEAD.replace("uwBb0=", "uwBTOOBIG="),
            HEAD.trim_end().into(),
            "go.sum database tree\n1\n".into(),
            with("0xabcdef"),
            with(""),
            with("-1"),
            with("+1"),
            with("01"),
            with("0"),
            with("9223372036854775808"),
            with("18446744073709551616"),
            format!("{HEAD}{}", "a".repeat(MAX_TREE_TEXT)),
        ] {
            assert_eq!(TreeHead::parse(&bad), Err(BadText::TreeHead), "{}", &bad[..bad.len().min(80)]);
        }
        assert_eq!(TreeHead::parse(&with("9223372036854775807")).unwrap().size, MAX_SIZE);
    }

    #[test]
    fn a_record_is_written_and_read_as_go_does() {
        let golden = b"123456789012\nhello, world\n\n";
        assert_eq!(format_record(123_456_789_012, b"hello, world\n").unwrap(), golden);
        for bad in ["", "\n", "hello\nworld", "hello\n\nworld\n", "\nhello\n", "hello\x01world\n"] {
            assert_eq!(format_record(1, bad.as_bytes()), Err(BadText::Record), "{bad:?}");
        }
        for rest in [b"".as_slice(), b"junk on end\x01\xff"] {
            let message = [golden.as_slice(), rest].concat();
            assert_eq!(parse_record(&message), Ok((123_456_789_012, b"hello, world\n".as_slice(), rest)));
        }
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for bad in [
            b"not-123456789012\nhello, world\n\n".as_slice(),
            b"123\nhello\x01world\n\n",
            b"123\nhello\xffworld\n\n",
            b"123\nhello world\n",
            b"0x123\nhello world\n\n",
            b"0123\nhello world\n\n",
            b"-1\nhello world\n\n",
            b"9223372036854775807\nhello world\n\n",
            b"123\n\n\n",
            b"123\n\nhello world\n\n",
            b"123",
            b"",
        ] {
            assert_eq!(parse_record(bad), Err(BadText::Record), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
