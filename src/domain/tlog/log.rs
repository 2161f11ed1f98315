//! A whole log in memory, for databases of a site's own and for tests.

use super::{Hash, Hashes, Node, TreeHead, node_hash, record_hash, tree_hash};

/// All hashes of a log, in the order of [`Node::stored_index`]: a little under two for each record.
#[derive(Clone, Debug, Default)]
pub struct HashLog {
    hashes: Vec<Hash>,
    size: u64,
}

impl HashLog {
    /// The number of records.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a record and gives its index.
    ///
    /// # Panics
    /// Never: what it reads, it has written.
    pub fn push(&mut self, record: &[u8]) -> u64 {
        let index = self.size;
        let mut hash = record_hash(record);
        self.hashes.push(hash);
        // Each one at the end of the index, in binary, completes a subtree whose left half is stored already.
        let mut level = 0;
        while (index >> level) & 1 == 1 {
            let left = self.hash(Node { level, n: (index >> level) - 1 });
            hash = node_hash(left.expect("a log holds every complete subtree"), hash);
            self.hashes.push(hash);
            level += 1;
        }
        self.size += 1;
        index
    }

    /// The head of the tree of all records.
    ///
    /// # Panics
    /// Never: what it reads, it has written.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, hash: tree_hash(self.size, self).expect("a log holds every complete subtree") }
    }
}

impl Hashes for HashLog {
    fn hash(&self, node: Node) -> Option<Hash> {
        self.hashes.get(usize::try_from(node.stored_index()).ok()?).copied()
    }
}
