//! A client of the checksum database that asks a node over HTTP, as a go command with an empty cache does.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use modswarm::domain::dirhash::H1;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::note::Verifier;
use modswarm::domain::tlog::Tile;
use modswarm::sumdb::{Client, ClientError, MemoryOps, Ops, OpsError};

use super::common::FixtureModule;
use super::common::node::{TestNode, WATCHDOG, get};
use super::sumdb::NAME;

type Nothing = fn(&str) -> Result<Option<Bytes>, OpsError>;

/// Asks a base URL and keeps everything in memory.
pub(crate) struct HttpOps {
    base: String,
    kept: MemoryOps<Nothing>,
}

impl Ops for HttpOps {
    fn fetch<'a>(&'a self, path: &'a str, _limit: usize) -> BoxFuture<'a, Result<Option<Bytes>, OpsError>> {
        async move {
            let got = get(&format!("{}/{path}", self.base)).await;
            match got.status {
                200 => Ok(Some(got.body)),
                404 | 410 => Ok(None),
                status => Err(format!("{path}: status {status}: {}", got.text()).into()),
            }
        }
        .boxed()
    }

    fn load_tile(&self, tile: Tile) -> BoxFuture<'_, Result<Option<Bytes>, OpsError>> {
        self.kept.load_tile(tile)
    }

    fn save_tiles(&self, tiles: Vec<(Tile, Bytes)>) -> BoxFuture<'_, Result<(), OpsError>> {
        self.kept.save_tiles(tiles)
    }

    fn load_head(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, OpsError>> {
        self.kept.load_head()
    }

    fn save_head<'a>(&'a self, note: &'a [u8]) -> BoxFuture<'a, Result<(), OpsError>> {
        self.kept.save_head(note)
    }
}

/// A client that has seen nothing yet.
pub(crate) async fn empty_client(node: &TestNode, key: &str) -> Client<HttpOps> {
    let ops = HttpOps { base: format!("{}/sumdb/{NAME}", node.goproxy), kept: MemoryOps::new(|_| Ok(None)) };
    Client::open(ops, Verifier::parse(key).unwrap()).await.unwrap()
}

/// Proves a module version with the answers of a node, as far as the signed head.
pub(crate) async fn prove(client: &Client<HttpOps>, module: &FixtureModule, key: &str) -> Result<(), ClientError> {
    let version = ModuleVersion::parse(&format!("{}@{}", module.path, module.version)).unwrap();
    let proof = client.prove(&version).await?;
    let zip_h1 = H1::of_zip(&module.zip.to_vec()).unwrap();
    let trusted = [Verifier::parse(key).unwrap()];
    proof.verify(&version, Some(zip_h1), H1::of_go_mod(&module.go_mod), &trusted).unwrap();
    Ok(())
}

/// Whether a node says that it answers for the database.
pub(crate) async fn is_supported(node: &TestNode) -> bool {
    match node.get(&format!("/sumdb/{NAME}/supported")).await.status {
        200 => true,
        404 => false,
        other => panic!("supported is answered with {other}"),
    }
}

/// Asserts that everything can be proven by a node alone, each module by a client that has seen nothing. Its first head may be
/// on its way still.
pub(crate) async fn assert_proves(node: &TestNode, modules: &[FixtureModule], key: &str) {
    // Each question waits for the head by itself.
    let supported = async { while !is_supported(node).await {} };
    tokio::time::timeout(WATCHDOG, supported).await.expect("the node never had a tree head");
    for module in modules {
        let client = empty_client(node, key).await;
        prove(&client, module, key).await.unwrap_or_else(|error| panic!("{}: {error}", module.path));
    }
}
