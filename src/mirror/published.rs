//! What is published on this node: a publisher's zip and signature become a manifest and blobs, or nothing at all.
//!
//! The way in is that of everything else: the zip is checked and split as one from upstream is, and the manifest goes
//! through the door with the publication as its proof. Besides, the zip keeps every rule of the go command
//! ([`crate::domain::publish`]), and the go.mod is the one that is in it, so that the two cannot disagree. What is
//! published once stays: the same content again is no error and changes nothing, other content under the same version
//! is refused.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::from_peers::settle;
use super::from_upstream::{Expected, expect, ingest_zip, store_go_mod};
use super::intake::Intake;
use super::source::SourceError;
use crate::admin::{PublishAnswer, PublishRequest};
use crate::domain::dirhash::H1;
use crate::domain::manifest::{MAX_INFO, MAX_ZIP, Manifest, Proof};
use crate::domain::module::ModuleVersion;
use crate::domain::publication::Publication;
use crate::domain::publish::{PublishError, check_zip};
use crate::domain::site::policy_line;
use crate::domain::trust::TrustError;
use crate::domain::zip::ZipError;
use crate::store::{FileBytes, Held};

/// How long the next bytes of a zip may take: they come from a program on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A zip on its way to this node.
pub type Upload = BoxStream<'static, io::Result<Bytes>>;

/// Takes publications on this node.
pub struct Publishing {
    intake: Intake,
    tmp: PathBuf,
    site_file: PathBuf,
    /// One at a time: each may take 500 MiB of `tmp`, and two of one version must not overtake each other.
    turn: Mutex<()>,
}

/// What a publisher vouches for, checked by the rule of this node as far as it can be without the zip.
struct Submission {
    module: ModuleVersion,
    info: Vec<u8>,
    note: Vec<u8>,
    signed: Publication,
}

impl Publishing {
    /// Receives zips in `tmp`. `site_file` is where the publishers of this site are written down.
    #[must_use]
    pub fn new(intake: Intake, tmp: PathBuf, site_file: PathBuf) -> Self {
        Self { intake, tmp, site_file, turn: Mutex::default() }
    }

    /// Publishes a module version. The upload is read to its end (or to the limit of 500 MiB) whatever is wrong with
    /// it, so that its sender gets to hear of it.
    ///
    /// # Errors
    /// [`SourceError::Refused`] when this site does not let this key publish it or has published something else under
    /// this version, [`SourceError::Forged`] when zip, signature and claims do not belong together, and
    /// [`SourceError::Local`], [`SourceError::Failed`] when it could not be received or stored.
    pub async fn publish(&self, request: PublishRequest, upload: Upload) -> Result<PublishAnswer, SourceError> {
        let _turn = self.turn.lock().await;
        let submission = match self.read(request) {
            Ok(submission) => submission,
            Err(why) => {
                let mut unused = Parts::of(upload);
                while unused.next().await?.is_some() {}
                return Err(why);
            }
        };
        let zip = self.receive(&submission, upload).await?;
        let before = self.intake.store().stats().disk_bytes;
        let already = self.store(&submission, zip).await?;
        let Submission { module, signed, .. } = submission;
        if !already {
            tracing::info!(%module, "published");
        }
        Ok(PublishAnswer {
            module: module.to_string(),
            already,
            h1: signed.zip_h1.to_string(),
            go_mod_h1: signed.go_mod_h1.to_string(),
            zip_bytes: signed.zip_len,
            stored_bytes: self.intake.store().stats().disk_bytes.saturating_sub(before),
        })
    }

    fn read(&self, request: PublishRequest) -> Result<Submission, SourceError> {
        let module = ModuleVersion::parse(&request.module).map_err(|why| SourceError::Forged(why.to_string()))?;
        let (info, note) = (request.info.into_bytes(), request.note.into_bytes());
        if info.len() > MAX_INFO {
            return Err(SourceError::Forged(format!("the .info of {module} is over 64 KiB")));
        }
        let signed = self.intake.trust().publication(&module, &note);
        let signed = signed.map_err(|why| self.refusal(&module, &why, &request.key))?;
        signed.check_info(&module, &info).map_err(|why| SourceError::Forged(why.to_string()))?;
        Ok(Submission { module, info, note, signed })
    }

    /// The reason, and which line of which file would change it.
    fn refusal(&self, module: &ModuleVersion, why: &TrustError, key: &str) -> SourceError {
        let covering = self.intake.trust().publishers().of(&module.path);
        let line = match (why, covering) {
            (TrustError::NoPublisher { .. }, _) => policy_line(module.path.as_str(), &[key]),
            (TrustError::Stranger { .. }, Some((prefix, keys))) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).chain([key.to_owned()]).collect();
                policy_line(prefix, &keys)
            }
            _ => return SourceError::Forged(why.to_string()),
        };
        SourceError::Refused(format!(
            "{why}\nthe line under [publishers] in {}, here and on the other nodes of the site, is\n{line}\n\
             and a node reads it when it is started",
            self.site_file.display()
        ))
    }

    /// The zip in a file without a name; nothing else than the one that was signed.
    async fn receive(&self, submission: &Submission, upload: Upload) -> Result<File, SourceError> {
        let tmp = self.tmp.clone();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(tmp)).await;
        let made = made.map_err(io::Error::other).flatten().map_err(|error| unwritable(&error))?;
        let mut file = tokio::fs::File::from_std(made);
        let (mut parts, mut hash) = (Parts::of(upload), blake3::Hasher::new());
        while let Some(part) = parts.next().await? {
            hash.update(&part);
            file.write_all(&part).await.map_err(|error| unwritable(&error))?;
        }
        file.flush().await.map_err(|error| unwritable(&error))?;
        let signed = submission.signed.check_zip(*hash.finalize().as_bytes(), parts.len);
        signed.map_err(|why| SourceError::Forged(why.to_string()))?;
        Ok(file.into_std().await)
    }

    /// Stores what was submitted. Says whether it was published before.
    async fn store(&self, submission: &Submission, file: File) -> Result<bool, SourceError> {
        let Submission { module, info, note, signed } = submission;
        let intake = &self.intake;
        let wanted = module.clone();
        let held = intake.blocking(move |store| store.manifest(&wanted)).await?;
        if let Some(held) = held
            && is_published(&held, signed)?
        {
            return Ok(true);
        }
        let also = file.try_clone().map_err(|error| unwritable(&error))?;
        let of = module.clone();
        let go_mod = tokio::task::spawn_blocking(move || checked(&of, also)).await;
        let go_mod = go_mod.map_err(|error| SourceError::Local(error.to_string()))??;
        let by_signature = |h1| vec![Expected { h1, by: "its publication".into() }];
        let go_mod_h1 = H1::of_go_mod(&go_mod);
        expect(module, "go.mod", &by_signature(signed.go_mod_h1), go_mod_h1)?;
        let zip = ingest_zip(module, file, by_signature(signed.zip_h1), intake).await?;
        let go_mod = store_go_mod(go_mod.into(), intake).await?;
        let (module, info) = (module.clone(), info.clone());
        let manifest = Manifest { module, info, go_mod, go_mod_h1, zip: Some(zip) };
        let proof = Proof::Published(note.clone());
        // A manifest of the same hashes may be in the catalog, from a peer that has published them, too.
        if !intake.publish(&manifest, proof.clone()).await? && !settle(&manifest.module, intake).await? {
            intake.publish(&manifest, proof).await?;
        }
        Ok(false)
    }
}

/// Whether exactly what is signed is in this site: the same files, perhaps with the `.info` of an earlier run.
fn is_published(held: &Held, signed: &Publication) -> Result<bool, SourceError> {
    let Manifest { module, go_mod_h1, zip, .. } = &*held.manifest;
    let Some(zip) = zip else { return Ok(false) };
    if (zip.h1, *go_mod_h1) != (signed.zip_h1, signed.go_mod_h1) {
        return Err(SourceError::Refused(format!(
            "{module} is published already with other content and stays as it is: publish yours as another version\n\
             published: zip {}, go.mod {go_mod_h1}\nyours: zip {}, go.mod {}",
            zip.h1, signed.zip_h1, signed.go_mod_h1
        )));
    }
    // A zip that another node has, of these very bytes, may just as well be held here.
    Ok(held.complete || zip.blake3 != signed.zip_blake3)
}

/// The go.mod of a zip that every go command accepts.
fn checked(module: &ModuleVersion, file: File) -> Result<Vec<u8>, SourceError> {
    let file = FileBytes::new(file).map_err(|error| unwritable(&error))?;
    match check_zip(module, &file) {
        Ok(checked) => Ok(checked.go_mod),
        Err(PublishError::Zip(ZipError::Read(error))) => Err(unwritable(&error)),
        Err(why) => Err(SourceError::Forged(format!("the zip of {module} cannot be published: {why}"))),
    }
}

/// An upload, counted.
struct Parts {
    upload: Upload,
    len: u64,
    patience: Duration,
}

impl Parts {
    fn of(upload: Upload) -> Self {
        Self { upload, len: 0, patience: PATIENCE }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let broken = |why: String| SourceError::Failed(format!("the zip has not arrived whole: {why}"));
        let part = tokio::time::timeout(self.patience, self.upload.next()).await;
        let part = part.map_err(|_| broken(format!("nothing came for {} s", self.patience.as_secs())))?;
        let part = part.transpose().map_err(|error| broken(error.to_string()))?;
        self.len += part.as_ref().map_or(0, |part| part.len() as u64);
        if self.len > MAX_ZIP {
            return Err(SourceError::Forged("the zip is over 500 MiB, the limit of the go command".into()));
        }
        Ok(part)
    }
}

fn unwritable(error: &io::Error) -> SourceError {
    SourceError::Local(format!("the zip cannot be kept on this node's disk: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_ends_at_the_limit_and_when_nothing_comes() {
        let mebibyte = Bytes::from(vec![0; 1 << 20]);
        let of = |count| {
            futures::stream::repeat_with({
                let part = mebibyte.clone();
                move || Ok(part.clone())
            })
            .take(count)
        };
        let mut whole = Parts::of(of(500).boxed());
        while whole.next().await.unwrap().is_some() {}
        assert_eq!(whole.len, MAX_ZIP);
        let more = of(500).chain(futures::stream::iter([Ok(Bytes::from_static(b"x"))]));
        let mut over = Parts::of(more.boxed());
        let error = loop {
            if let Err(error) = over.next().await {
                break error;
            }
        };
        assert!(matches!(&error, SourceError::Forged(why) if why.contains("over 500 MiB")), "{error}");
        let mut silent = Parts::of(of(1).chain(futures::stream::pending()).boxed());
        silent.patience = Duration::ZERO;
        silent.next().await.unwrap().unwrap();
        let error = silent.next().await.unwrap_err();
        assert!(matches!(&error, SourceError::Failed(why) if why.contains("nothing came for 0 s")), "{error}");
        let mut torn = Parts::of(of(1).chain(futures::stream::iter([Err(io::Error::other("reset"))])).boxed());
        torn.next().await.unwrap().unwrap();
        assert!(matches!(torn.next().await.unwrap_err(), SourceError::Failed(_)));
    }
}
