//! Quantities with their units, as a scenario writes them: `21MB`, `1MiB`, `100Mbit`, `100B/s`, `10min`, `30d`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A number and the unit behind it, with a table of units.
fn split<'u>(text: &str, units: &'u [(&'u str, f64)]) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let number: f64 = number.parse().ok()?;
    Some(number * factor)
}

/// Bytes, 1 B to 1 TB; powers of ten without an `i`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(pub(crate) u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: &[(&str, f64)] = &[
            ("B", 1.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
        ];
        match split(&text, UNITS) {
            Some(bytes) if (1.0..=1e12).contains(&bytes) => Ok(Self(whole(bytes))),
            _ => Err(format!("`{text}` is not a size; write it as in 21MB or 1MiB, at most 1000GB")),
        }
    }
}

/// Bytes per second of a line, 1 B/s to 1 Tbit/s.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Rate(pub(crate) u64);

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: &[(&str, f64)] = &[
            ("kbit", 125.0),
            ("Mbit", 125e3),
            ("Gbit", 125e6),
            ("B/s", 1.0),
            ("kB/s", 1e3),
            ("MB/s", 1e6),
            ("GB/s", 1e9),
        ];
        match split(&text, UNITS) {
            Some(rate) if (1.0..=125e9).contains(&rate) => Ok(Self(whole(rate))),
            _ => Err(format!("`{text}` is not a rate; write it as in 100Mbit or 12MB/s, at most 1000Gbit")),
        }
    }
}

/// A time, 0 to a year.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Default)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: &[(&str, f64)] =
            &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];
        match split(&text, UNITS) {
            Some(seconds) if (0.0..=366.0 * 86_400.0).contains(&seconds) => {
                Ok(Self(Duration::from_micros(whole(seconds * 1e6))))
            }
            _ => Err(format!("`{text}` is not a time; write it as in 200ms or 10min, at most 366d")),
        }
    }
}

/// A part of a whole, 0 to 1; written as a number or as `20%`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub(crate) struct Share(pub(crate) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share, as in 0.2 or \"20%\"")
            }

            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
                if (0.0..=1.0).contains(&share) {
                    Ok(Share(share))
                } else {
                    Err(E::custom(format!("{share} is not a share; it lies between 0 and 1")))
                }
            }

            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
                match share {
                    0 => Ok(Share(0.0)),
                    1 => Ok(Share(1.0)),
                    _ => Err(E::custom(format!("{share} is not a share; it lies between 0 and 1"))),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                match split(text, &[("%", 0.01)]) {
                    Some(share) if (0.0..=1.0).contains(&share) => Ok(Share(share)),
                    _ => Err(E::custom(format!("`{text}` is not a share; write it as in 0.2 or 20%"))),
                }
            }
        }
        from.deserialize_any(Either)
    }
}

/// To the next whole number; the callers have checked the range.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be between 0 and 4e13")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Bytes for people: `21.0 MB`.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn bytes(count: f64) -> String {
    match count {
        few if few < 1e3 => format!("{few:.0} B"),
        some if some < 1e6 => format!("{:.1} kB", some / 1e3),
        many if many < 1e9 => format!("{:.1} MB", many / 1e6),
        many => format!("{:.2} GB", many / 1e9),
    }
}

/// Seconds for people: `12 ms`, `3.42 s`, `10.5 min`.
pub(crate) fn seconds(time: f64) -> String {
    match time {
        0.0 => "0 s".into(),
        short if short < 1.0 => format!("{:.1} ms", short * 1e3),
        some if some < 120.0 => format!("{some:.2} s"),
        long if long < 7200.0 => format!("{:.1} min", long / 60.0),
        long if long < 2.0 * 86_400.0 => format!("{:.1} h", long / 3600.0),
        long => format!("{:.1} d", long / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_carry_their_unit() {
        for (text, bytes) in
            [("21MB", 21_000_000), ("1MiB", 1 << 20), ("256KiB", 256 << 10), ("1.5kB", 1500), ("7B", 7)]
        {
            assert_eq!(Size::try_from(text.to_owned()), Ok(Size(bytes)), "{text}");
        }
        for (text, rate) in [("100Mbit", 12_500_000), ("4Mbit", 500_000), ("1Gbit", 125_000_000), ("100B/s", 100)] {
            assert_eq!(Rate::try_from(text.to_owned()), Ok(Rate(rate)), "{text}");
        }
        for (text, millis) in [("10min", 600_000), ("1ms", 1), ("0s", 0), ("30d", 2_592_000_000), ("1.5s", 1500)] {
            assert_eq!(Time::try_from(text.to_owned()), Ok(Time(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        for text in ["", "MB", "21", "21 MB", "21mb", "-1MB", "1.2.3MB", "0B", "5000GB", "1e3B", "∞MB"] {
            assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in ["", "100", "100MBit", "0Mbit", "9999Gbit"] {
            assert!(Rate::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in ["", "1", "1m", "2y", "367d", "-1s"] {
            assert!(Time::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn figures_are_told_in_a_unit_that_fits() {
        for (value, text) in [(0.0, "0 s"), (0.0123, "12.3 ms"), (3.424, "3.42 s"), (630.0, "10.5 min"), (9e3, "2.5 h")]
        {
            assert_eq!(seconds(value), text);
        }
        for (value, text) in [(999.0, "999 B"), (21e6, "21.0 MB"), (3.2e9, "3.20 GB")] {
            assert_eq!(bytes(value), text);
        }
    }
}
