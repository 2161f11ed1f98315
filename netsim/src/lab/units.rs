//! Rates and times as people write them.

use std::time::Duration;

/// Reads `100mbit`, `4mbit`, `1gbit`, `512kbit`: bits per second, powers of ten, as `tc` has them.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return Err("write a number and kbit, mbit or gbit, as in 100mbit".into()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(bits) if (8_000..=100_000_000_000).contains(&bits) => Ok(bits),
        _ => Err("a rate is between 8kbit and 100gbit".into()),
    }
}

/// Reads `100ms`, `30s`, `5m`: a whole number and a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("write a whole number and ms, s or m, as in 100ms".into()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)) {
        Some(millis) if millis <= 24 * 3_600_000 => Ok(Duration::from_millis(millis)),
        _ => Err("a time is a day at most".into()),
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Megabits per second of so many bytes in so long.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn megabits(bytes: u64, time: Duration) -> f64 {
    bytes as f64 * 8.0 / 1e6 / time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit_and_are_neither_nothing_nor_absurd() {
        for (text, bits) in [("100mbit", 100_000_000), ("4Mbit", 4_000_000), ("1gbit", 1_000_000_000), ("8kbit", 8_000)]
        {
            assert_eq!(rate(text), Ok(bits), "{text}");
        }
        for text in
            ["", "100", "mbit", "0mbit", "7kbit", "101gbit", "-1mbit", "1.5mbit", "1mb", "99999999999999999999kbit"]
        {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_unit_and_end_within_a_day() {
        for (text, millis) in [("100ms", 100), ("0ms", 0), ("30s", 30_000), ("5m", 300_000), ("1440m", 86_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "1.5s", "-1s", "1h", "1441m", "99999999999999999999ms"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
