//! The `Range` header (RFC 9110, section 14): single byte ranges, for tools that resume.

use std::ops::Range;

/// What a `Range` header asks of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole body: no header, a unit or form that we do not serve (which the RFC allows to be ignored), or several
    /// ranges in one request.
    All,
    /// These bytes, never empty.
    Part(Range<u64>),
    /// Nothing of the body lies in the range: status 416.
    Unsatisfiable,
}

/// Reads a `Range` header for a body of `len` bytes.
#[must_use]
pub fn wanted(header: Option<&str>, len: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Wanted::All;
    };
    let (first, last) = (number(first), number(last));
    match (first, last) {
        (Number::Is(first), Number::None) if first < len => Wanted::Part(first..len),
        (Number::Is(first), Number::Is(last)) if first > last => Wanted::All,
        (Number::Is(first), Number::Is(last)) if first < len => Wanted::Part(first..last.saturating_add(1).min(len)),
        (Number::None, Number::Is(0)) => Wanted::Unsatisfiable,
        (Number::None, Number::Is(_)) if len == 0 => Wanted::Unsatisfiable,
        (Number::None, Number::Is(suffix)) => Wanted::Part(len.saturating_sub(suffix)..len),
        (Number::Is(_), Number::None | Number::Is(_)) => Wanted::Unsatisfiable,
        _ => Wanted::All,
    }
}

enum Number {
    None,
    Is(u64),
    Bad,
}

fn number(text: &str) -> Number {
    match text.trim() {
        "" => Number::None,
        // `parse` alone would take a leading plus sign.
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_or(Number::Is(u64::MAX), Number::Is),
        _ => Number::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_in_rfc_9110() {
        for (header, len, want) in [
            (None, 10, Wanted::All),
            (Some("bytes=0-"), 10, Wanted::Part(0..10)),
            (Some("bytes=2-4"), 10, Wanted::Part(2..5)),
            (Some("bytes=2-400"), 10, Wanted::Part(2..10)),
            (Some("bytes=-3"), 10, Wanted::Part(7..10)),
            (Some("bytes=-30"), 10, Wanted::Part(0..10)),
            (Some("bytes=10-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=-0"), 10, Wanted::Unsatisfiable),
            (Some("bytes=-5"), 0, Wanted::Unsatisfiable),
            (Some("bytes=0-"), 0, Wanted::Unsatisfiable),
            (Some("bytes=99999999999999999999-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=0-18446744073709551615"), 10, Wanted::Part(0..10)),
            (Some("bytes=4-2"), 10, Wanted::All),
            (Some("bytes=0-1,4-5"), 10, Wanted::All),
            (Some("bytes=+1-2"), 10, Wanted::All),
            (Some("bytes=-"), 10, Wanted::All),
            (Some("lines=1-2"), 10, Wanted::All),
            (Some("nonsense"), 10, Wanted::All),
        ] {
            assert_eq!(wanted(header, len), want, "{header:?} of {len}");
        }
    }
}
