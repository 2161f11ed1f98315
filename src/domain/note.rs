//! Signed notes: a text and the signatures of those who vouch for it (golang.org/x/mod/sumdb/note).
//!
//! A note is how a checksum database states its tree head. It looks like this (the dash is U+2014):
//!
//! ```text
//! the text,
//! of one or more lines
//!
//! — name base64(key hash, 4 bytes, big endian ++ Ed25519 signature of the text)
//! ```
//!
//! What holds here:
//! * the text is everything up to *and with* the newline before the last blank line: that, byte for byte, is signed;
//! * a signature of a key that nobody told us of is passed over, a *wrong* signature of a known key spoils the note:
//!   somebody changed the text, or speaks in that key's name;
//! * a note without any signature of a known key is not a note to us ([`NoteError::Unsigned`]).
//!
//! Only algorithm 1, Ed25519, exists for notes of the go command. Bounds: [`MAX_NOTE`] bytes, [`MAX_SIGNATURES`]
//! signatures. No key is ever made here: randomness lies outside of the pure core.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The most bytes of a note: 1 MB, what x/mod/sumdb/tlog reads of a tree head.
pub const MAX_NOTE: usize = 1_000_000;
/// The most signature lines of a note, known or not (x/mod/sumdb/note, `Open`): each costs time to check.
pub const MAX_SIGNATURES: usize = 100;

/// The algorithm byte before an Ed25519 key.
const ED25519: u8 = 1;
/// What a signer key starts with.
const SECRET: &str = "PRIVATE+KEY+";
/// What a signature line starts with.
const SIGNATURE: &str = "\u{2014} ";

/// A text that is not a key, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `name+hash+base64`, or the name is empty or has a space or a plus in it.
    #[error("a verifier key is written name+hash+base64: copy it whole from where the database publishes it")]
    Malformed,
    /// The hash does not belong to name and key: a letter of one of them was changed.
    #[error("the key of {name} does not have the hash that stands beside it: copy it again")]
    Hash {
        /// The name in the key.
        name: String,
    },
    /// Another algorithm than Ed25519.
    #[error("the key of {name} is of algorithm {algorithm}, and only 1 (Ed25519) is known")]
    Algorithm {
        /// The name in the key.
        name: String,
        /// The algorithm byte.
        algorithm: u8,
    },
    /// 32 bytes that are no point of the curve, or one for which anybody can forge signatures.
    #[error("the key of {name} is no usable Ed25519 key")]
    Unusable {
        /// The name in the key.
        name: String,
    },
}

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form of a note, or over a bound.
    #[error("the signed note is malformed: {0}")]
    Malformed(&'static str),
    /// A known key's signature does not fit the text.
    #[error("the signature of {key} does not fit the note: the note was changed or forged")]
    BadSignature {
        /// `name+hash` of the key.
        key: KeyId,
    },
    /// Well formed, but no known key has signed it.
    #[error("no known key has signed the note")]
    Unsigned,
    /// Two of the known keys have the same name and hash.
    #[error("two of the trusted keys are called {key}: remove one of them")]
    Ambiguous {
        /// `name+hash` of both.
        key: KeyId,
    },
}

/// What a signature names its key by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// Who signs: for a checksum database its host name, perhaps with a path.
    pub name: String,
    /// The first four bytes of SHA-256 over name, newline, algorithm and public key, big endian.
    pub hash: u32,
}

impl KeyId {
    fn of(name: &str, public: &[u8]) -> Self {
        let mut sum = Sha256::new();
        sum.update(name.as_bytes());
        sum.update(b"\n");
        sum.update(public);
        let sum: [u8; 32] = sum.finalize().into();
        Self { name: name.into(), hash: u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]]) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}", self.name, self.hash)
    }
}

/// A key that notes can be checked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verifier {
    id: KeyId,
    key: VerifyingKey,
}

impl Verifier {
    /// Reads a verifier key, `name+hash+base64key`; [`fmt::Display`] writes it again.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (id, public) = split_key(text)?;
        if id != KeyId::of(&id.name, &public) {
            return Err(KeyError::Hash { name: id.name });
        }
        let raw = ed25519_bytes(&id.name, &public)?;
        let key = VerifyingKey::from_bytes(&raw).ok().filter(|key| !key.is_weak());
        match key {
            Some(key) => Ok(Self { id, key }),
            None => Err(KeyError::Unusable { name: id.name }),
        }
    }

    /// Whose key it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id.name
    }

    /// Name and hash, as signatures name the key.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Whether `signature` (64 bytes) is this key's signature of `text`.
    ///
    /// Strict (no point of small order): all who check agree, whatever a hostile signer does.
    #[must_use]
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

impl FromStr for Verifier {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.id, STANDARD.encode(tagged(self.key.as_bytes())))
    }
}

/// A key that signs notes: for databases of a site's own and for tests. Never shows its secret.
pub struct Signer {
    verifier: Verifier,
    secret: SigningKey,
}

impl Signer {
    /// A signer from its 32 secret bytes, which the caller has drawn at random and keeps to itself.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for an empty name or one with a space, plus or control character.
    pub fn from_secret(name: &str, secret: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Malformed);
        }
        let secret = SigningKey::from_bytes(&secret);
        let key = secret.verifying_key();
        let id = KeyId::of(name, &tagged(key.as_bytes()));
        Ok(Self { verifier: Verifier { id, key }, secret })
    }

    /// Reads a signer key, `PRIVATE+KEY+name+hash+base64secret`.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (id, secret) = split_key(text.strip_prefix(SECRET).ok_or(KeyError::Malformed)?)?;
        let signer = Self::from_secret(&id.name, ed25519_bytes(&id.name, &secret)?)?;
        if signer.verifier.id == id { Ok(signer) } else { Err(KeyError::Hash { name: id.name }) }
    }

    /// The signer key as [`Signer::parse`] reads it: the secret itself, for a file that only its owner reads.
    #[must_use]
    pub fn secret_key(&self) -> String {
        format!("{SECRET}{}+{}", self.verifier.id, STANDARD.encode(tagged(self.secret.as_bytes())))
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// This key's signature of bytes that are no note. `message` begins with what it is for, and has a control character
    /// there, which no note has: so a signature of one is never taken for one of the other.
    #[must_use]
    pub fn sign_message(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }

    /// The note with `text` and this key's signature.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when `text` does not end in a newline or could not be read back.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("its text does not end in a newline"));
        }
        check_characters(text)?;
        let mut line = self.verifier.id.hash.to_be_bytes().to_vec();
        line.extend_from_slice(&self.secret.sign(text.as_bytes()).to_bytes());
        Ok(format!("{text}\n{SIGNATURE}{} {}\n", self.verifier.id.name, STANDARD.encode(line)))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier.id)
    }
}

/// A note that at least one known key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its last newline.
    pub text: String,
    /// The known keys that signed it, each once, in the order of the note.
    pub signed_by: Vec<KeyId>,
}

/// Reads a note and checks the signatures of all keys in `known`.
///
/// # Errors
/// [`NoteError`]; a note with one right and one wrong signature of known keys is refused.
pub fn open(message: &[u8], known: &[Verifier]) -> Result<Note, NoteError> {
    if message.len() > MAX_NOTE {
        return Err(NoteError::Malformed("it is over 1 MB"));
    }
    let message = std::str::from_utf8(message).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
    check_characters(message)?;
    let split = message.rfind("\n\n").ok_or(NoteError::Malformed("there is no blank line before the signatures"))?;
    let (text, signatures) = (&message[..=split], &message[split + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed("it has no signature"))?;
    let mut signed_by: Vec<KeyId> = Vec::new();
    for (count, line) in signatures.split('\n').enumerate() {
        if count == MAX_SIGNATURES {
            return Err(NoteError::Malformed("it has over 100 signatures"));
        }
        let (key, signature) = signature_line(line).ok_or(NoteError::Malformed("a signature line cannot be read"))?;
        if signed_by.contains(&key) {
            continue;
        }
        let mut named = known.iter().filter(|verifier| verifier.id == key);
        let Some(verifier) = named.next() else { continue };
        if named.next().is_some() {
            return Err(NoteError::Ambiguous { key });
        }
        if !verifier.verify(text.as_bytes(), &signature) {
            return Err(NoteError::BadSignature { key });
        }
        signed_by.push(key);
    }
    if signed_by.is_empty() {
        return Err(NoteError::Unsigned);
    }
    Ok(Note { text: text.into(), signed_by })
}

/// Newline is the only control character below U+0020 that a note may have.
fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed("it has a control character in it"));
    }
    Ok(())
}

/// Key and signature of one line without its newline.
fn signature_line(line: &str) -> Option<(KeyId, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
    let mut hash = STANDARD.decode(encoded).ok().filter(|raw| raw.len() > 4 && is_name(name))?;
    let signature = hash.split_off(4);
    Some((KeyId { name: name.into(), hash: u32::from_be_bytes(hash.try_into().ok()?) }, signature))
}

/// The parts of `name+hash+base64`; the hash is not checked yet.
fn split_key(text: &str) -> Result<(KeyId, Vec<u8>), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Malformed);
    };
    let hash = Some(hash).filter(|hash| hash.len() == 8).and_then(|hash| u32::from_str_radix(hash, 16).ok());
    let key = STANDARD.decode(key).ok().filter(|key| !key.is_empty() && is_name(name));
    match (hash, key) {
        (Some(hash), Some(key)) => Ok((KeyId { name: name.into(), hash }, key)),
        _ => Err(KeyError::Malformed),
    }
}

/// The 32 bytes after the algorithm byte.
fn ed25519_bytes(name: &str, tagged: &[u8]) -> Result<[u8; 32], KeyError> {
    match tagged.split_first() {
        Some((&ED25519, raw)) => raw.try_into().map_err(|_| KeyError::Malformed),
        Some((&algorithm, _)) => Err(KeyError::Algorithm { name: name.into(), algorithm }),
        None => Err(KeyError::Malformed),
    }
}

fn tagged(key: &[u8; 32]) -> [u8; 33] {
    let mut out = [ED25519; 33];
    out[1..].copy_from_slice(key);
    out
}

/// As x/mod/sumdb/note, `isValidName`, and no control characters: it could not stand in a note.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

#[cfg(test)]
mod tests;
