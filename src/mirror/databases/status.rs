//! How the checksum databases stand, for the one who runs the node.

use futures::future::join_all;

use super::{Database, Databases, unix_now};
use crate::admin::{ForkLine, HeadLine, SumdbLine, TreeLine};
use crate::domain::tlog::TreeHead;
use crate::store::StoreError;

impl Databases {
    /// Each database in the order in which they are asked; none on an open node.
    pub async fn status(&self) -> Vec<SumdbLine> {
        join_all(self.iter().map(|database| database.status())).await
    }
}

impl Database {
    async fn status(&self) -> SumdbLine {
        let (forks, unread) = match self.forks().await {
            Ok(forks) => (forks, None),
            Err(error) => (Vec::new(), Some(format!("evidence of forks cannot be read: {error}"))),
        };
        let (pinned, unsupported) = {
            let server = self.server();
            let why = if server.supported() { None } else { Some(self.why_not(server.missing().count())) };
            (server.pinned().map(|head| head.tree()), why)
        };
        let (admitted, waiting) = {
            let records = self.records();
            (records.admitted.len(), records.waiting.clone())
        };
        // Some only wait to be noted: their tiles are here, and lookups of them are answered.
        let known = admitted + waiting.len();
        let late: Vec<_> =
            waiting.into_iter().filter(|(id, _)| !self.is_covered(*id)).map(|(_, since)| since).collect();
        let waited = late.iter().map(|since| since.elapsed().as_secs()).max();
        SumdbLine {
            name: self.name().into(),
            key: self.verifier.to_string(),
            supported: unsupported.is_none(),
            why_not: unsupported,
            head: pinned.map(|tree| HeadLine { tree: tree_line(&tree), pinned_at: self.pinned_at() }),
            records: (known - late.len()) as u64,
            waiting: late.len() as u64,
            waiting_seconds: waited.unwrap_or_default(),
            trouble: unread.or_else(|| self.trouble()),
            forks,
        }
    }

    fn why_not(&self, missing: usize) -> String {
        match (missing, &self.client) {
            (1.., _) => format!("{missing} tiles of its tree are missing here"),
            (0, Some(_)) => "no tree head has been had from upstream yet".into(),
            (0, None) => "no peer has shown a tree head yet: connect this node with a seed of the site".into(),
        }
    }

    /// The evidence that is kept, the oldest first.
    pub(super) async fn forks(&self) -> Result<Vec<ForkLine>, StoreError> {
        let prefix = self.shelf.fact_key(super::shelf::FORK);
        let facts = self.shelf.store().run(move |store| store.facts(&prefix)).await?;
        let mut forks: Vec<ForkLine> = facts
            .into_iter()
            .map(|(_, fact)| {
                let report = String::from_utf8_lossy(&fact.value).into_owned();
                let [older, newer] = ["old database:", "new database:"].map(|title| head_under(title, &report));
                ForkLine { found_at: fact.at, older, newer, report }
            })
            .collect();
        forks.sort_by_key(|fork| fork.found_at);
        Ok(forks)
    }

    /// Says again, at the start of a node, what must not be forgotten.
    pub(super) async fn recall_forks(&self) {
        match self.forks().await {
            Ok(forks) => {
                for ForkLine { found_at, report, .. } in forks {
                    let days = unix_now().saturating_sub(found_at) / 86_400;
                    tracing::error!(database = self.name(), days, report, "the checksum database has forked");
                }
            }
            Err(error) => tracing::warn!(database = self.name(), %error, "evidence of forks cannot be read"),
        }
    }
}

fn tree_line(tree: &TreeHead) -> TreeLine {
    TreeLine { records: tree.size, hash: tree.hash.to_string() }
}

/// The tree head of one of the two notes in a fork's report (`Fork::report`), where each is indented under a title.
fn head_under(title: &str, report: &str) -> Option<TreeLine> {
    let mut note = report.lines().skip_while(|line| *line != title).skip(1).map_while(|line| line.strip_prefix('\t'));
    let records = note.nth(1)?.parse().ok()?;
    Some(TreeLine { records, hash: note.next()?.into() })
}
