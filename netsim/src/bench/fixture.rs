//! Modules to measure with, made up here, and an upstream on loopback that serves them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use axum::Router;
use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use serde::Serialize;
use tokio::net::TcpListener;
use zip::write::SimpleFileOptions;

use super::Failure;

/// What a zip holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Variant {
    /// Files of about 1 MiB that do not compress.
    Noise,
    /// One file that does not compress.
    One,
    /// Thousands of small files that compress like Go source, about 4 to 1.
    Source,
    /// Thousands of small files that compress 2 to 1: source with much generated data in it. A zip may unpack to 500 MiB
    /// at most, so this is what a zip of 200 MB with many files can be.
    Dense,
}

/// A module version with one file in each of its three forms.
pub(crate) struct Fixture {
    /// What it is a fixture of.
    pub(crate) variant: Variant,
    /// Path of the zip below a GOPROXY base.
    pub(crate) zip_path: String,
    /// The zip.
    pub(crate) zip: Bytes,
    /// Files in it.
    pub(crate) files: usize,
    /// Their length in bytes.
    pub(crate) unpacked: u64,
    base: String,
}

const MODULE: &str = "example.com/bench";
const VERSION: &str = "v1.0.0";

impl Fixture {
    /// Makes a zip of about `size` bytes. The same arguments give the same bytes.
    pub(crate) fn make(variant: Variant, size: u64) -> Result<Self, Failure> {
        eprintln!("making a zip of {size} bytes: {variant:?}");
        // How far a part compresses tells how much the whole takes.
        let part = size / 20;
        let (sample, ..) = write_zip(variant, part)?;
        let unpacked = match variant {
            // Nothing is gained, and a sample of whole files of 1 MiB tells nothing of a small zip.
            Variant::One | Variant::Noise => size,
            Variant::Source | Variant::Dense => size * part / sample.len() as u64,
        };
        let (zip, files, unpacked) = write_zip(variant, unpacked)?;
        let base = format!("/{MODULE}/@v/{VERSION}");
        Ok(Self { variant, zip_path: format!("{base}.zip"), zip: zip.into(), files, unpacked, base })
    }

    /// Length of the zip in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.zip.len() as u64
    }

    /// Its files by their paths below a GOPROXY base.
    pub(crate) fn tree(&self) -> [(String, Bytes); 3] {
        let info = format!(r#"{{"Version":"{VERSION}","Time":"2026-01-01T00:00:00Z"}}"#);
        [
            (format!("{}.info", self.base), info.into()),
            (format!("{}.mod", self.base), go_mod().into()),
            (self.zip_path.clone(), self.zip.clone()),
        ]
    }

    /// Serves it as a GOPROXY on loopback as long as the runtime lives; what to give as `--upstream`.
    pub(crate) async fn serve(&self) -> Result<String, Failure> {
        let table: HashMap<String, Bytes> = self.tree().into();
        serve(move |path| table.get(path).cloned()).await
    }
}

/// The module version that every fixture is: `path@version`.
pub(crate) fn module() -> String {
    format!("{MODULE}@{VERSION}")
}

/// Serves what `answer` gives for a path as an HTTP server on loopback as long as the runtime lives; its URL.
pub(crate) async fn serve(
    answer: impl Fn(&str) -> Option<Bytes> + Clone + Send + Sync + 'static,
) -> Result<String, Failure> {
    let app = Router::new().fallback(async move |uri: Uri| match answer(uri.path()) {
        Some(bytes) => (StatusCode::OK, bytes),
        None => (StatusCode::NOT_FOUND, Bytes::new()),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

fn go_mod() -> String {
    format!("module {MODULE}\n\ngo 1.22\n")
}

/// A zip whose files have `unpacked` bytes, about; with the number of files and what they really have.
fn write_zip(variant: Variant, unpacked: u64) -> Result<(Vec<u8>, usize, u64), Failure> {
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut dice = Dice::new(7);
    let (mut files, mut written) = (0, 0);
    let mut add = |name: &str, bytes: &[u8], files: &mut usize, written: &mut u64| -> Result<(), Failure> {
        writer.start_file(format!("{MODULE}@{VERSION}/{name}"), options)?;
        writer.write_all(bytes)?;
        *files += 1;
        *written += bytes.len() as u64;
        Ok(())
    };
    add("go.mod", go_mod().as_bytes(), &mut files, &mut written)?;
    while written < unpacked {
        // In the order of their names, as version control lists them.
        let name = format!("pkg{:04}/file{:02}", files / 20, files % 20);
        match variant {
            Variant::Noise => {
                let len = (900 << 10) + dice.below(248 << 10);
                add(&format!("{name}.bin"), &noise(len, files as u64), &mut files, &mut written)?;
            }
            Variant::One => {
                let len = usize::try_from(unpacked - written)?;
                add("large.bin", &noise(len, 1), &mut files, &mut written)?;
            }
            Variant::Source => add(&format!("{name}.go"), &source(&mut dice, 2), &mut files, &mut written)?,
            Variant::Dense => add(&format!("{name}.go"), &source(&mut dice, 40), &mut files, &mut written)?,
        }
    }
    Ok((writer.finish()?.into_inner(), files, written))
}

/// Bytes that do not compress; the same for the same `seed`.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Text with the shape of Go source: few words often, many rarely, the usual phrases, and `data` lines in a hundred
/// of something that does not compress. 2 to 40 KB, mostly short.
pub(crate) fn source(dice: &mut Dice, data: usize) -> Vec<u8> {
    const PHRASES: &[&str] = &[
        "\tif err != nil {\n\t\treturn nil, err\n\t}\n",
        "// Copyright The Authors. All rights reserved.\n",
        "}\n\nfunc (s *Server) ",
        "\tdefer mu.Unlock()\n",
        "\tfor i := range items {\n",
        "\tt.Fatalf(\"got %v, want %v\", got, want)\n",
    ];
    let len = 2_000 + dice.below(200) * dice.below(200);
    let mut text = String::with_capacity(len + 200);
    while text.len() < len {
        match dice.below(100) {
            roll if roll < data => {
                let _ = writeln!(text, "\t0x{:016x}{:016x}{:016x},", dice.next(), dice.next(), dice.next());
            }
            roll if roll < data + 25 => text.push_str(PHRASES[dice.below(PHRASES.len())]),
            _ => {
                text.push('\t');
                for _ in 0..3 + dice.below(5) {
                    // The product of two rolls is small more often than not.
                    let word = dice.below(60) * dice.below(60);
                    let _ = write!(text, "{}{} ", ["get", "new", "config", "node", "Read"][word % 5], WORDS[word % 16]);
                }
                text.push('\n');
            }
        }
    }
    text.into_bytes()
}

const WORDS: [&str; 16] = [
    "Value", "Options", "Context", "Error", "Handler", "Client", "Buffer", "Type", "Index", "Request", "Name", "Field",
    "Spec", "Status", "Map", "String",
];

/// Numbers that look random and are the same in every run (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }
}
