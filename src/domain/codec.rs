//! The one place that knows bincode: canonical, bounded encoding of everything that is hashed, stored or sent.
//!
//! bincode by itself accepts over-long integers and trailing bytes and takes a claimed length at its word
//! (the crate is no longer maintained, too), so nothing else in the project calls it:
//! * every decode has a byte limit, checked before memory is taken for a length;
//! * all input must be consumed, and encoding the value again must give the same bytes: two different byte strings
//!   never mean the same value, so a hash over the bytes is a hash over the value.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};

/// Bytes that are not the canonical encoding of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than what the type may take.
    #[error("{len} bytes are more than the {limit} that are allowed here")]
    TooLong {
        /// Length of the input in bytes.
        len: usize,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// Cut off, not of this type, or with a length that lies.
    #[error("bytes are cut off or of another kind")]
    Malformed,
    /// Decodes, but is not the one encoding of its value.
    #[error("bytes are not in canonical form")]
    NotCanonical,
}

const fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// The canonical encoding of `value`.
///
/// # Panics
/// Never for the types of this project: encoding into memory has no failure of its own.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    #[allow(clippy::expect_used, reason = "encoding into a Vec fails only for types we do not have (RefCell, paths)")]
    bincode::encode_to_vec(value, bincode::config::standard()).expect("encoding into memory")
}

/// Decodes all of `bytes`, at most `LIMIT` of them, and insists on the canonical form.
///
/// # Errors
/// [`CodecError`], for any input that is not exactly what [`encode`] gives for some value.
pub fn decode<T: Encode + Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLong { len: bytes.len(), limit: LIMIT });
    }
    let (value, used): (T, usize) =
        bincode::decode_from_slice(bytes, config::<LIMIT>()).map_err(|_| CodecError::Malformed)?;
    if used != bytes.len() || encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_bytes_are_taken() {
        let bytes = encode(&(7_u32, vec![1_u8, 2]));
        assert_eq!(decode::<(u32, Vec<u8>), 64>(&bytes), Ok((7, vec![1, 2])));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode::<(u32, Vec<u8>), 64>(&longer), Err(CodecError::NotCanonical));
        // 251 says "two bytes follow": 7 written the long way.
        assert_eq!(decode::<u32, 64>(&[251, 7, 0]), Err(CodecError::NotCanonical));
        assert_eq!(decode::<(u32, Vec<u8>), 64>(&bytes[..2]), Err(CodecError::Malformed));
    }

    #[test]
    fn a_lying_length_takes_no_memory() {
        // 253: eight bytes of length follow, 2^63 of them claimed.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1_u64 << 63).to_le_bytes());
        assert_eq!(decode::<Vec<u8>, 1024>(&bytes), Err(CodecError::Malformed));
        assert_eq!(decode::<Vec<u8>, 4>(&bytes), Err(CodecError::TooLong { len: 9, limit: 4 }));
    }
}
