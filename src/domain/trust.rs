//! Whose word counts: which proof a manifest must carry before this node takes it.
//!
//! There is one rule for a whole node, applied at one place (`verified::VerifiedManifest::check`), so that what is in a
//! catalog is what the rule lets through. It goes by the module:
//!
//! * *published*: what a prefix of the site's policy covers ([`Publishers`]) is taken with a publication that one of
//!   that prefix's keys has signed, and with nothing else. The record of a checksum database does not count for it:
//!   whoever registers the name of a private module in public could put one there (dependency confusion).
//! * *proven* ([`Trust::sumdb`]): everything else carries the proof that a checksum database has recorded exactly its
//!   module version, the `h1:` of its zip and the `h1:` of its go.mod. No module is exempt, `golang.org/toolchain` least
//!   of all: its zip is executed, and no prefix can cover it.
//! * *open* ([`Trust::open`]): on a node without a checksum database, whoever sends such a manifest is believed as far
//!   as its hashes hold together. For a site whose go commands check go.sum and the checksum database by themselves.
//!
//! A publication of what no prefix covers is refused by all: its signature says nothing to who does not know the key.
//!
//! A site has one rule: a node that wants proofs counts an unproven manifest as a fault of the one who sent it. A
//! policy, though, reaches the nodes of a site one after the other, over days; so what an honest node with another
//! policy may have sent is refused and not counted ([`TrustError::is_fault`]).
//!
//! Non-goals: whether heads of one database are consistent with each other (`sumdb::Client`), and what is not recorded by
//! any database: `.info` of what is not published, lists, what a branch stands for.

use super::manifest::{Manifest, Proof};
use super::module::ModuleVersion;
use super::note::{NoteError, Verifier};
use super::publication::{Publication, PublicationError};
use super::site::Publishers;
use super::sumdb::ProofError;

/// Why a manifest is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It carries no proof.
    #[error(
        "{module} comes without a proof, and this node takes only what a checksum database has recorded: start the \
         node that sent it without `--sumdb off`"
    )]
    Unproven {
        /// The module version.
        module: String,
    },
    /// It carries a proof that does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// It is published, and nobody is known to publish it.
    #[error(
        "{module} is signed by a publisher, and no prefix in the site file of this node covers it: add the prefix and \
         the publisher's key under [publishers]"
    )]
    NoPublisher {
        /// The module version.
        module: String,
    },
    /// A prefix covers it, and it is not published.
    #[error(
        "{module} is under the prefix {prefix} of the site file, and comes without a publication: what is under it is \
         taken only with the signature of one of its keys, so publish it with `modswarm publish`"
    )]
    Unpublished {
        /// The module version.
        module: String,
        /// The prefix.
        prefix: String,
    },
    /// It is published with a key that does not count for its prefix.
    #[error(
        "{module} is signed by none of the keys that the site file of this node has for the prefix {prefix}: add the \
         publisher's key there if it is to be believed"
    )]
    Stranger {
        /// The module version.
        module: String,
        /// The prefix.
        prefix: String,
    },
    /// Its publication does not hold.
    #[error("the publication of {module} does not hold: {source}")]
    Publication {
        /// The module version.
        module: String,
        /// What is wrong with it.
        source: PublicationError,
    },
}

impl TrustError {
    /// Whether no honest node can have sent it, whatever the policy of that node is.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Unproven { .. } | Self::Proof(_) | Self::Publication { .. } => true,
            Self::NoPublisher { .. } | Self::Unpublished { .. } | Self::Stranger { .. } => false,
        }
    }
}

/// The rule of a node. See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Keys of checksum databases; none means that what no prefix covers needs no proof.
    databases: Vec<Verifier>,
    publishers: Publishers,
}

impl Trust {
    /// Takes what is not proven.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Takes what one of these databases has recorded. Without any database it is [`Trust::open`].
    #[must_use]
    pub fn sumdb(databases: Vec<Verifier>) -> Self {
        Self { databases, publishers: Publishers::default() }
    }

    /// The same, but for what `publishers` cover: that is taken from them alone.
    #[must_use]
    pub fn with_publishers(self, publishers: Publishers) -> Self {
        Self { publishers, ..self }
    }

    /// Whether what no prefix covers is taken unproven.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.databases.is_empty()
    }

    /// The keys of the databases that count.
    #[must_use]
    pub fn databases(&self) -> &[Verifier] {
        &self.databases
    }

    /// Who publishes what.
    #[must_use]
    pub fn publishers(&self) -> &Publishers {
        &self.publishers
    }

    /// Checks that `proof` shows what `manifest` claims.
    ///
    /// # Errors
    /// [`TrustError`] says what is missing or wrong.
    pub fn check(&self, manifest: &Manifest, proof: &Proof) -> Result<(), TrustError> {
        let module = &manifest.module;
        match (proof, self.publishers.of(&module.path)) {
            (Proof::Published(note), _) => {
                let keys = self.publishers_of(module)?;
                let verified = Publication::verify(note, manifest, keys);
                verified.map_err(|source| self.refusal(module, source))
            }
            (_, Some((prefix, _))) => {
                Err(TrustError::Unpublished { module: module.to_string(), prefix: prefix.into() })
            }
            (_, None) if self.is_open() => Ok(()),
            (Proof::None, None) => Err(TrustError::Unproven { module: module.to_string() }),
            (Proof::Sumdb(proof), None) => {
                let zip_h1 = manifest.zip.as_ref().map(|zip| zip.h1);
                Ok(proof.verify(module, zip_h1, manifest.go_mod_h1, &self.databases)?)
            }
        }
    }

    /// Reads the publication of a module version, before there is a manifest of it.
    ///
    /// # Errors
    /// [`TrustError`], as [`Trust::check`] would give it for a manifest that says the same.
    pub fn publication(&self, module: &ModuleVersion, note: &[u8]) -> Result<Publication, TrustError> {
        let opened = Publication::open(note, self.publishers_of(module)?);
        opened.map_err(|source| self.refusal(module, source))
    }

    fn publishers_of(&self, module: &ModuleVersion) -> Result<&[Verifier], TrustError> {
        let covered = self.publishers.of(&module.path);
        covered.map(|(_, keys)| keys).ok_or_else(|| TrustError::NoPublisher { module: module.to_string() })
    }

    fn refusal(&self, module: &ModuleVersion, source: PublicationError) -> TrustError {
        let prefix = self.publishers.of(&module.path).map(|(prefix, _)| prefix.to_owned());
        let module = module.to_string();
        match (source, prefix) {
            (PublicationError::Note(NoteError::Unsigned), Some(prefix)) => TrustError::Stranger { module, prefix },
            (source, _) => TrustError::Publication { module, source },
        }
    }

    /// The rule as a text: two nodes, or one node at two times, have the same rule when the texts are equal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut keys: Vec<String> = self.databases.iter().map(ToString::to_string).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            keys.push("open".into());
        }
        if !self.publishers.is_empty() {
            keys.push(self.publishers.to_string());
        }
        keys.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;
    use crate::domain::dirhash::H1;
    use crate::domain::manifest::{GoMod, ZipRef};
    use crate::domain::module::ModuleVersion;
    use crate::domain::note::Signer;
    use crate::domain::sumdb::{Mismatch, Record, SumdbProof, TOOLCHAIN};
    use crate::domain::tlog::{HashLog, prove_record};

    const ZIP: H1 = H1::from_bytes([1; 32]);

    fn manifest(module: &str, zip: Option<H1>) -> Manifest {
        let go_mod = b"module m\n".to_vec();
        let zip = zip.map(|h1| ZipRef { h1, len: 9, blake3: [2; 32], pages: vec![BlobId::of(b"page")] });
        Manifest {
            module: ModuleVersion::parse(module).unwrap(),
            info: Vec::new(),
            go_mod_h1: H1::of_go_mod(&go_mod),
            go_mod: GoMod::Inline(go_mod),
            zip,
        }
    }

    fn signer(name: &str) -> Signer {
        Signer::from_secret(name, [7; 32]).unwrap()
    }

    /// The proof of a log with three records, of which the second is that of `module`.
    fn proof(signer: &Signer, module: &str, zip: Option<H1>) -> Proof {
        let manifest = manifest(module, zip);
        let record = Record::new(1, manifest.module.clone(), zip, manifest.go_mod_h1);
        let mut log = HashLog::default();
        log.push(b"before\n");
        log.push(&record.text);
        log.push(b"after\n");
        Proof::Sumdb(SumdbProof {
            database: signer.verifier().name().into(),
            index: 1,
            record: record.text,
            path: prove_record(3, 1, &log).unwrap(),
            head: signer.sign(&log.head().format()).unwrap().into_bytes(),
        })
    }

    #[test]
    fn an_open_node_takes_anything_and_a_proving_one_only_what_is_proven() {
        let signer = signer("sum.example");
        let proven = Trust::sumdb(vec![signer.verifier().clone()]);
        // A toolchain is no exception (CVE-2026-94447).
        for module in ["m.example/a@v1.0.0", &format!("{TOOLCHAIN}@v0.0.1-go1.26.0.linux-amd64")] {
            let bare = manifest(module, Some(ZIP));
            assert_eq!(Trust::open().check(&bare, &Proof::None), Ok(()));
            let refused = proven.check(&bare, &Proof::None).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{module} comes without a proof")), "{refused}");
            assert_eq!(proven.check(&bare, &proof(&signer, module, Some(ZIP))), Ok(()));
            assert_eq!(proven.check(&manifest(module, None), &proof(&signer, module, Some(ZIP))), Ok(()));
        }
    }

    #[test]
    fn a_proof_of_anything_else_is_none() {
        let signer = signer("sum.example");
        let proven = Trust::sumdb(vec![signer.verifier().clone()]);
        let module = "m.example/a@v1.0.0";
        let other = manifest(module, Some(H1::from_bytes([9; 32])));
        let zip = proven.check(&other, &proof(&signer, module, Some(ZIP))).unwrap_err();
        assert!(
            matches!(zip, TrustError::Proof(ProofError::Mismatch(ref it)) if matches!(**it, Mismatch { what: "zip", .. }))
        );
        let go_mod_only = proven.check(&other, &proof(&signer, module, None)).unwrap_err();
        assert!(matches!(go_mod_only, TrustError::Proof(ProofError::NoZip { .. })));
        let moved = proven.check(&manifest("m.example/b@v1.0.0", Some(ZIP)), &proof(&signer, module, Some(ZIP)));
        assert!(matches!(moved.unwrap_err(), TrustError::Proof(ProofError::Record(_))));
        let mut changed = manifest(module, Some(ZIP));
        changed.go_mod_h1 = H1::from_bytes([4; 32]);
        let go_mod = proven.check(&changed, &proof(&signer, module, Some(ZIP))).unwrap_err();
        assert!(matches!(go_mod, TrustError::Proof(ProofError::Mismatch(ref it)) if it.what == "go.mod"));
        let stranger = proof(&Signer::from_secret("sum.example", [8; 32]).unwrap(), module, Some(ZIP));
        assert!(matches!(
            proven.check(&manifest(module, Some(ZIP)), &stranger).unwrap_err(),
            TrustError::Proof(ProofError::Head(_))
        ));
    }

    #[test]
    fn a_rule_is_told_by_its_keys() {
        let (a, b) = (signer("a.example"), signer("b.example"));
        let of = |signers: &[&Signer]| {
            Trust::sumdb(signers.iter().map(|signer| signer.verifier().clone()).collect()).fingerprint()
        };
        assert_eq!(of(&[&a, &b]), of(&[&b, &a, &b]));
        assert_ne!(of(&[&a]), of(&[&b]));
        assert_eq!((of(&[]), Trust::open().fingerprint()), ("open".into(), "open".into()));
        let published =
            |prefix: &str, signer: &Signer| Trust::open().with_publishers(policy(prefix, signer)).fingerprint();
        let rules = [
            published("m.example/a", &a),
            published("m.example/b", &a),
            published("m.example/a", &b),
            Trust::sumdb(vec![a.verifier().clone()]).with_publishers(policy("m.example/a", &a)).fingerprint(),
            of(&[]),
            of(&[&a]),
        ];
        assert_eq!(rules.iter().collect::<std::collections::BTreeSet<_>>().len(), rules.len(), "{rules:?}");
    }

    fn policy(prefix: &str, signer: &Signer) -> Publishers {
        let mut publishers = Publishers::default();
        publishers.add(prefix, vec![signer.verifier().clone()]).unwrap();
        publishers
    }

    fn published(manifest: &Manifest, signer: &Signer) -> Proof {
        Proof::Published(Publication::of(manifest).unwrap().sign(signer).unwrap())
    }

    #[test]
    fn what_a_prefix_covers_is_taken_from_its_publisher_alone() {
        let (database, team) = (signer("sum.example"), signer("team"));
        let module = "corp.example/team/lib@v1.0.0";
        let private = manifest(module, Some(ZIP));
        let open = Trust::open().with_publishers(policy("corp.example", &team));
        let proven = Trust::sumdb(vec![database.verifier().clone()]).with_publishers(policy("corp.example", &team));
        for trust in [&open, &proven] {
            assert_eq!(trust.check(&private, &published(&private, &team)), Ok(()));
            // The very proof that would do without a policy.
            for other in [Proof::None, proof(&database, module, Some(ZIP))] {
                let refused = trust.check(&private, &other).unwrap_err();
                assert!(!refused.is_fault(), "a node of another policy may have sent it");
                let said = refused.to_string();
                assert!(said.contains(module) && said.contains("the prefix corp.example of the site file"), "{said}");
            }
            let stranger = Signer::from_secret("team", [9; 32]).unwrap();
            let refused = trust.check(&private, &published(&private, &stranger)).unwrap_err();
            assert!(matches!(&refused, TrustError::Stranger { prefix, .. } if prefix == "corp.example"), "{refused}");
            assert!(!refused.is_fault(), "its key may have been added since");
        }
        assert_eq!(
            proven.check(&manifest("m.example/a@v1.0.0", None), &proof(&database, "m.example/a@v1.0.0", None)),
            Ok(())
        );
        assert_eq!(open.check(&manifest("m.example/a@v1.0.0", None), &Proof::None), Ok(()));
        let bare = proven.check(&manifest("m.example/a@v1.0.0", None), &Proof::None).unwrap_err();
        assert!(bare.is_fault(), "{bare}");
    }

    #[test]
    fn a_publication_counts_nowhere_but_under_its_prefix() {
        let (database, team) = (signer("sum.example"), signer("team"));
        let public = manifest("m.example/a@v1.0.0", Some(ZIP));
        for trust in [
            Trust::open(),
            Trust::sumdb(vec![database.verifier().clone()]),
            Trust::open().with_publishers(policy("corp.example", &team)),
        ] {
            let refused = trust.check(&public, &published(&public, &team)).unwrap_err();
            assert_eq!(refused, TrustError::NoPublisher { module: "m.example/a@v1.0.0".into() });
            assert!(!refused.is_fault() && refused.to_string().contains("under [publishers]"));
            assert_eq!(trust.publication(&public.module, b""), Err(refused));
        }
    }

    #[test]
    fn a_publication_that_was_tampered_with_is_a_fault() {
        let team = signer("team");
        let trust = Trust::open().with_publishers(policy("corp.example", &team));
        let private = manifest("corp.example/lib@v1.0.0", Some(ZIP));
        let Proof::Published(note) = published(&private, &team) else { panic!() };
        let signed = Publication::of(&private).unwrap();
        assert_eq!(trust.publication(&private.module, &note), Ok(signed));
        let changed = String::from_utf8(note.clone()).unwrap().replace("v1.0.0", "v1.0.1").into_bytes();
        let other = manifest("corp.example/lib@v1.0.1", Some(ZIP));
        for (manifest, note) in [(&other, changed), (&other, note.clone()), (&private, note[1..].to_vec())] {
            let refused = trust.check(manifest, &Proof::Published(note)).unwrap_err();
            assert!(refused.is_fault() && matches!(refused, TrustError::Publication { .. }), "{refused}");
        }
        let bare = Manifest { zip: None, ..private };
        assert!(trust.check(&bare, &Proof::Published(note)).unwrap_err().is_fault(), "it always has a zip");
    }
}
