//! Times and spans as people write them: `2026-11-24T10:00:00Z`, `@1764000000`, `-1h`; `7d`, `1h30m`.

use jiff::{Span, SpanRelativeTo, Timestamp};
use std::str::FromStr;

/// A point in time, perhaps told from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Milliseconds since 1970.
    At(i64),
    /// Milliseconds before now.
    Ago(i64),
}

#[derive(Debug, PartialEq, Eq)]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(given: &str) -> Result<Moment, NoMoment> {
        if let Some(seconds) = given.strip_prefix('@') {
            let seconds: i64 = seconds.parse().map_err(|_| NoMoment)?;
            return seconds.checked_mul(1000).map(Moment::At).ok_or(NoMoment);
        }
        if let Some(ago) = given.strip_prefix('-') {
            let Age(ms) = ago.parse().map_err(|_| NoMoment)?;
            return i64::try_from(ms).map(Moment::Ago).map_err(|_| NoMoment);
        }
        given.parse().map(|at: Timestamp| Moment::At(at.as_millisecond())).map_err(|_| NoMoment)
    }
}

impl Moment {
    /// Milliseconds since 1970.
    pub fn since_1970_ms(self, now_ms: u64) -> i64 {
        match self {
            Moment::At(ms) => ms,
            Moment::Ago(ms) => i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(ms),
        }
    }
}

/// How old: milliseconds, with days of 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub u64);

#[derive(Debug, PartialEq, Eq)]
pub struct BadAge;

impl std::fmt::Display for BadAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected a number of weeks, days, hours, minutes or seconds, such as 7d, 12h or 1h30m")
    }
}

impl std::error::Error for BadAge {}

impl FromStr for Age {
    type Err = BadAge;

    fn from_str(given: &str) -> Result<Age, BadAge> {
        // No sign, and no ISO 8601: one way to say it is enough.
        if !given.starts_with(|c: char| c.is_ascii_digit()) || given.ends_with("ago") {
            return Err(BadAge);
        }
        let span: Span = given.parse().map_err(|_| BadAge)?;
        let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| BadAge)?;
        u64::try_from(duration.as_millis()).map(Age).map_err(|_| BadAge)
    }
}

/// Exact: in the largest unit that divides it.
impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match UNITS.iter().find(|(_, ms)| self.0 > 0 && self.0.is_multiple_of(*ms)) {
            Some((unit, ms)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// As it is printed; what is no date is the number.
pub fn shown(since_1970_ms: i64) -> String {
    Timestamp::from_millisecond(since_1970_ms).map_or_else(|_| format!("{since_1970_ms} ms"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_seconds_or_told_from_now() {
        let cases = [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T02:00:00.5+02:00", 500),
            ("@2", 2000),
            ("@-1", -1000),
            ("-1h", 10_000_000 - 3_600_000),
            ("-0s", 10_000_000),
        ];
        for (given, wanted) in cases {
            assert_eq!(given.parse().map(|moment: Moment| moment.since_1970_ms(10_000_000)), Ok(wanted), "{given}");
        }
        for given in ["", "yesterday", "1h", "-1", "--1h", "@", "@1.5", "2026-11-24", "2026-11-24T10:00:00", "-1x"] {
            assert_eq!(given.parse::<Moment>(), Err(NoMoment), "{given}");
        }
        assert_eq!(shown(1500), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn an_age_is_exact_and_reads_back() {
        for (given, ms, back) in [
            ("7d", 604_800_000, "7d"),
            ("1w", 604_800_000, "7d"),
            ("1h30m", 5_400_000, "90m"),
            ("1500ms", 1500, "1500ms"),
        ] {
            assert_eq!(given.parse(), Ok(Age(ms)), "{given}");
            assert_eq!(Age(ms).to_string(), back);
            assert_eq!(back.parse(), Ok(Age(ms)));
        }
        for given in ["", "7", "-7d", "7d ago", "d", "P7D", "one day"] {
            assert_eq!(given.parse::<Age>(), Err(BadAge), "{given}");
        }
    }
}
