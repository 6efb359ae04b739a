//! Whole numbers in JSON. It has one kind of number, so `7.0` and `7e0` are whole too; beyond 2^53 such a
//! number may have been rounded on its way, and is refused.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Whole<N>(pub N);

const EXACT_MAX: f64 = (1_u64 << 53) as f64;

impl<'de, N: TryFrom<i128>> Deserialize<'de> for Whole<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Number(PhantomData)).map(Whole)
    }
}

struct Number<N>(PhantomData<N>);

impl<N: TryFrom<i128>> Number<N> {
    fn fitting<E: Error>(self, number: i128, given: Unexpected<'_>) -> Result<N, E> {
        N::try_from(number).map_err(|_| E::invalid_value(given, &self))
    }
}

impl<N: TryFrom<i128>> Visitor<'_> for Number<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<N>())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<N, E> {
        self.fitting(number.into(), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<N, E> {
        self.fitting(number.into(), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<N, E> {
        if number.fract() != 0.0 || number.abs() > EXACT_MAX {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        self.fitting(number as i128, Unexpected::Float(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        let read = |text: &str| serde_json::from_str::<Whole<u64>>(text).map(|Whole(number)| number);
        for (text, wanted) in [("7", 7), ("7.0", 7), ("7e0", 7), ("-0.0", 0), ("18446744073709551615", u64::MAX)] {
            assert_eq!(read(text).unwrap(), wanted, "{text}");
        }
        assert_eq!(serde_json::from_str::<Whole<i64>>("-3.0").unwrap(), Whole(-3));
        // To the last digit, up to where it is exact.
        for number in [(1 << 51) - 1, (1 << 52) - 1, (1 << 53) - 1, 1 << 53, 4_503_599_627_370_497_u64] {
            assert_eq!(read(&format!("{number}.0")).unwrap(), number);
        }
        let cases = [
            ("7.5", "invalid type: floating point `7.5`, expected u64"),
            ("-1", "invalid value: integer `-1`, expected u64"),
            ("-1.0", "invalid value: floating point `-1.0`, expected u64"),
            ("18446744073709551616", "invalid type: floating point `1.8446744073709552e+19`, expected u64"),
            ("9007199254740994.0", "invalid type: floating point `9007199254740994.0`, expected u64"),
            ("\"7\"", "invalid type: string \"7\", expected u64"),
            ("null", "invalid type: null, expected u64"),
        ];
        for (text, wanted) in cases {
            assert!(read(text).unwrap_err().to_string().starts_with(wanted), "{text}: {:?}", read(text));
        }
        let too_large = serde_json::from_str::<Whole<u32>>("4294967296").unwrap_err().to_string();
        assert!(too_large.starts_with("invalid value: integer `4294967296`, expected u32"), "{too_large}");
    }
}
