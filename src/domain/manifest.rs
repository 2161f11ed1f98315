//! Manifests: all that is known of one module version, small enough to gossip.
//!
//! The manifest's *content* names it ([`ManifestId`] is the BLAKE3 of the encoding); the *proof* travels beside it
//! in an [`Envelope`]. So two seeds that fetched the same version at different times, and therefore hold proofs
//! against different tree heads, still agree on one id, and a catalog reconciles by ids alone.

use bincode::{Decode, Encode};

use super::blob::{BlobId, MAX_BLOB};
use super::codec::{self, CodecError};
use super::dirhash::H1;
use super::info::{self, BadInfo};
use super::module::{BadModule, ModulePath, ModuleVersion, Version};
use super::recipe::MAX_PAGES;
use super::sumdb::SumdbProof;

/// The version byte that every encoded manifest starts with.
pub const FORMAT: u8 = 1;
/// The most bytes of an `.info` answer.
pub const MAX_INFO: usize = 64 << 10;
/// Up to this many bytes a go.mod stands in the manifest itself; a longer one is a list of blobs.
pub const MAX_INLINE_GO_MOD: usize = 64 << 10;
/// The most bytes of a go.mod (golang.org/x/mod/zip, `MaxGoMod`): 16 MiB.
pub const MAX_GO_MOD: u64 = 16 << 20;
/// The most bytes of a module zip, packed and unpacked (golang.org/x/mod/zip, `MaxZipFile`): 500 MiB.
pub const MAX_ZIP: u64 = 500 << 20;
/// The most bytes of an encoded manifest: it is a blob.
pub const MAX_MANIFEST: usize = MAX_BLOB;
/// The most bytes of an encoded [`Envelope`]: a manifest and its proof.
pub const MAX_ENVELOPE: usize = MAX_MANIFEST + (64 << 10);

/// The name of a manifest: the BLAKE3 of its canonical encoding.
pub type ManifestId = BlobId;

/// What is known of one module version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Which version of which module.
    pub module: ModuleVersion,
    /// The `.info` answer, byte for byte; empty where none is known (a go.mod-only version needs none).
    pub info: Vec<u8>,
    /// The go.mod file.
    pub go_mod: GoMod,
    /// `h1:` of the go.mod file.
    pub go_mod_h1: H1,
    /// The module zip; `None` for a version of which only the go.mod is known (most of a module graph is that).
    pub zip: Option<ZipRef>,
}

/// A go.mod file's bytes, or where they are.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum GoMod {
    /// The bytes, at most [`MAX_INLINE_GO_MOD`].
    Inline(Vec<u8>),
    /// Blobs that give the bytes in order.
    Blobs {
        /// Length of the whole in bytes, over [`MAX_INLINE_GO_MOD`], at most [`MAX_GO_MOD`].
        len: u64,
        /// Pieces of [`MAX_BLOB`] bytes, the last perhaps shorter.
        ids: Vec<BlobId>,
    },
}

/// A module zip: what it hashes to and the pages of the recipe that rebuilds it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ZipRef {
    /// `h1:` of the zip.
    pub h1: H1,
    /// Length in bytes, at most [`MAX_ZIP`].
    pub len: u64,
    /// BLAKE3 of the whole zip. Not a [`BlobId`] that could be asked for: a zip is no blob.
    pub blake3: [u8; 32],
    /// The recipe's pages, in order.
    pub pages: Vec<BlobId>,
}

/// Why a node may believe a manifest. Which of these it does believe is for [`Trust`](super::trust::Trust) to say.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Proof {
    /// Nothing but the word of the one who sent it.
    None,
    /// A checksum database has recorded its hashes.
    Sumdb(SumdbProof),
    /// A publisher has signed what it says: the note of a [`Publication`](super::publication::Publication), at most
    /// [`MAX_PUBLICATION`](super::publication::MAX_PUBLICATION) bytes.
    Published(Vec<u8>),
}

/// A manifest on its way, in a store or on the wire: encoded manifest and proof.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Envelope {
    /// The canonical encoding of a [`Manifest`], as [`Manifest::encode`] gives it.
    pub manifest: Vec<u8>,
    /// Why it may be believed.
    pub proof: Proof,
}

/// Bytes that are not a manifest, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Written by a later version of modswarm.
    #[error("manifest format {0} is not known here (this version reads {FORMAT})")]
    Format(u8),
    /// Not the canonical encoding.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Names no module version.
    #[error(transparent)]
    Module(#[from] BadModule),
    /// An `.info` that a go command could not read, or that is about another version.
    #[error("the .info of {module} is not usable: {why}")]
    Info {
        /// Which module version the manifest says it is of.
        module: String,
        /// What is wrong with it.
        why: BadInfo,
    },
    /// A length or count out of its range.
    #[error("the manifest of {module} is out of bounds: {what}")]
    Bounds {
        /// Which module version it says it is of.
        module: String,
        /// What is out of bounds.
        what: &'static str,
    },
}

#[derive(Encode, Decode)]
struct Wire {
    format: u8,
    path: String,
    version: String,
    info: Vec<u8>,
    go_mod: GoMod,
    go_mod_h1: H1,
    zip: Option<ZipRef>,
}

impl Manifest {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&Wire {
            format: FORMAT,
            path: self.module.path.as_str().into(),
            version: self.module.version.as_str().into(),
            info: self.info.clone(),
            go_mod: self.go_mod.clone(),
            go_mod_h1: self.go_mod_h1,
            zip: self.zip.clone(),
        })
    }

    /// Decodes and checks every length against its bound, an inline go.mod against its hash, and that an `.info` is one of this
    /// version.
    ///
    /// # Errors
    /// [`ManifestError`] for anything but what [`Manifest::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(&other) => return Err(ManifestError::Format(other)),
            None => return Err(CodecError::Malformed.into()),
        }
        let wire: Wire = codec::decode::<_, MAX_MANIFEST>(bytes)?;
        let module = ModuleVersion { path: ModulePath::parse(&wire.path)?, version: Version::parse(&wire.version)? };
        let manifest = Self { module, info: wire.info, go_mod: wire.go_mod, go_mod_h1: wire.go_mod_h1, zip: wire.zip };
        if let Some(what) = manifest.out_of_bounds() {
            return Err(ManifestError::Bounds { module: manifest.module.to_string(), what });
        }
        if !manifest.info.is_empty() {
            info::check(&manifest.info, &manifest.module.version)
                .map_err(|why| ManifestError::Info { module: manifest.module.to_string(), why })?;
        }
        Ok(manifest)
    }

    /// The id: BLAKE3 of the encoding.
    #[must_use]
    pub fn id(&self) -> ManifestId {
        BlobId::of(&self.encode())
    }

    fn out_of_bounds(&self) -> Option<&'static str> {
        if self.info.len() > MAX_INFO {
            return Some("its .info is too long");
        }
        match &self.go_mod {
            GoMod::Inline(bytes) if bytes.len() > MAX_INLINE_GO_MOD => return Some("its go.mod is too long"),
            GoMod::Inline(bytes) if H1::of_go_mod(bytes) != self.go_mod_h1 => {
                return Some("its go.mod does not have the hash it claims");
            }
            GoMod::Inline(_) => {}
            GoMod::Blobs { len, ids } => {
                let pieces = len.div_ceil(MAX_BLOB as u64);
                if *len <= MAX_INLINE_GO_MOD as u64 || *len > MAX_GO_MOD || ids.len() as u64 != pieces {
                    return Some("its go.mod has a length that does not fit its pieces");
                }
            }
        }
        match &self.zip {
            Some(zip) if zip.len > MAX_ZIP => Some("its zip is over 500 MiB"),
            Some(zip) if zip.pages.is_empty() => Some("its zip has no recipe"),
            Some(zip) if zip.pages.len() > MAX_PAGES => Some("its recipe has too many pages"),
            _ => None,
        }
    }
}

impl Envelope {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes; the manifest inside is still only bytes.
    ///
    /// # Errors
    /// [`CodecError`] for anything but what [`Envelope::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<_, MAX_ENVELOPE>(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::note::Signer;
    use crate::domain::publication::Publication;
    use crate::domain::tlog::Hash;

    fn sample() -> Manifest {
        let go_mod = b"module m.example/a\n".to_vec();
        Manifest {
            module: ModuleVersion::parse("m.example/a@v1.0.0").unwrap(),
            info: br#"{"Version":"v1.0.0"}"#.to_vec(),
            go_mod_h1: H1::of_go_mod(&go_mod),
            go_mod: GoMod::Inline(go_mod),
            zip: Some(ZipRef {
                h1: H1::from_bytes([1; 32]),
                len: 70_000,
                blake3: [2; 32],
                pages: vec![BlobId::from_bytes([3; 32]), BlobId::from_bytes([4; 32])],
            }),
        }
    }

    fn refused(manifest: &Manifest) -> String {
        Manifest::decode(&manifest.encode()).unwrap_err().to_string()
    }

    #[test]
    fn the_encoding_stays_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifest-v1.bin");
        let manifest = sample();
        if std::env::var_os("MODSWARM_BLESS").is_some() {
            std::fs::write(path, manifest.encode()).unwrap();
        }
        let golden = std::fs::read(path).unwrap();
        assert!(
            golden == manifest.encode(),
            "the encoding of manifests has changed: every manifest id would be another"
        );
        assert_eq!(Manifest::decode(&golden), Ok(manifest));
    }

    #[test]
    fn an_envelope_with_a_proof_stays_as_it_is() {
        let recorded = Proof::Sumdb(SumdbProof {
            database: "sum.example".into(),
            index: 300,
            record: b"m.example/a v1.0.0 h1:AQE=\n".to_vec(),
            path: vec![Hash::from_bytes([5; 32]), Hash::from_bytes([6; 32])],
            head: b"go.sum database tree\n".to_vec(),
        });
        let signer = Signer::from_secret("corp-team", [7; 32]).unwrap();
        let published = Proof::Published(Publication::of(&sample()).unwrap().sign(&signer).unwrap());
        for (name, proof) in [("envelope-proof-v1.bin", recorded), ("envelope-published-v1.bin", published)] {
            let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name);
            let envelope = Envelope { manifest: sample().encode(), proof };
            if std::env::var_os("MODSWARM_BLESS").is_some() {
                std::fs::write(&path, envelope.encode()).unwrap();
            }
            let golden = std::fs::read(path).unwrap();
            assert!(golden == envelope.encode(), "{name}: the encoding has changed: no other node could read it");
            assert_eq!(Envelope::decode(&golden), Ok(envelope));
        }
        let unproven = Envelope { manifest: vec![1, 2], proof: Proof::None };
        assert_eq!(unproven.encode(), [2, 1, 2, 0], "an envelope without a proof is as it always was");
        assert_eq!(Envelope::decode(&[2, 1, 2, 3]), Err(CodecError::Malformed), "a proof of a kind that is not known");
    }

    #[test]
    fn bounds_are_kept() {
        let mut long = sample();
        long.info = vec![0; MAX_INFO + 1];
        assert_eq!(refused(&long), "the manifest of m.example/a@v1.0.0 is out of bounds: its .info is too long");
        let mut other = sample();
        other.go_mod_h1 = H1::from_bytes([0; 32]);
        assert!(refused(&other).ends_with("its go.mod does not have the hash it claims"));
        other.go_mod = GoMod::Inline(vec![0; MAX_INLINE_GO_MOD + 1]);
        assert!(refused(&other).ends_with("its go.mod is too long"));
        for (len, count) in [(0, 0), (64 << 10, 1), (u64::MAX, 1), (1 << 63, 1), (2 << 20, 1), (17 << 20, 17)] {
            other.go_mod = GoMod::Blobs { len, ids: vec![BlobId::of(b""); count] };
            assert!(refused(&other).ends_with("its go.mod has a length that does not fit its pieces"), "{len}");
        }
        let with_zip = |len, pages| {
            let mut manifest = sample();
            manifest.zip = manifest.zip.map(|zip| ZipRef { len, pages, ..zip });
            refused(&manifest)
        };
        assert!(with_zip(MAX_ZIP + 1, vec![BlobId::of(b"")]).ends_with("its zip is over 500 MiB"));
        assert!(with_zip(1, vec![]).ends_with("its zip has no recipe"));
    }

    #[test]
    fn fact_15_an_info_about_another_version_is_refused_and_an_absent_one_is_not() {
        let mut manifest = sample();
        manifest.info = br#"{"Version":"v1.0.1"}"#.to_vec();
        let why = "the .info of m.example/a@v1.0.0 is not usable: it is about the version \"v1.0.1\"";
        assert_eq!(refused(&manifest), why);
        manifest.info = b"\xff".to_vec();
        assert_eq!(refused(&manifest), "the .info of m.example/a@v1.0.0 is not usable: it is not UTF-8");
        manifest.info.clear();
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn other_formats_and_hostile_lengths_are_refused() {
        assert_eq!(Manifest::decode(&[]), Err(CodecError::Malformed.into()));
        let later = Manifest::decode(&[2, 0]).unwrap_err().to_string();
        assert_eq!(later, "manifest format 2 is not known here (this version reads 1)");
        for claimed in [1 << 20, 1 << 40, 1 << 63, u64::MAX] {
            // A path of as many bytes as a u64 can claim.
            let bytes = [&[FORMAT, 253], claimed.to_le_bytes().as_slice(), b"m.example"].concat();
            assert_eq!(Manifest::decode(&bytes), Err(CodecError::Malformed.into()));
        }
        let too_long = Manifest::decode(&[FORMAT].repeat(MAX_MANIFEST + 1)).unwrap_err();
        assert!(matches!(too_long, ManifestError::Codec(CodecError::TooLong { .. })));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused_or_another_manifest() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                if let Ok(manifest) = Manifest::decode(&flipped) {
                    assert_ne!(manifest.id(), sample().id());
                    assert_eq!(manifest.encode(), flipped);
                }
            }
        }
    }

    fn manifests() -> impl Strategy<Value = Manifest> {
        let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
        let ids = || prop::collection::vec(any::<[u8; 32]>().prop_map(BlobId::from_bytes), 1..20);
        let blobs = (MAX_INLINE_GO_MOD as u64 + 1..=MAX_GO_MOD).prop_map(|len| {
            let count = usize::try_from(len.div_ceil(MAX_BLOB as u64)).unwrap();
            GoMod::Blobs { len, ids: vec![BlobId::from_bytes([7; 32]); count] }
        });
        let go_mod = prop_oneof![bytes(300).prop_map(GoMod::Inline), blobs];
        let zip = (any::<[u8; 32]>(), 0..=MAX_ZIP, any::<[u8; 32]>(), ids())
            .prop_map(|(h1, len, blake3, pages)| ZipRef { h1: H1::from_bytes(h1), len, blake3, pages });
        let info = prop_oneof![
            Just(Vec::new()),
            "[a-z ]{0,200}".prop_map(|x| format!(r#"{{"Version":"v1.2.3","x":"{x}"}}"#).into_bytes())
        ];
        ("[a-z]{1,9}", info, go_mod, prop::option::of(zip)).prop_map(|(name, info, go_mod, zip)| Manifest {
            module: ModuleVersion::parse(&format!("m.example/x{name}@v1.2.3")).unwrap(),
            info,
            go_mod_h1: match &go_mod {
                GoMod::Inline(bytes) => H1::of_go_mod(bytes),
                GoMod::Blobs { .. } => H1::from_bytes([9; 32]),
            },
            go_mod,
            zip,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_encoded_is_decoded(manifest in manifests()) {
            prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
            let envelope = Envelope { manifest: manifest.encode(), proof: Proof::None };
            prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            bytes.insert(0, FORMAT);
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }
    }
}
