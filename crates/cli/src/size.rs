//! A number of bytes, as people write it: `67108864`, `64MiB`, `10GB`.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

#[derive(Debug, PartialEq, Eq)]
pub struct BadSize;

impl fmt::Display for BadSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a whole number of bytes, with KiB, MiB, GiB, TiB or kB, MB, GB, TB behind it if you like")
    }
}

impl std::error::Error for BadSize {}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = BadSize;

    fn from_str(given: &str) -> Result<Size, BadSize> {
        let digits = given.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = given[digits.len()..].trim_start();
        let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => return Err(BadSize),
        };
        // A sign is no digit.
        let number: u64 = if digits.starts_with('+') { Err(BadSize) } else { digits.parse().map_err(|_| BadSize) }?;
        number.checked_mul(factor).map(Size).ok_or(BadSize)
    }
}

/// Exact: in the largest binary unit that divides it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(name, factor)| name.contains('i') && self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_perhaps_a_unit() {
        let cases = [
            ("0", 0),
            ("1", 1),
            ("12B", 12),
            ("1KiB", 1024),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("2kB", 2000),
            ("1TB", 1_000_000_000_000),
        ];
        for (given, wanted) in cases {
            assert_eq!(given.parse(), Ok(Size(wanted)), "{given}");
        }
        for given in ["", "MiB", "-1", "+1", "1.5MiB", "1 M", "1K", "0x10", "99999999TiB", "1MiB1", "\u{663}"] {
            assert_eq!(given.parse::<Size>(), Err(BadSize), "{given}");
        }
    }

    #[test]
    fn what_is_shown_is_exact_and_reads_back() {
        for (bytes, wanted) in
            [(0, "0"), (1, "1"), (1500, "1500"), (1 << 20, "1MiB"), (3 << 29, "1536MiB"), ((1 << 20) + 1, "1048577")]
        {
            assert_eq!(Size(bytes).to_string(), wanted);
            assert_eq!(wanted.parse(), Ok(Size(bytes)));
        }
    }
}
