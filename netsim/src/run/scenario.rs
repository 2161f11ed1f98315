//! A scenario: the file as it is written, and what it says once it is checked.
//!
//! Quantities are checked while the file is read ([`units`](super::units)), what follows from several of them afterwards. An error names file
//! and line, as compilers do: `flash.toml:7: ...`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::figure::{Figure, Limit, RawLimit};
use super::units::{Rate, Share, Size, Time};

/// Nodes of a scenario at most; memory grows with them, and a run should end while somebody waits.
const MAX_NODES: u32 = 5_000;
/// Seeds of a scenario at most.
const MAX_SEEDS: usize = 100;

/// What is played, and what is demanded of it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The file's name without its ending.
    pub(crate) name: String,
    /// One sentence for the table.
    pub(crate) description: String,
    /// One run each.
    pub(crate) seeds: Vec<u64>,
    /// What is played.
    pub(crate) play: Play,
    /// What is demanded, in the order of the figures.
    pub(crate) limits: Vec<(Figure, Limit)>,
}

/// What is played: exactly one section of the file.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// Many nodes want one item.
    Spread(Spread),
    /// A site is switched on.
    PowerOn(PowerOn),
    /// A node that was away catches up with the catalog.
    CatchUp(CatchUp),
    /// A version is announced; then nothing happens.
    Announce(Announce),
    /// A member is revoked.
    Revoke(Revoke),
    /// A node's data directory was copied to a second machine.
    Twins(Twins),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    description: String,
    seeds: Spanned<Vec<u64>>,
    spread: Option<Spanned<Spread>>,
    power_on: Option<Spanned<PowerOn>>,
    catch_up: Option<Spanned<CatchUp>>,
    announce: Option<Spanned<Announce>>,
    revoke: Option<Spanned<Revoke>>,
    twins: Option<Spanned<Twins>>,
    limits: Spanned<BTreeMap<String, Spanned<RawLimit>>>,
}

/// Many nodes want one item at the same moment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Spread {
    /// How many want it.
    pub(crate) receivers: u32,
    /// How many have all of it at the start.
    #[serde(default = "one")]
    pub(crate) holders: u32,
    /// Neighbours of each node.
    #[serde(default = "ten")]
    pub(crate) neighbours: u32,
    /// Each node's line, each way.
    pub(crate) rate: Rate,
    /// From one node to another of the same office.
    pub(crate) latency: Time,
    /// Up to so much is added to each delivery.
    #[serde(default)]
    pub(crate) jitter: Time,
    /// Into how many slices the item is cut; goes with `slice`.
    pub(crate) slices: Option<u32>,
    /// How large a slice is.
    pub(crate) slice: Option<Size>,
    /// How large the item is, instead of the two above: it is cut as the daemon cuts.
    pub(crate) total: Option<Size>,
    /// What is not complete then has not become complete.
    pub(crate) give_up: Time,
    /// More than one office.
    pub(crate) offices: Option<Offices>,
    /// The first holder goes.
    pub(crate) seed_dies: Option<SeedDies>,
    /// The network falls into two parts.
    pub(crate) partition: Option<Partition>,
    /// Some nodes mean harm.
    pub(crate) hostile: Option<Hostile>,
}

/// Offices that thin lines connect.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Offices {
    /// How many.
    pub(crate) count: u32,
    /// The thin line, each way.
    pub(crate) rate: Rate,
    /// Over the thin line.
    pub(crate) latency: Time,
    /// Neighbours in other offices, of one node in each office.
    pub(crate) gateways: u32,
}

/// The first holder goes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SeedDies {
    /// When this share of all the bytes that are wanted has landed.
    pub(crate) at: Share,
    /// And comes back with all it had after so long; never if this is missing.
    pub(crate) back_after: Option<Time>,
}

/// The network falls into two parts, and heals.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Partition {
    /// When.
    pub(crate) at: Time,
    /// For how long.
    pub(crate) lasts: Time,
    /// Share of the nodes in the part without the first holder.
    pub(crate) share: Share,
}

/// Nodes that mean harm.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Hostile {
    /// Share of the receivers that send wrong bytes.
    #[serde(default)]
    pub(crate) liars: Share,
    /// Share of the receivers that promise and send nothing.
    #[serde(default)]
    pub(crate) stallers: Share,
    /// Share of the receivers with a line of a hundredth.
    #[serde(default)]
    pub(crate) slow: Share,
}

/// A site is switched on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PowerOn {
    /// How many nodes.
    pub(crate) nodes: u32,
    /// All within so long.
    pub(crate) within: Time,
    /// From one node to another.
    pub(crate) latency: Time,
    /// Up to so much is added to each delivery.
    #[serde(default)]
    pub(crate) jitter: Time,
    /// So long it is watched.
    pub(crate) watch: Time,
}

/// A node that was away catches up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CatchUp {
    /// Manifests that both know.
    pub(crate) known: u32,
    /// Manifests that came while it was away.
    pub(crate) missing: u32,
    /// Manifests that only the one who was away has.
    #[serde(default)]
    pub(crate) own: u32,
    /// A manifest's size, mean; they lie between half of it and one and a half.
    pub(crate) manifest: Size,
    /// How long it was away.
    pub(crate) away: Time,
    /// Its line.
    pub(crate) rate: Rate,
    /// To its neighbour.
    pub(crate) latency: Time,
}

/// A version is announced; then nothing happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Announce {
    /// How many nodes.
    pub(crate) nodes: u32,
    /// How large the announcement is.
    pub(crate) bytes: Size,
    /// Each node's line.
    pub(crate) rate: Rate,
    /// From one node to another.
    pub(crate) latency: Time,
    /// Up to so much is added to each delivery.
    #[serde(default)]
    pub(crate) jitter: Time,
    /// What a node needs to check it before it hands it on.
    pub(crate) check: Time,
    /// Connected nodes, of which the mesh takes six.
    #[serde(default = "ten")]
    pub(crate) neighbours: u32,
    /// Nodes that take it and do not hand it on.
    #[serde(default)]
    pub(crate) mute: Share,
    /// Nodes of one broadcast domain: they hear each other's beacons.
    pub(crate) lan: u32,
    /// So long it is watched while nothing happens.
    pub(crate) watch: Time,
}

/// A member is revoked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Revoke {
    /// How many members.
    pub(crate) nodes: u32,
    /// How many of them are revoked.
    pub(crate) revoked: u32,
    /// From one node to another.
    pub(crate) latency: Time,
    /// Up to so much is added to each delivery.
    #[serde(default)]
    pub(crate) jitter: Time,
    /// Each node's line.
    pub(crate) rate: Rate,
    /// Connected nodes.
    #[serde(default = "ten")]
    pub(crate) neighbours: u32,
}

/// A node's data directory was copied.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Twins {
    /// How many machines, the two with one identity among them.
    pub(crate) nodes: u32,
    /// From one node to another.
    pub(crate) latency: Time,
    /// Up to so much is added to each delivery.
    #[serde(default)]
    pub(crate) jitter: Time,
    /// So long it is watched.
    pub(crate) watch: Time,
}

const fn one() -> u32 {
    1
}

const fn ten() -> u32 {
    10
}

/// Reads a scenario. `file` is what errors name.
///
/// # Errors
/// `FILE:LINE: what is wrong`.
pub(crate) fn read(name: &str, file: &str, text: &str) -> Result<Scenario, String> {
    let at = |span: Range<usize>, what: &str| {
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
        format!("{file}:{line}: {}", what.trim_end().replace('\n', ", "))
    };
    let raw: Raw = toml::from_str(text).map_err(|err| at(err.span().unwrap_or(0..0), err.message()))?;
    if raw.seeds.get_ref().is_empty() || raw.seeds.get_ref().len() > MAX_SEEDS {
        return Err(at(raw.seeds.span(), &format!("name 1 to {MAX_SEEDS} seeds")));
    }
    let mut plays: Vec<(Range<usize>, Play)> = Vec::new();
    let mut add = |play: Option<(Range<usize>, Play)>| plays.extend(play);
    add(raw.spread.map(|play| (play.span(), Play::Spread(play.into_inner()))));
    add(raw.power_on.map(|play| (play.span(), Play::PowerOn(play.into_inner()))));
    add(raw.catch_up.map(|play| (play.span(), Play::CatchUp(play.into_inner()))));
    add(raw.announce.map(|play| (play.span(), Play::Announce(play.into_inner()))));
    add(raw.revoke.map(|play| (play.span(), Play::Revoke(play.into_inner()))));
    add(raw.twins.map(|play| (play.span(), Play::Twins(play.into_inner()))));
    plays.sort_by_key(|(span, _)| span.start);
    let mut plays = plays.into_iter();
    let (span, play) = plays.next().ok_or_else(|| {
        at(0..0, "it plays nothing: add [spread], [power-on], [catch-up], [announce], [revoke] or [twins]")
    })?;
    if let Some((span, _)) = plays.next() {
        return Err(at(span, "a scenario plays one thing: put this section into a file of its own"));
    }
    play.check().map_err(|what| at(span, &what))?;
    let mut limits = Vec::new();
    for (name, limit) in raw.limits.into_inner() {
        let span = limit.span();
        let figure = serde_json::from_value::<Figure>(name.clone().into())
            .map_err(|_| at(span.clone(), &format!("there is no figure `{name}`")))?;
        limits.push((figure, limit.into_inner().check(figure).map_err(|what| at(span, &what))?));
    }
    limits.sort_by_key(|(figure, _)| *figure);
    Ok(Scenario { name: name.to_owned(), description: raw.description, seeds: raw.seeds.into_inner(), play, limits })
}

impl Play {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Spread(spread) => spread.check(),
            Self::PowerOn(play) => nodes("nodes", play.nodes, 2),
            Self::CatchUp(play) => {
                let all = u64::from(play.known) + u64::from(play.missing) + u64::from(play.own);
                if play.missing == 0 {
                    Err("nothing is missing".into())
                } else {
                    within("manifests", all, 1, 1_000_000)
                }
            }
            Self::Announce(play) => {
                nodes("nodes", play.nodes, 2)?;
                nodes("lan", play.lan, 1)?;
                degree(play.neighbours, play.nodes)
            }
            Self::Revoke(play) => {
                nodes("nodes", play.nodes, 3)?;
                within("revoked", play.revoked.into(), 1, u64::from(play.nodes) / 2)?;
                degree(play.neighbours, play.nodes)
            }
            Self::Twins(play) => nodes("nodes", play.nodes, 3),
        }
    }
}

impl Spread {
    fn check(&self) -> Result<(), String> {
        nodes("receivers", self.receivers, 1)?;
        within("holders", self.holders.into(), 1, self.receivers.into())?;
        within("neighbours", self.neighbours.into(), 1, 64)?;
        match (self.total, self.slices, self.slice) {
            (Some(_), None, None) => {}
            (None, Some(slices), Some(_)) => within("slices", slices.into(), 1, MAX_SLICES.into())?,
            _ => return Err("say how large the item is: either total, or slices and slice".into()),
        }
        if let Some(offices) = self.offices {
            within("offices.count", offices.count.into(), 2, u64::from(self.receivers) / 2)?;
            within("offices.gateways", offices.gateways.into(), 1, 64)?;
        }
        if let Some(hostile) = self.hostile {
            let bad = hostile.liars.0 + hostile.stallers.0 + hostile.slow.0;
            if bad > 0.9 {
                return Err(format!("{:.0} % of the receivers are hostile; 90 % is the most", bad * 100.0));
            }
        }
        Ok(())
    }
}

/// As the engine has it.
const MAX_SLICES: u32 = modswarm::engine::spread::limits::MAX_SLICES;

fn nodes(what: &str, count: u32, least: u64) -> Result<(), String> {
    within(what, count.into(), least, MAX_NODES.into())
}

fn degree(neighbours: u32, nodes: u32) -> Result<(), String> {
    within("neighbours", neighbours.into(), 1, u64::from(nodes - 1).min(64))
}

fn within(what: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{what} is {value}; it lies between {least} and {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"description = "Twenty want twenty."
seeds = [1, 2]

[spread]
receivers = 20
rate = "100Mbit"
latency = "1ms"
slices = 20
slice = "1MiB"
give-up = "10min"

[limits]
share = { at-least = 0.85, of = "median" }
last = { at-most = "5s" }
"#;

    #[test]
    fn a_scenario_is_read() {
        let scenario = read("flash", "flash.toml", GOOD).unwrap();
        assert_eq!((scenario.name.as_str(), scenario.seeds.len(), scenario.limits.len()), ("flash", 2, 2));
        assert_eq!(scenario.limits[0].0, Figure::Share);
        assert_eq!(scenario.limits[1].1.at_most, Some(5.0));
        let Play::Spread(spread) = scenario.play else { panic!("{:?}", scenario.play) };
        assert_eq!((spread.receivers, spread.holders, spread.neighbours), (20, 1, 10));
        assert_eq!(spread.rate, Rate(12_500_000));
    }

    #[test]
    fn an_error_names_file_and_line() {
        let table = [
            ("20\nrate", "20\nrat", "bad.toml:6: unknown field `rat`"),
            (
                "100Mbit",
                "100Mbits",
                "bad.toml:6: `100Mbits` is not a rate; write it as in 100Mbit or 12MB/s, at most 1000Gbit",
            ),
            ("\"1ms\"", "\"1 ms\"", "bad.toml:7: `1 ms` is not a time; write it as in 200ms or 10min, at most 366d"),
            ("1MiB", "1mib", "bad.toml:9: `1mib` is not a size; write it as in 21MB or 1MiB, at most 1000GB"),
            ("receivers = 20\n", "receivers = 9000\n", "bad.toml:4: receivers is 9000; it lies between 1 and 5000"),
            ("slices = 20\n", "", "bad.toml:4: say how large the item is: either total, or slices and slice"),
            ("slices = 20\n", "slices = 2000\n", "bad.toml:4: slices is 2000; it lies between 1 and 1024"),
            ("receivers = 20\n", "receivers = -1\n", "bad.toml:5: invalid value: integer `-1`, expected u32"),
            ("seeds = [1, 2]", "seeds = []", "bad.toml:2: name 1 to 100 seeds"),
            (
                "[limits]",
                "[twins]\nnodes = 5\nlatency = \"1ms\"\nwatch = \"1s\"\n[limits]",
                "bad.toml:12: a scenario plays one thing: put this section into a file of its own",
            ),
            ("share =", "shore =", "bad.toml:13: there is no figure `shore`"),
            ("at-least = 0.85", "at-leest = 0.85", "bad.toml:13: unknown field `at-leest`"),
            ("at-least = 0.85, ", "", "bad.toml:13: the limit of `share` says neither at-least nor at-most"),
            ("\"5s\"", "5", "bad.toml:14: the limit of `last` is written as in \"5s\""),
            ("0.85", "\"5s\"", "bad.toml:13: the limit of `share` is written as in 0.85"),
            ("\"5s\"", "\"5sec\"", "bad.toml:14: `5sec` is not a quantity; write it as in 5s or 100B/s"),
            ("median", "mean", "bad.toml:13: unknown variant `mean`, expected `worst` or `median`"),
            ("give-up = \"10min\"\n", "", "bad.toml:4: missing field `give-up`"),
        ];
        for (from, to, error) in table {
            assert!(GOOD.contains(from), "{from}");
            let said = read("bad", "bad.toml", &GOOD.replacen(from, to, 1)).unwrap_err();
            // serde lists the fields that there are behind the message: that list changes with the format.
            assert!(said == error || said.starts_with(&format!("{error}, expected one of")), "{said}\n{error}");
        }
    }

    #[test]
    fn hostile_shares_leave_somebody_honest() {
        let with = |hostile: &str| GOOD.replace("[limits]", &format!("[spread.hostile]\n{hostile}\n[limits]"));
        assert!(read("x", "x", &with("liars = \"20%\"\nslow = 0.1")).is_ok());
        let said = read("x", "x.toml", &with("liars = \"60%\"\nslow = 0.4")).unwrap_err();
        assert_eq!(said, "x.toml:4: 100 % of the receivers are hostile; 90 % is the most");
        let said = read("x", "x.toml", &with("liars = 20")).unwrap_err();
        assert_eq!(said, "x.toml:13: 20 is not a share; it lies between 0 and 1");
    }

    #[test]
    fn a_scenario_plays_something() {
        let said = read("x", "x.toml", "description = \"\"\nseeds = [1]\n[limits]\n").unwrap_err();
        assert!(said.starts_with("x.toml:1: it plays nothing: add [spread]"), "{said}");
        for (text, start) in [("", "x.toml:1: missing field"), ("a = ", "x.toml:1: "), ("\n\n]", "x.toml:3: ")] {
            let said = read("x", "x.toml", text).unwrap_err();
            assert!(said.starts_with(start) && !said.contains('\n'), "{said}");
        }
    }
}
