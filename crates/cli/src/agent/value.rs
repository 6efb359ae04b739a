//! The kinds of values a setting can have, each read from text (a flag, the environment) or from a value
//! of a configuration file.

use crate::host_port::HostPort;
use crate::moment::Age;
use crate::size::Size;
use serde_json::{Value as Json, json};
use std::path::PathBuf;

pub trait Value: Sized {
    /// Goes on after "expected".
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    /// Text is text in a file too; what else it may be, each kind says.
    fn from_file(value: &Json) -> Option<Self> {
        value.as_str().and_then(Self::from_text)
    }

    fn shown(&self) -> Json;

    /// The same for people; what it says reads back as the same value.
    fn written(&self) -> String {
        toml_of(&self.shown())
    }
}

/// A file or directory.
impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Option<PathBuf> {
        (!text.is_empty()).then(|| text.into())
    }

    fn shown(&self) -> Json {
        json!(self.display().to_string())
    }
}

impl Value for String {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    fn from_file(value: &Json) -> Option<bool> {
        value.as_bool()
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

/// A port.
impl Value for u16 {
    const EXPECTED: &'static str = "a port, 0 to 65535";

    fn from_text(text: &str) -> Option<u16> {
        text.parse().ok()
    }

    fn from_file(value: &Json) -> Option<u16> {
        value.as_u64().and_then(|number| number.try_into().ok())
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

/// Milliseconds.
impl Value for u64 {
    const EXPECTED: &'static str = "a whole number of milliseconds";

    fn from_text(text: &str) -> Option<u64> {
        text.parse().ok()
    }

    fn from_file(value: &Json) -> Option<u64> {
        value.as_u64()
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

impl Value for Size {
    const EXPECTED: &'static str =
        "a whole number of bytes, or one with a unit such as 64MiB (KiB, MiB, GiB; kB, MB, GB)";

    fn from_text(text: &str) -> Option<Size> {
        text.parse().ok()
    }

    fn from_file(value: &Json) -> Option<Size> {
        match value {
            Json::String(text) => text.parse().ok(),
            number => number.as_u64().map(Size),
        }
    }

    fn shown(&self) -> Json {
        json!(self.0)
    }

    fn written(&self) -> String {
        let text = self.to_string();
        if text.ends_with('B') { toml_of(&json!(text)) } else { text }
    }
}

impl Value for HostPort {
    const EXPECTED: &'static str = "host:port, such as 127.0.0.1:8401, node-1.example:8401 or [::1]:8401";

    fn from_text(text: &str) -> Option<HostPort> {
        text.parse().ok()
    }

    fn shown(&self) -> Json {
        json!(self.to_string())
    }
}

/// Somewhere, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeHostPort(pub Option<HostPort>);

impl Value for MaybeHostPort {
    const EXPECTED: &'static str = "host:port, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080, or `none`";

    fn from_text(text: &str) -> Option<MaybeHostPort> {
        if text == "none" { Some(MaybeHostPort(None)) } else { text.parse().ok().map(Some).map(MaybeHostPort) }
    }

    fn shown(&self) -> Json {
        json!(self.0.as_ref().map_or("none".to_owned(), HostPort::to_string))
    }
}

impl Value for Vec<HostPort> {
    const EXPECTED: &'static str = "a list of host:port, such as node-1:8401,node-2:8401";

    /// Separated by commas.
    fn from_text(text: &str) -> Option<Vec<HostPort>> {
        text.split(',').filter(|one| !one.is_empty()).map(|one| one.trim().parse().ok()).collect()
    }

    fn from_file(value: &Json) -> Option<Vec<HostPort>> {
        match value {
            Json::Array(all) => all.iter().map(HostPort::from_file).collect(),
            value => value.as_str().and_then(Self::from_text),
        }
    }

    fn shown(&self) -> Json {
        self.iter().map(HostPort::to_string).collect()
    }
}

/// Names of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Value for Names {
    const EXPECTED: &'static str = "a list of names, such as node-1,node-2,node-3";

    /// Separated by commas.
    fn from_text(text: &str) -> Option<Names> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Some(Names(names.map(str::to_owned).collect()))
    }

    fn from_file(value: &Json) -> Option<Names> {
        match value {
            Json::Array(all) => {
                all.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>().map(Names)
            }
            value => value.as_str().and_then(Self::from_text),
        }
    }

    fn shown(&self) -> Json {
        json!(self.0)
    }
}

impl Value for Age {
    const EXPECTED: &'static str = "a number of weeks, days, hours, minutes or seconds, such as 7d, 12h or 1h30m";

    fn from_text(text: &str) -> Option<Age> {
        text.parse().ok()
    }

    fn shown(&self) -> Json {
        json!(self.to_string())
    }
}

/// Scalars and lists of them are written alike in JSON and TOML, but for some strings.
fn toml_of(value: &Json) -> String {
    match value {
        Json::String(text) => toml::Value::String(text.clone()).to_string(),
        Json::Array(all) => format!("[{}]", all.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Value + std::fmt::Debug + PartialEq>(text: &str) {
        let value = T::from_text(text).unwrap_or_else(|| panic!("{text} does not read"));
        let line: toml::Table = format!("key = {}", value.written()).parse().unwrap();
        let read = serde_json::to_value(&line["key"]).unwrap();
        assert_eq!(T::from_file(&read), Some(value), "{text}");
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_value() {
        for text in ["/a b", "quote\"and\\backslash", "tab\tand\nnewline", "ünïcode"] {
            back::<PathBuf>(text);
            back::<String>(text);
        }
        back::<String>("");
        for text in ["true", "no", "1"] {
            back::<bool>(text);
        }
        back::<u16>("8400");
        back::<u64>("150");
        for text in ["0", "1500", "64MiB"] {
            back::<Size>(text);
        }
        back::<HostPort>("[::1]:80");
        back::<MaybeHostPort>("none");
        back::<MaybeHostPort>("localhost:80");
        back::<Vec<HostPort>>("a:1,b:2");
        back::<Vec<HostPort>>("");
        back::<Names>("a,b");
        back::<Names>("");
        back::<Age>("24h");
        back::<Age>("1h30m");
    }

    #[test]
    fn a_kind_is_not_taken_for_another() {
        assert_eq!(bool::from_file(&json!(1)), None);
        assert_eq!(bool::from_file(&json!("true")), None);
        assert_eq!(u16::from_file(&json!(65536)), None);
        assert_eq!(u16::from_file(&json!("8400")), None);
        assert_eq!(String::from_file(&json!(8400)), None);
        assert_eq!(Size::from_file(&json!(1.5)), None);
        assert_eq!(Vec::<HostPort>::from_file(&json!(["a:1", 2])), None);
    }
}
