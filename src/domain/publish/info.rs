//! The `.info` file of a version.

use crate::domain::module::Version;

/// The last second with a year of four digits, 9999-12-31T23:59:59Z: RFC 3339 has no later one.
const LAST_SECOND: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

/// The bytes of `.info` (golang.org/ref/mod#goproxy-protocol): version, and time to the second in UTC.
///
/// `unix_seconds` is when it was published; from the year 10000 on it is the last second before. A pseudo-version has the
/// time of its commit in it, which the go command shows, so for such a version that is the time.
#[must_use]
pub fn info(version: &Version, unix_seconds: u64) -> Vec<u8> {
    let time = version.pseudo_time().unwrap_or_else(|| rfc3339(unix_seconds.min(LAST_SECOND)));
    format!(r#"{{"Version":"{version}","Time":"{time}"}}"#).into_bytes()
}

/// The day of a time in UTC, `2026-01-02`.
#[must_use]
pub fn date_text(unix_seconds: u64) -> String {
    let (year, month, day) = date(unix_seconds.min(LAST_SECOND) / DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time in the form of RFC 3339, in UTC.
fn rfc3339(unix_seconds: u64) -> String {
    let (year, month, day) = date(unix_seconds / DAY);
    let second = unix_seconds % DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01. Counted from a 1 March at the start of a cycle
/// of 400 years, so that a leap day is the last day of its year, century and cycle.
fn date(days: u64) -> (u64, u64, u64) {
    const BEFORE_1970: u64 = 719_468;
    const YEAR: u64 = 365;
    const FOUR_YEARS: u64 = 1461;
    const CENTURY: u64 = 36_524;
    const CYCLE: u64 = 146_097;
    let days = days + BEFORE_1970;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let year = (day - day / (FOUR_YEARS - 1) + day / CENTURY - day / (CYCLE - 1)) / YEAR;
    let day = day - (YEAR * year + year / 4 - year / 100);
    // Months of 31, 30, 31, 30, 31 days, over and over.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: &str, unix_seconds: u64) -> String {
        String::from_utf8(info(&Version::parse(version).unwrap(), unix_seconds)).unwrap()
    }

    #[test]
    fn info_has_the_version_and_the_time_in_utc() {
        assert_eq!(at("v1.2.3", 1_767_323_045), r#"{"Version":"v1.2.3","Time":"2026-01-02T03:04:05Z"}"#);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // Computed with `date -u -d @SECONDS +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_599, "1972-02-28T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST_SECOND, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
        assert_eq!(at("v1.0.0", u64::MAX), at("v1.0.0", LAST_SECOND));
    }

    #[test]
    fn every_day_of_four_centuries_has_the_date_after_the_one_before() {
        let mut before = (1969, 12, 31);
        for day in 0..146_097 {
            let (year, month, last) = before;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days =
                [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][usize::try_from(month).unwrap() - 1];
            let next = if last < days { (year, month, last + 1) } else { (year + month / 12, month % 12 + 1, 1) };
            before = date(day);
            assert_eq!(before, next);
        }
    }

    #[test]
    fn a_pseudo_version_has_the_time_of_its_commit() {
        let info = at("v0.0.0-20190510104115-cbcb75029529", 1_767_323_045);
        assert_eq!(info, r#"{"Version":"v0.0.0-20190510104115-cbcb75029529","Time":"2019-05-10T10:41:15Z"}"#);
    }
}
