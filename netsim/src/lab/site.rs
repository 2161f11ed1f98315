//! Machines on one LAN, and the nodes on them.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::content::Content;
use super::limits::{ASK, NEIGHBOURS, SETTLED};
use super::net::{Host, Line, Switch};
use super::node::{Node, Role, Status};
use super::{Failure, Lab};

/// Machines that are plugged in, nothing runs on them.
pub(super) struct Machines {
    /// The one that will have an upstream, if there is one.
    pub(super) seed: Option<(Host, Line)>,
    /// The others.
    pub(super) nodes: Vec<(Host, Line)>,
}

/// The nodes on them.
pub(super) struct Site {
    /// The one with an upstream.
    pub(super) seed: Option<Node>,
    /// The others.
    pub(super) nodes: Vec<Node>,
}

/// How many neighbours each of so many nodes is to find.
pub(super) fn enough(nodes: usize) -> usize {
    NEIGHBOURS.min(nodes.saturating_sub(1))
}

impl Machines {
    /// Builds them, all on one switch.
    pub(super) fn build(lab: &mut Lab, with_seed: bool) -> Result<Self, Failure> {
        let count = lab.args.nodes();
        eprintln!("building {count} machines{}", if with_seed { " and a seed" } else { "" });
        let mut switch = lab.net.switch()?;
        let seed = if with_seed { Some(Self::one(lab, &mut switch, "seed")?) } else { None };
        let nodes = (1..=count).map(|number| Self::one(lab, &mut switch, &format!("n{number:02}")));
        Ok(Self { seed, nodes: nodes.collect::<Result<_, _>>()? })
    }

    fn one(lab: &mut Lab, switch: &mut Switch, name: &str) -> Result<(Host, Line), Failure> {
        let mut host = lab.net.host(name)?;
        let line = lab.net.plug(&mut host, switch, lab.args.rate)?;
        Ok((host, line))
    }
}

impl Site {
    /// Switches all nodes on at once and does not wait for them.
    pub(super) fn switch_on(lab: &Lab, machines: Machines, content: Option<&Content>) -> Result<Self, Failure> {
        let mut known: Vec<Line> = Vec::new();
        let mut start = |(host, line): (Host, Line), upstream: Option<String>| {
            let peers = lab.args.no_mdns.then(|| known.clone());
            known.push(line.clone());
            Node::start(host, line, &Role { modswarm: &lab.modswarm, dir: lab.dir(), upstream, peers })
        };
        let seed = machines.seed.map(|seed| start(seed, content.map(Content::url))).transpose()?;
        let nodes = machines.nodes.into_iter().map(|node| start(node, None)).collect::<Result<_, _>>()?;
        Ok(Self { seed, nodes })
    }

    /// Waits until all can serve.
    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        try_join_all(self.seed.iter_mut().chain(&mut self.nodes).map(Node::ready)).await.map(drop)
    }

    /// What all nodes but the seed say of themselves.
    pub(super) async fn statuses(&self) -> Result<Vec<Status>, Failure> {
        try_join_all(self.nodes.iter().map(Node::status)).await
    }

    /// Nodes, the seed counted.
    fn len(&self) -> usize {
        self.nodes.len() + usize::from(self.seed.is_some())
    }

    /// Waits until each node has found enough others and knows of this many module versions; what is short of it if that
    /// does not come to pass. That nodes know what they are to fetch has to be, neighbours are only wanted.
    pub(super) async fn settled(&self, versions: u64) -> Result<Option<String>, Failure> {
        let (begin, enough) = (Instant::now(), enough(self.len()));
        loop {
            let statuses = self.statuses().await?;
            let met = statuses.iter().filter(|status| status.peers() >= enough).count();
            let know = statuses.iter().filter(|status| status.store.versions >= versions).count();
            let all = statuses.len();
            if met == all && know == all {
                return Ok(None);
            }
            if begin.elapsed() > SETTLED {
                let after = format!("after {} s", SETTLED.as_secs());
                if know < all {
                    return Err(format!("{after} only {know} of {all} nodes know what the seed has").into());
                }
                return Ok(Some(format!("{after} only {met} of {all} nodes have {enough} neighbours")));
            }
            tokio::time::sleep(ASK).await;
        }
    }
}

/// The one in the middle (the lower one of an even count).
pub(super) fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// The median of times, in seconds; not a number if there are none.
pub(super) fn median_seconds(times: impl IntoIterator<Item = Duration>) -> f64 {
    median(times).map_or(f64::NAN, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_site_is_found_when_all_others_are() {
        for (nodes, neighbours) in [(0, 0), (1, 0), (2, 1), (8, 7), (9, 8), (30, 8)] {
            assert_eq!(enough(nodes), neighbours, "{nodes}");
        }
    }

    #[test]
    fn the_median_is_the_lower_one_of_the_middle() {
        assert_eq!(median([3, 1, 2]), Some(2));
        assert_eq!(median([4, 3, 1, 2]), Some(2));
        assert_eq!(median([7]), Some(7));
        assert_eq!(median(Vec::<u8>::new()), None);
        assert!(median_seconds([]).is_nan());
    }
}
