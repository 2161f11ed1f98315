//! Whose word counts: which proof a manifest must carry before this node takes it.
//!
//! There is one rule for a whole node, applied at one place (`verified::VerifiedManifest::check`), so that what is in a
//! catalog is what the rule lets through:
//!
//! * *open* ([`Trust::open`]): whoever sends a manifest is believed as far as its hashes hold together. For a site whose
//!   go commands check go.sum and the checksum database by themselves.
//! * *proven* ([`Trust::sumdb`]): every manifest carries the proof that a checksum database has recorded exactly its
//!   module version, the `h1:` of its zip and the `h1:` of its go.mod. No module is exempt, `golang.org/toolchain` least
//!   of all: its zip is executed. An exemption for private modules, when there is one, has to ask
//!   [`is_always_verified`](super::sumdb::is_always_verified) first.
//!
//! A site has one rule: a node that wants proofs counts an unproven manifest as a fault of the one who sent it.
//!
//! Non-goals: whether heads of one database are consistent with each other (`sumdb::Client`), and what is not recorded by
//! any database: `.info`, lists, what a branch stands for.

use super::manifest::{Manifest, Proof};
use super::note::Verifier;
use super::sumdb::ProofError;

/// Why a manifest is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It carries no proof.
    #[error(
        "{module} comes without a proof, and this node takes only what a checksum database has recorded: start the \
         node that sent it with --sumdb, too"
    )]
    Unproven {
        /// The module version.
        module: String,
    },
    /// It carries a proof that does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// The rule of a node. See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Keys of checksum databases; none means open.
    databases: Vec<Verifier>,
}

impl Trust {
    /// Takes what is not proven.
    #[must_use]
    pub const fn open() -> Self {
        Self { databases: Vec::new() }
    }

    /// Takes what one of these databases has recorded. Without any database it is [`Trust::open`].
    #[must_use]
    pub fn sumdb(databases: Vec<Verifier>) -> Self {
        Self { databases }
    }

    /// Whether unproven manifests are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.databases.is_empty()
    }

    /// The keys of the databases that count.
    #[must_use]
    pub fn databases(&self) -> &[Verifier] {
        &self.databases
    }

    /// Checks that `proof` shows what `manifest` claims.
    ///
    /// # Errors
    /// [`TrustError`] says what is missing or wrong.
    pub fn check(&self, manifest: &Manifest, proof: &Proof) -> Result<(), TrustError> {
        if self.is_open() {
            return Ok(());
        }
        match proof {
            Proof::None => Err(TrustError::Unproven { module: manifest.module.to_string() }),
            Proof::Sumdb(proof) => {
                let zip_h1 = manifest.zip.as_ref().map(|zip| zip.h1);
                Ok(proof.verify(&manifest.module, zip_h1, manifest.go_mod_h1, &self.databases)?)
            }
        }
    }

    /// The rule as a text: two nodes, or one node at two times, have the same rule when the texts are equal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut keys: Vec<String> = self.databases.iter().map(ToString::to_string).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() { "open".into() } else { keys.join("\n") }
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
    }
}
