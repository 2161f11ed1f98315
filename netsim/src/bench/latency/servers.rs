//! The servers: a node that holds everything, and static ones over the same files.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use super::super::Failure;
use super::super::client::Http;
use super::super::fixture::serve;
use super::super::worker::Running;
use super::files::Nginx;
use super::tree::Tree;
use super::{AT_ONCE, Kind, Static};

/// A running server.
pub(super) enum Server {
    Node(Running, SocketAddr),
    Hyper(Running, SocketAddr),
    Nginx(Nginx),
}

/// Starts a node and static servers, all with the whole tree.
pub(super) async fn start(statics: &[Static], tree: &Arc<Tree>, dir: &Path) -> Result<Vec<Server>, Failure> {
    let mut servers = vec![node(tree, &dir.join("node")).await?];
    let root = dir.join("files");
    tree.write(&root)?;
    for which in statics {
        servers.push(match which {
            Static::Hyper => {
                let args = ["files".to_owned(), "--root".into(), root.display().to_string()];
                let (running, address) = Running::start(&args).await?;
                Server::Hyper(running, address)
            }
            Static::Nginx => Server::Nginx(Nginx::start(&root, dir).await?),
        });
    }
    Ok(servers)
}

/// A node that was seeded with the tree and has no upstream any more.
async fn node(tree: &Arc<Tree>, data: &Path) -> Result<Server, Failure> {
    eprintln!("seeding a node");
    let shared = Arc::clone(tree);
    let upstream = serve(move |path| shared.answer(path)).await?;
    let sumdb = tree.sumdb();
    let (seed, at) = Running::node(data, Some(&upstream), &[], Some(&sumdb)).await?;
    let http = Http::new()?;
    // What follows from the zips is asked for when they are there.
    for kind in [Kind::Zip, Kind::List, Kind::Lookup] {
        let urls = tree.paths(kind).iter().map(|path| format!("{}{path}", at.goproxy));
        let asked = urls.map(|url| async { http.head(&{ url }).await.map(drop) });
        futures::stream::iter(asked).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    seed.stop().await?;
    let (node, at) = Running::node(data, None, &[], Some(&sumdb)).await?;
    let address = at.goproxy.strip_prefix("http://").ok_or("a node says no address")?.parse()?;
    Ok(Server::Node(node, address))
}

impl Server {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Node(..) => "node",
            Self::Hyper(..) => "hyper",
            Self::Nginx(_) => "nginx",
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Node(_, address) | Self::Hyper(_, address) => *address,
            Self::Nginx(nginx) => nginx.address,
        }
    }

    /// All its processes.
    pub(super) fn pids(&self) -> Result<Vec<u32>, Failure> {
        match self {
            Self::Node(running, _) | Self::Hyper(running, _) => Ok(vec![running.pid()]),
            Self::Nginx(nginx) => nginx.pids(),
        }
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Node(running, _) | Self::Hyper(running, _) => running.stop().await,
            // It ends when it is dropped.
            Self::Nginx(_) => Ok(()),
        }
    }
}
