//! A crowd asks for one module at the same moment; in one of two forms the seed dies on the way.
//!
//! Three crowds after one another, all with the real go command and an empty module cache: one that reads the zip from this machine's disk
//! (what the go commands themselves take on these processors), one that fetches it from the seed over plain HTTP, one whose
//! members ask the node of their own machine. Nodes hold nothing before that: they run with `--replicas 0`.

use std::time::Duration;

use super::super::bound;
use super::super::content::Content;
use super::super::crowd::{Crowd, Member};
use super::super::limits::{LOOK_AT_LINES, MOST_OF_BOUND, MOST_SEED_ZIPS, SEEDING};
use super::super::net::Line;
use super::super::node::Node;
use super::super::probe;
use super::super::progress::Progress;
use super::super::report::{Figure, Limit, NodeLine, Report};
use super::super::site::{Machines, Site, median_seconds};
use super::super::{Failure, Lab};
use crate::bench::figures::megabytes;
use crate::bench::sample::load;

/// With less than this idle the processors are what the figures are of.
const BUSY_PERCENT: f64 = 15.0;

/// A crowd and what its seed sent meanwhile.
struct Run {
    crowd: Crowd,
    seed_sent: u64,
    /// When the seed was killed, after the start.
    killed: Option<Duration>,
}

/// All that was measured.
struct Measured {
    content: Content,
    /// Into how many slices it is cut.
    slices: u64,
    probed: f64,
    alone: Crowd,
    http: Run,
    swarm: Run,
    /// Nodes that hold the zip afterwards.
    holders: usize,
    notes: Vec<String>,
}

/// Runs it.
pub(super) async fn run(lab: &mut Lab, seed_dies: bool) -> Result<Report, Failure> {
    let content = lab.content().await?;
    let slices = bound::slices(&content.module, &content.tree.join(&content.zip))?;
    let machines = Machines::build(lab, true)?;
    let (Some((seed, _)), Some((first, line))) = (&machines.seed, machines.nodes.first()) else {
        return Err("a crowd needs a seed and a node".into());
    };
    let probed = probe::between(seed, first, line).await?;
    eprintln!("a bare TCP stream gets {probed:.1} Mbit/s");

    let members = |host| Member { host, goproxy: content.url() };
    let members: Vec<_> = machines.nodes.iter().map(|(host, _)| members(host)).collect();
    let alone = Crowd::run(lab.dir(), &content, &members, lab.args.deadline).await?;
    drop(members);
    eprintln!("the go commands alone take {:.2} s", alone.makespan());

    let mut site = Site::switch_on(lab, machines, Some(&content))?;
    site.ready().await?;
    let mut seed = site.seed.take().ok_or("a crowd needs a seed")?;
    // The way of a first request: the seed fetches this one module version, and not what it requires.
    let first = [Member { host: &seed.host, goproxy: seed.goproxy(true) }];
    let first = Crowd::run(lab.dir(), &content, &first, SEEDING).await?;
    if let Some(failure) = first.failures().first() {
        return Err(format!("the seed cannot be given the module: {failure}").into());
    }
    let mut notes: Vec<String> = site.settled(1).await?.into_iter().collect();
    eprintln!("{} nodes know what the seed has", site.nodes.len());

    let from_seed = site.nodes.iter().map(|node| Member { host: &node.host, goproxy: seed.goproxy(true) }).collect();
    let http = crowd(lab, &content, from_seed, &mut seed, &site, false).await?;
    eprintln!("over plain HTTP they take {:.2} s", http.crowd.makespan());
    if seed_dies && let Some(node) = site.nodes.first() {
        // What only a machine without power has, nobody can bring: one more holds it, as the replica floor sees to.
        let second = [Member { host: &node.host, goproxy: node.goproxy(false) }];
        let second = Crowd::run(lab.dir(), &content, &second, SEEDING).await?;
        if let Some(failure) = second.failures().first() {
            return Err(format!("the second holder cannot be given the module: {failure}").into());
        }
        notes.push(format!(
            "{} holds the zip before the crowd begins, as the replica floor would have it",
            node.host.name
        ));
    }
    let own = site.nodes.iter().map(|node| Member { host: &node.host, goproxy: node.goproxy(false) }).collect();
    let swarm = crowd(lab, &content, own, &mut seed, &site, seed_dies).await?;
    let holders = site.statuses().await?.iter().filter(|status| status.store.zips > 0).count();
    let names: Vec<String> = site.nodes.iter().map(|node| node.host.name.clone()).collect();
    let measured = Measured { content, slices, probed, alone, http, swarm, holders, notes };
    Ok(measured.report(lab, seed_dies, &names))
}

/// Runs a crowd; the seed is killed on the way if it is to die.
async fn crowd(
    lab: &Lab,
    content: &Content,
    members: Vec<Member<'_>>,
    seed: &mut Node,
    site: &Site,
    seed_dies: bool,
) -> Result<Run, Failure> {
    let before = seed.line.sent()?;
    let lines: Vec<&Line> = site.nodes.iter().map(|node| &node.line).collect();
    let mut progress = Progress::start(lines, content.bytes)?;
    let mut killed = None;
    let mut crowd = std::pin::pin!(Crowd::run(lab.dir(), content, &members, lab.args.deadline));
    let crowd = loop {
        tokio::select! {
            ended = &mut crowd => break ended?,
            () = tokio::time::sleep(LOOK_AT_LINES) => progress.look()?,
        }
        if seed_dies && killed.is_none() && progress.is_half() {
            seed.kill().await?;
            killed = Some(progress.elapsed());
            eprintln!("the seed is dead after {:.2} s", progress.elapsed().as_secs_f64());
        }
    };
    Ok(Run { crowd, seed_sent: seed.line.sent()?.saturating_sub(before), killed })
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn zips(sent: u64, content: &Content) -> f64 {
    sent as f64 / content.bytes.max(1) as f64
}

impl Measured {
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn report(mut self, lab: &Lab, seed_dies: bool, names: &[String]) -> Report {
        let (count, bytes) = (names.len(), self.content.bytes);
        let bound = bound::seconds(count, self.slices, bytes, lab.args.rate as f64);
        let mut setting = super::setting(lab);
        setting.push(format!(
            "all run `go mod download {}` at once: a zip of {:.1} MB, {} slices; --sumdb off, --replicas 0",
            self.content.module,
            megabytes(bytes),
            self.slices
        ));
        let mut figures = vec![
            Figure::told("bare TCP stream, seed to a node", self.probed, "Mbit/s"),
            Figure::told("bound: (1 + floor(log2 N)/M) B/u", bound, "s"),
            Figure::told("go alone, zip on disk: all done after", self.alone.makespan_of_all(), "s"),
            Figure::told("plain HTTP: all zips there after", self.http.crowd.zips_there(), "s"),
            Figure::told("plain HTTP: all done after", self.http.crowd.makespan_of_all(), "s"),
            Figure::told("plain HTTP: all done / bound", self.http.crowd.makespan_of_all() / bound, "x"),
            Figure::told("plain HTTP: seed sent / zip", zips(self.http.seed_sent, &self.content), "x"),
            Figure::all_of("swarm: done", self.swarm.crowd.complete(), count),
        ];
        figures.extend(self.swarm_figures(bound, seed_dies));
        for (name, crowd) in [("go alone", &self.alone), ("plain HTTP", &self.http.crowd), ("swarm", &self.swarm.crowd)]
        {
            figures.extend(crowd.spent.figures(&format!(", {name}")));
            let failures = crowd.failures().into_iter().map(|failure| format!("{name}: {failure}"));
            self.notes.extend(failures);
        }
        if seed_dies && self.swarm.killed.is_none() {
            self.notes.push("the seed was not killed: all were done before the median node had half".into());
        }
        if !seed_dies && !self.has_room_for_go(bound) {
            self.notes.push(format!(
                "that all are done is not held to its limit: on these processors the go commands alone take {:.2} s, to \
                 check and unpack",
                self.alone.makespan_of_all()
            ));
        }
        let spent = self.swarm.crowd.spent;
        if spent.idle < BUSY_PERCENT {
            self.notes.push(format!(
                "the processors were busy ({:.0} % idle, {:.0} % on niced work): these are figures of this machine; an \
                 idle one, or a lower --rate, shows what the protocol does",
                spent.idle, spent.niced
            ));
        }
        self.notes.push(format!("load of this machine over the last minute: {:.1}", load()));
        let nodes = names.iter().enumerate().map(|(at, name)| self.node(at, name)).collect();
        let scenario = if seed_dies { "seed-dies" } else { "flash10" };
        Report { scenario, setting, figures, nodes, notes: self.notes }
    }

    /// Whether the limit on all being done says something of the swarm here: with ten machines on few processors, what the go
    /// commands do by themselves can take more than the limit leaves above the bound.
    fn has_room_for_go(&self, bound: f64) -> bool {
        self.alone.makespan_of_all() <= (MOST_OF_BOUND - 1.0) * bound
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn swarm_figures(&self, bound: f64, seed_dies: bool) -> Vec<Figure> {
        let crowd = &self.swarm.crowd;
        let (there, all) = (crowd.zips_there(), crowd.makespan_of_all());
        let sent = zips(self.swarm.seed_sent, &self.content);
        // A seed that dies is only to have no consequence; how long it takes then is told.
        let held = |name: &str, value: f64, most: f64, holds: bool| match holds && !seed_dies {
            true => Figure::held_to(name, value, "x", Limit::Most(most)),
            false => Figure::told(name, value, "x"),
        };
        let mut figures = vec![
            Figure::told("swarm: nodes that hold the zip afterwards", self.holders as f64, "nodes"),
            Figure::told("swarm: all zips there after", there, "s"),
            Figure::told("swarm: median done after", median_seconds(crowd.ended.iter().flatten().copied()), "s"),
            Figure::told("swarm: last that got it done after", crowd.makespan(), "s"),
        ];
        if seed_dies {
            let killed = self.swarm.killed.map_or(f64::NAN, |killed| killed.as_secs_f64());
            figures.push(Figure::told("swarm: seed killed after", killed, "s"));
        }
        figures.push(held("swarm: all zips there / bound", there / bound, MOST_OF_BOUND, true));
        figures.push(held("swarm: all done / bound", all / bound, MOST_OF_BOUND, self.has_room_for_go(bound)));
        figures.push(held("swarm: seed sent / zip", sent, MOST_SEED_ZIPS, true));
        figures
    }

    fn node(&self, at: usize, name: &str) -> NodeLine {
        let runs = [("swarm", &self.swarm.crowd), ("plain HTTP", &self.http.crowd), ("alone", &self.alone)];
        let seconds = |time: Option<&Duration>| time.map_or(f64::NAN, Duration::as_secs_f64);
        let times = |(name, crowd): (&str, &Crowd)| {
            let ended = crowd.ended.get(at).and_then(|ended| ended.as_ref().ok());
            let there = crowd.there.get(at).and_then(Option::as_ref);
            [Figure::told(format!("{name}: zip there"), seconds(there), "s"), Figure::told("done", seconds(ended), "s")]
        };
        NodeLine { node: name.into(), figures: runs.into_iter().flat_map(times).collect() }
    }
}
