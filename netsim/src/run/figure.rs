//! What a run measures, what is demanded of it, and whether that holds.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::units::{self, Rate, Time};

/// In what a figure is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// A number of things.
    Count,
    /// A part, or a multiple, of something.
    Ratio,
    /// Seconds of virtual time.
    Seconds,
    /// Bytes per second.
    Rate,
}

/// Declares the figures: name in Rust, name in TOML and JSON, unit, meaning.
macro_rules! figures {
    ($($variant:ident $name:literal $unit:ident $meaning:literal)*) => {
        /// What a run measures.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub(crate) enum Figure {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        impl Figure {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in scenarios, tables and JSON.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// In what it is counted.
            pub(crate) fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)* }
            }

            /// What it says, for the table.
            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

figures! {
    Share "share" Ratio "share of the bound that was reached: the bound's time by that of the last one"
    Last "last" Seconds "when the last of those that count was complete"
    Median "median" Seconds "when half of them were complete"
    Completed "completed" Ratio "share of those that count that became complete"
    SeedEgress "seed-egress" Ratio "bytes that the first holder sent, by the bytes of the item"
    Waste "waste" Ratio "bytes that arrived in vain, by the bytes that were needed"
    Slowdown "slowdown" Ratio "time of the last one, by that of the same run without any fault"
    AfterHeal "after-heal" Seconds "from the end of the fault until the last one was complete"
    Wan "wan" Ratio "bytes of slices that crossed the thin line, by the bytes of the item"
    Stuck "stuck" Count "how often a node was told that nobody brings the item"
    Blamed "blamed" Count "how often an honest node blamed a neighbour"
    Components "components" Count "parts that the network falls into"
    DegreeFit "degree-fit" Ratio "share of the nodes with 8 to 12 neighbours"
    DegreeLeast "degree-least" Count "fewest neighbours of a node"
    DegreeMost "degree-most" Count "most neighbours of a node"
    DialsMean "dials-mean" Count "dials per node"
    DialsMost "dials-most" Count "most dials of one node"
    Connected "connected" Seconds "when the network was in one piece for good"
    Settled "settled" Seconds "when the last connection was made or closed"
    Beacons "beacons" Count "beacons per node"
    CatchUpBytes "catch-up-bytes" Ratio "bytes of a catch-up both ways, by the bytes of the manifests that were missing"
    CatchUpRounds "catch-up-rounds" Count "round trips of a catch-up"
    CatchUpTime "catch-up-time" Seconds "how long a catch-up took"
    Reach99 "reach-99" Seconds "when 99 of 100 nodes had heard of an announcement"
    ReachAll "reach-all" Seconds "when the last node had heard of it"
    Copies "copies" Ratio "copies of an announcement that a node received"
    Idle "idle" Rate "what a node sends per second when nothing happens, mean"
    IdleMost "idle-most" Rate "what the busiest node sends per second when nothing happens"
    IdlePeers "idle-peers" Rate "of that, what keeps connections alive: pings, identify, acknowledgements"
    IdleDiscovery "idle-discovery" Rate "of that, beacons and mDNS"
    IdleCatalog "idle-catalog" Rate "of that, reconciling catalogs that are alike"
    CutOff "cut-off" Seconds "from a revocation until the last connection with the revoked member was cut"
    Told "told" Ratio "share of the members that know of the revocation"
    DialsLate "dials-late" Count "most dials of one node in the second half of the time"
    Noticed "noticed" Ratio "share of the two machines with one identity that noticed it"
}

/// A figure's value for people.
pub(crate) fn show(unit: Unit, value: f64) -> String {
    match unit {
        _ if value.is_nan() => "-".into(),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.1}"),
        Unit::Ratio if value >= 100.0 => format!("{value:.0}"),
        Unit::Ratio => format!("{value:.3}"),
        Unit::Seconds => units::seconds(value),
        Unit::Rate => format!("{}/s", units::bytes(value)),
    }
}

/// Which of the values of several seeds a limit speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    /// The worst one: the limit holds for each run.
    #[default]
    Worst,
    /// The middle one.
    Median,
}

/// What is demanded of a figure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Limit {
    /// Not less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_least: Option<f64>,
    /// Not more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
    /// Of which value.
    pub(crate) of: Of,
}

impl Limit {
    fn holds(&self, value: f64) -> bool {
        self.at_least.is_none_or(|least| value >= least) && self.at_most.is_none_or(|most| value <= most)
    }

    /// `>= 0.85`
    pub(crate) fn show(&self, unit: Unit) -> String {
        let least = self.at_least.map(|least| format!(">= {}", show(unit, least)));
        let most = self.at_most.map(|most| format!("<= {}", show(unit, most)));
        [least, most].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A limit as it is written: bare numbers for counts and ratios, quantities with a unit for the others.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawLimit {
    at_least: Option<Quantity>,
    at_most: Option<Quantity>,
    #[serde(default)]
    of: Of,
}

impl RawLimit {
    /// Checks that the quantities are of the figure's unit.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(crate) fn check(self, figure: Figure) -> Result<Limit, String> {
        if self.at_least.is_none() && self.at_most.is_none() {
            return Err(format!("the limit of `{}` says neither at-least nor at-most", figure.name()));
        }
        let value = |quantity: Quantity| quantity.of_unit(figure.unit());
        let (at_least, at_most) = (self.at_least.map(value).transpose(), self.at_most.map(value).transpose());
        let wrong = |example: &str| format!("the limit of `{}` is written as in {example}", figure.name());
        match (at_least, at_most) {
            (Ok(at_least), Ok(at_most)) => Ok(Limit { at_least, at_most, of: self.of }),
            (Err(example), _) | (_, Err(example)) => Err(wrong(example)),
        }
    }
}

/// A number, or a quantity with a unit.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Quantity {
    Number(f64),
    Time(Duration),
    Rate(u64),
}

impl Quantity {
    /// The value in the figure's unit, or how one would be written.
    #[allow(clippy::cast_precision_loss, reason = "limits are below 2^53")]
    fn of_unit(self, unit: Unit) -> Result<f64, &'static str> {
        match (self, unit) {
            (Self::Number(value), Unit::Count | Unit::Ratio) => Ok(value),
            (Self::Time(time), Unit::Seconds) => Ok(time.as_secs_f64()),
            (Self::Rate(rate), Unit::Rate) => Ok(rate as f64),
            (_, Unit::Count | Unit::Ratio) => Err("0.85"),
            (_, Unit::Seconds) => Err("\"5s\""),
            (_, Unit::Rate) => Err("\"100B/s\""),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a quantity as in \"5s\"")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantity, E> {
                Ok(Quantity::Number(value))
            }

            #[allow(clippy::cast_precision_loss, reason = "limits are below 2^53")]
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity::Number(value as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                let time = Time::try_from(text.to_owned()).map(|time| Quantity::Time(time.0));
                let rate = || Rate::try_from(text.to_owned()).map(|rate| Quantity::Rate(rate.0));
                time.or_else(|_| rate())
                    .map_err(|_| E::custom(format!("`{text}` is not a quantity; write it as in 5s or 100B/s")))
            }
        }
        from.deserialize_any(Any)
    }
}

/// A limit beside what was measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Check {
    /// Of which figure.
    pub(crate) figure: Figure,
    /// The value that the limit speaks of; `None` (null) if a run did not measure it, which breaks the limit.
    pub(crate) value: Option<f64>,
    /// What is demanded.
    pub(crate) limit: Limit,
    /// Whether it holds.
    pub(crate) holds: bool,
}

impl Check {
    /// Holds the values of all runs against a limit.
    pub(crate) fn new(figure: Figure, values: &[Option<f64>], limit: Limit) -> Self {
        let all: Option<Vec<f64>> = values.iter().copied().map(|value| value.filter(|v| !v.is_nan())).collect();
        let value = all.filter(|all| !all.is_empty()).map(|all| match limit.of {
            Of::Median => median(&all),
            Of::Worst => all.iter().copied().find(|value| !limit.holds(*value)).unwrap_or_else(|| worst(&all, &limit)),
        });
        Self { figure, value, limit, holds: value.is_some_and(|value| limit.holds(value)) }
    }
}

/// The one nearest to the limit.
fn worst(values: &[f64], limit: &Limit) -> f64 {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if limit.at_least.is_some() { low } else { high }
}

/// The one in the middle; of an even count the lower one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// What one run measured: each figure once, in the order in which they are shown.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<(Figure, f64)>);

impl Figures {
    /// Adds one.
    pub(crate) fn put(&mut self, figure: Figure, value: f64) {
        debug_assert!(self.get(figure).is_none(), "{} is measured twice", figure.name());
        self.0.push((figure, value));
    }

    /// The value of one.
    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        self.0.iter().find(|(found, _)| *found == figure).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(at_least: Option<f64>, at_most: Option<f64>, of: Of) -> Limit {
        Limit { at_least, at_most, of }
    }

    #[test]
    fn a_limit_holds_for_each_run_or_for_the_middle_one() {
        let values = [Some(0.9), Some(0.8), Some(0.95)];
        let table = [
            (limit(Some(0.85), None, Of::Median), 0.9, true),
            (limit(Some(0.85), None, Of::Worst), 0.8, false),
            (limit(Some(0.7), None, Of::Worst), 0.8, true),
            (limit(None, Some(0.94), Of::Worst), 0.95, false),
            (limit(None, Some(1.0), Of::Worst), 0.95, true),
            (limit(Some(0.85), Some(1.0), Of::Worst), 0.8, false),
            (limit(Some(0.1), Some(0.94), Of::Worst), 0.95, false),
        ];
        for (limit, value, holds) in table {
            let check = Check::new(Figure::Share, &values, limit);
            assert_eq!((check.value, check.holds), (Some(value), holds), "{limit:?}");
        }
    }

    #[test]
    fn what_was_not_measured_holds_no_limit() {
        let any = limit(None, Some(1e9), Of::Worst);
        for values in [&[][..], &[None], &[Some(1.0), None], &[Some(f64::NAN)]] {
            let check = Check::new(Figure::Last, values, any);
            assert_eq!((check.value, check.holds), (None, false), "{values:?}");
        }
    }

    #[test]
    fn each_figure_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Figure::ALL.iter().map(|figure| figure.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Figure::ALL.len());
        for figure in Figure::ALL {
            assert_eq!(serde_json::to_value(figure).unwrap(), figure.name());
            assert!(!figure.meaning().is_empty());
        }
    }

    #[test]
    fn the_middle_of_an_even_count_is_the_lower_one() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.0);
        assert_eq!(median(&[5.0]), 5.0);
        assert!(median(&[]).is_nan());
    }
}
