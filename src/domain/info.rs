//! `.info` answers: the JSON object that says which version a text stands for, and when that version was made.
//!
//! Nothing proves an `.info`: the checksum database records zips and go.mod files. What can be held is that a go command
//! reads it without an error, and as being about the version that it was sent for. So it is read here as that command
//! does (cmd/go/internal/modfetch, `RevInfo`, with encoding/json): names of fields fold case, also by Unicode's rules, and
//! there the *last* of two fields of one name counts. A reader that went by the exact name would see one version and
//! the client another.
//!
//! The bytes go on as they came. What is not known here is kept, and so is what cannot be judged: a `Time` may be wrong,
//! and a zone other than UTC is odd, but a go command takes it.

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::module::Version;

/// The string fields of `Origin` (cmd/go/internal/modfetch/codehost, `Origin`).
const ORIGIN: [&str; 8] = ["VCS", "URL", "Subdir", "Hash", "TagPrefix", "TagSum", "Ref", "RepoSum"];

/// The fields that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// `Version`, as it stands there.
    pub version: String,
    /// `Time`, as it stands there: RFC 3339.
    pub time: Option<String>,
}

/// Bytes that are no `.info`, and why: the end of a sentence that begins with what they were to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadInfo(String);

/// Reads an `.info`: JSON in UTF-8, one object with a `Version`, and with a `Time` in RFC 3339 if there is one.
///
/// # Errors
/// [`BadInfo`] for what a go command could not read, or could read in two ways.
pub fn parse(bytes: &[u8]) -> Result<Info, BadInfo> {
    // The parts of JSON that are passed over are not looked at closely enough to find this.
    std::str::from_utf8(bytes).map_err(|_| BadInfo("it is not UTF-8".into()))?;
    let fields: Fields<'_> =
        serde_json::from_slice(bytes).map_err(|error| BadInfo(format!("its JSON cannot be read ({error})")))?;
    match fields.time {
        Some(time) if !is_rfc3339(time) => {
            Err(BadInfo(format!("its Time {:?} is not an RFC 3339 time", time.chars().take(80).collect::<String>())))
        }
        time => Ok(Info { version: fields.version, time: time.map(Into::into) }),
    }
}

/// Checks the `.info` of a canonical version.
///
/// # Errors
/// As [`parse`], and for one about another version.
pub fn check(bytes: &[u8], version: &Version) -> Result<(), BadInfo> {
    let info = parse(bytes)?;
    if info.version == version.as_str() {
        return Ok(());
    }
    Err(BadInfo(format!("it is about the version {:?}", info.version.chars().take(80).collect::<String>())))
}

struct Fields<'a> {
    version: String,
    time: Option<&'a str>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Top)
    }
}

struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut version, mut time, mut origin) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let twice = match go_field(&key, &["Version", "Time", "Origin"]) {
                Some("Version") => version.replace(map.next_value::<String>()?).is_some(),
                // Borrowed, so without escapes: time.Time reads the text between the quotes as it is.
                Some("Time") => time.replace(map.next_value::<Option<&str>>()?).is_some(),
                Some(_) => origin.replace(map.next_value::<Option<Origin>>()?).is_some(),
                None => map.next_value::<IgnoredAny>().map(|_| false)?,
            };
            if twice {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
        }
        let version = version.ok_or_else(|| A::Error::missing_field("Version"))?;
        Ok(Fields { version, time: time.flatten() })
    }
}

/// Where the version was found. Only looked at because a go command refuses the whole answer for a field of another type.
struct Origin;

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Origin {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object for Origin")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match go_field(&key, &ORIGIN) {
                Some(_) => map.next_value::<Option<String>>().map(drop)?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(self)
    }
}

/// The field that encoding/json takes `key` for (`foldName`: Unicode's simple folding, by which `ſ` is an s and the sign for
/// kelvin is a k).
fn go_field<'n>(key: &str, names: &[&'n str]) -> Option<&'n str> {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    names.iter().find(|name| key.chars().map(fold).eq(name.chars().map(fold))).copied()
}

/// Whether a text is an RFC 3339 date and time as Go's `time.Time` reads it from JSON (strictly since Go 1.20): a `T` and a `Z`
/// in capitals, no leap second.
fn is_rfc3339(text: &str) -> bool {
    fn read(text: &str) -> Option<bool> {
        let (date, time) = text.split_once('T')?;
        let [year, month, day] = date.split('-').collect::<Vec<_>>()[..] else { return None };
        let (clock, zone) = time.split_at(time.find(['Z', '+', '-'])?);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let [hour, minute, second] = clock.split(':').collect::<Vec<_>>()[..] else { return None };
        let (zone_hour, zone_minute) = if zone == "Z" { ("00", "00") } else { zone.get(1..)?.split_once(':')? };
        let fraction_fits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        let clock_fits = is_clock(hour, minute) && number(second, 2)? < 60 && fraction_fits;
        let day_fits = is_day(number(year, 4)?, number(month, 2)?, number(day, 2)?);
        Some(day_fits && clock_fits && is_clock(zone_hour, zone_minute))
    }
    read(text) == Some(true)
}

/// Exactly `count` decimal digits.
fn number(text: &str, count: usize) -> Option<u64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn is_clock(hour: &str, minute: &str) -> bool {
    number(hour, 2).is_some_and(|hour| hour < 24) && number(minute, 2).is_some_and(|minute| minute < 60)
}

/// Whether a day is in the calendar.
#[must_use]
pub fn is_day(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=last).contains(&day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(json: &str) -> String {
        check(json.as_bytes(), &Version::parse("v1.2.3").unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn fact_15_an_info_is_an_object_about_its_version() {
        let version = Version::parse("v1.2.3").unwrap();
        for good in [
            r#"{"Version":"v1.2.3"}"#,
            r#" {"Version": "v1.2.3", "Time": null, "Origin": null} "#,
            r#"{"Version":"v1.2.3","Time":"2019-05-01T00:00:00Z","Origin":{"VCS":"git","Hash":null,"new":[1]},"X":{}}"#,
            // What a go command takes, a mirror has no business to refuse.
            r#"{"version":"v1.2.3","TIME":"2019-05-01T02:00:00.5+02:00"}"#,
            r#"{"Version":"v1.2.\u0033"}"#,
        ] {
            assert_eq!(check(good.as_bytes(), &version), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "cannot be read"),
            ("null", "cannot be read"),
            (r#"["v1.2.3"]"#, "expected an object"),
            ("{}", "missing field `Version`"),
            (r#"{"Version":"v1.2.3"} {}"#, "trailing characters"),
            (r#"{"Version":null}"#, "cannot be read"),
            (r#"{"Version":"v1.2.4"}"#, "about the version \"v1.2.4\""),
            (r#"{"Version":"v1.2.3+x"}"#, "about the version"),
            (r#"{"Version":"v1.2.3","Version":"v1.2.4"}"#, "duplicate field `Version`"),
            (r#"{"Version":"v1.2.3","Time":"yesterday"}"#, "not an RFC 3339 time"),
            (r#"{"Version":"v1.2.3","Time":""}"#, "not an RFC 3339 time"),
            (r#"{"Version":"v1.2.3","Time":5}"#, "cannot be read"),
            // Go's time.Time does not unescape.
            (r#"{"Version":"v1.2.3","Time":"2019-05-01T00\u003a00:00Z"}"#, "cannot be read"),
            (r#"{"Version":"v1.2.3","Origin":5}"#, "expected an object for Origin"),
            (r#"{"Version":"v1.2.3","Origin":{"vcs":5}}"#, "cannot be read"),
        ] {
            assert!(refused(bad).contains(why), "{bad}: {}", refused(bad));
        }
        assert_eq!(check(b"{\"Version\":\"v1.2.3\",\"x\":\"\xff\"}", &version), Err(BadInfo("it is not UTF-8".into())));
    }

    #[test]
    fn fact_15_no_second_version_hides_behind_another_spelling() {
        // encoding/json believes the last one of each of these: seen with Go 1.26.
        for key in ["version", "VERSION", "ver\u{17f}ion", r"ver\u017fion", r"\u0056ersion"] {
            let json = format!(r#"{{"Version":"v1.2.3","{key}":"v9.9.9"}}"#);
            assert!(refused(&json).contains("duplicate field"), "{json}");
        }
        assert!(refused(r#"{"Version":"v1.2.3","Time":null,"tIme":null}"#).contains("duplicate field"));
        assert_eq!(go_field("Lin\u{212a}", &["Link"]), Some("Link"));
    }

    #[test]
    fn a_json_bomb_is_an_error_not_a_crash() {
        for open in ["[", "{\"a\":"] {
            let json = format!(r#"{{"Version":"v1.2.3","x":{}"#, open.repeat(60_000));
            assert!(parse(json.as_bytes()).is_err());
        }
    }

    #[test]
    fn rfc_3339_times_are_known() {
        for good in [
            "2019-05-01T00:00:00Z",
            "2019-05-01T23:59:59.123456789Z",
            "2020-02-29T01:02:03+05:30",
            "0001-01-01T00:00:00Z",
        ] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "2019-05-01",
            "2019-05-01 00:00:00Z",
            "2019-05-01t00:00:00z",
            "2019-13-01T00:00:00Z",
            "2019-02-29T00:00:00Z",
            "2019-05-01T00:00:00",
            "2019-05-01T00:00:00.Z",
            "2019-05-01T00:00:00,5Z",
            "2019-05-01T00:00:00+0530",
            "2019-05-01T00:00:00+24:00",
            "2019-05-01T00:00:00Zx",
            "+019-05-01T00:00:00Z",
            "2019-05-01T25:00:00Z",
            // Go's time has no leap seconds.
            "2019-05-01T23:59:60Z",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_text_beside_the_version_is_kept_or_refused(text in r#"[ -~]{0,60}"#) {
            let _ = parse(format!(r#"{{"Version":"v1.2.3",{text}}}"#).as_bytes());
        }
    }
}
