//! What stands behind the `?`: every name known and given once, every value within its range.

use seedlog_api::v1::{ConsumeRequest, Start};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    #[error("there is no query parameter {name:?} here{}", known_ones(known))]
    Unknown { name: String, known: &'static [&'static str] },
    #[error("the query parameter {name} is given more than once")]
    Repeated { name: &'static str },
    #[error("{name} is {given:?}, it must be {expected}")]
    Value { name: &'static str, given: String, expected: String },
    #[error("{what}")]
    Combination { name: &'static str, what: &'static str },
}

fn known_ones(known: &[&str]) -> String {
    if known.is_empty() { ", it takes none".to_owned() } else { format!(", there is {}", known.join(", ")) }
}

/// The parameters of a request, by name.
#[derive(Debug, Default)]
pub struct Query {
    given: Vec<(&'static str, String)>,
}

impl Query {
    pub fn parse(raw: Option<&str>, known: &'static [&'static str]) -> Result<Query, BadQuery> {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(BadQuery::Unknown { name: name.into_owned(), known });
            };
            if query.text(name).is_some() {
                return Err(BadQuery::Repeated { name });
            }
            query.given.push((name, value.into_owned()));
        }
        Ok(query)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    pub fn number<N>(&self, name: &'static str, range: RangeInclusive<N>) -> Result<Option<N>, BadQuery>
    where
        N: FromStr + PartialOrd + Display,
    {
        let Some(given) = self.text(name) else { return Ok(None) };
        match number(given) {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(BadQuery::Value { name, given: given.to_owned(), expected })
            }
        }
    }

    /// Which of `choices`, by its place.
    pub fn choice(&self, name: &'static str, choices: &[&str]) -> Result<Option<usize>, BadQuery> {
        let Some(given) = self.text(name) else { return Ok(None) };
        match choices.iter().position(|choice| *choice == given) {
            Some(place) => Ok(Some(place)),
            None => {
                let expected = choices.join(" or ");
                Err(BadQuery::Value { name, given: given.to_owned(), expected })
            }
        }
    }

    /// Where to start: at `offset`, or as `start` says; with neither, at the earliest.
    pub fn start(&self) -> Result<ConsumeRequest, BadQuery> {
        const STARTS: [&str; 4] = ["offset", "earliest", "latest", "time"];
        let wrong = |name, what| Err(BadQuery::Combination { name, what });
        let offset = self.number("offset", 0..=u64::MAX)?;
        let time = self.number("start_time_ms", i64::MIN..=i64::MAX)?;
        let start = match self.choice("start", &STARTS)? {
            Some(place) => STARTS[place],
            None if offset.is_some() => "offset",
            None => "earliest",
        };
        if start == "time" && time.is_none() {
            return wrong("start_time_ms", "start=time is given without start_time_ms");
        }
        if start != "time" && time.is_some() {
            return wrong("start_time_ms", "start_time_ms is given without start=time");
        }
        if start == "offset" && offset.is_none() {
            return wrong("offset", "start=offset is given without offset");
        }
        if start != "offset" && offset.is_some() {
            return wrong("offset", "offset is given, and start says otherwise: leave one of them out");
        }
        let start = match start {
            "offset" => Start::Offset,
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            _ => Start::Time,
        };
        Ok(ConsumeRequest {
            start: start.into(),
            offset: offset.unwrap_or_default(),
            start_time_ms: time.unwrap_or_default(),
            ..ConsumeRequest::default()
        })
    }

    /// Whether values that are text come as text.
    pub fn values_as_text(&self) -> Result<bool, BadQuery> {
        Ok(self.choice("values", &["base64", "text"])? == Some(1))
    }
}

/// Rust takes a leading plus sign, JSON and people do not.
pub fn number<N: FromStr>(given: &str) -> Option<N> {
    given.parse().ok().filter(|_| !given.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[&str] = &["offset", "start", "start_time_ms", "max_records", "values"];

    fn start(raw: &str) -> Result<(Start, u64, i64), BadQuery> {
        let request = Query::parse(Some(raw), KNOWN)?.start()?;
        Ok((request.start(), request.offset, request.start_time_ms))
    }

    #[test]
    fn a_start_is_an_offset_or_a_word() {
        assert_eq!(start(""), Ok((Start::Earliest, 0, 0)));
        assert_eq!(start("offset=7"), Ok((Start::Offset, 7, 0)));
        assert_eq!(start("start=offset&offset=18446744073709551615"), Ok((Start::Offset, u64::MAX, 0)));
        assert_eq!(start("start=latest"), Ok((Start::Latest, 0, 0)));
        assert_eq!(start("start=time&start_time_ms=-1"), Ok((Start::Time, 0, -1)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_what_it_may_be() {
        let cases = [
            ("ofset=1", "there is no query parameter \"ofset\" here, there is offset, start,"),
            ("offset=1&offset=2", "the query parameter offset is given more than once"),
            ("offset=-1", "offset is \"-1\", it must be a whole number from 0 to 18446744073709551615"),
            ("offset=18446744073709551616", "offset is \"18446744073709551616\", it must be"),
            ("offset=%2B1", "offset is \"+1\""),
            ("offset=", "offset is \"\""),
            ("offset=1%FF", "offset is \"1\u{fffd}\""),
            ("start=first", "start is \"first\", it must be offset or earliest or latest or time"),
            ("start=time", "start=time is given without start_time_ms"),
            ("start_time_ms=1", "start_time_ms is given without start=time"),
            ("start=offset", "start=offset is given without offset"),
            ("start=latest&offset=1", "offset is given, and start says otherwise"),
        ];
        for (raw, wanted) in cases {
            let message = start(raw).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{raw}: {message}");
        }
        let none = Query::parse(Some("verbose"), &[]).unwrap_err().to_string();
        assert_eq!(none, "there is no query parameter \"verbose\" here, it takes none");
    }

    proptest! {
        #[test]
        fn any_query_is_understood_or_refused_by_name(
            raw in r"((offset|start|start_time_ms|values|x|%6Fffset)=?[a-z0-9%+\-=;\x{80}-\x{ff}]{0,12}&?){0,4}"
        ) {
            if let Err(error) = Query::parse(Some(&raw), KNOWN).and_then(|query| query.start()) {
                let message = error.to_string();
                prop_assert!(KNOWN.iter().any(|name| message.contains(name)), "{raw}: {message}");
            }
        }
    }
}
