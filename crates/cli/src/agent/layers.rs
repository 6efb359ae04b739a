//! Flag over environment over file over default, for each setting by itself.

use super::error::BadSetting;
use super::file::File;
use super::source::Source;
use super::value::Value;
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::Value as Json;

/// A value, and where it comes from.
#[derive(Debug, Clone)]
pub struct Set<T> {
    pub value: T,
    pub from: Source,
}

/// A setting as it is printed.
#[derive(Debug)]
pub struct Shown {
    pub name: &'static str,
    /// `None`: not set.
    pub value: Option<(Json, String)>,
    pub from: Source,
}

pub struct Layers<'a> {
    /// What the command line and the environment gave.
    matches: &'a ArgMatches,
    file: Option<File>,
    pub shown: Vec<Shown>,
}

impl<'a> Layers<'a> {
    /// # Errors
    /// If the file has a key that is none of `names`.
    pub fn new(matches: &'a ArgMatches, file: Option<File>, names: &[&'static str]) -> Result<Layers<'a>, BadSetting> {
        if let Some(file) = &file
            && let Some(key) = file.values.keys().find(|key| !names.contains(&key.as_str()))
        {
            let near = nearest(key, names);
            return Err(BadSetting::UnknownKey { key: key.clone(), path: file.path.clone(), near });
        }
        Ok(Layers { matches, file, shown: Vec::new() })
    }

    /// A setting that may be missing; `given` is its flag's, its variable's or its default's text.
    ///
    /// # Errors
    /// If the value is not of its kind, also one in the file that another one hides.
    pub fn optional<T: Value>(
        &mut self,
        name: &'static str,
        given: Option<&str>,
    ) -> Result<Option<Set<T>>, BadSetting> {
        let mut set = None;
        if let Some(file) = &self.file
            && let Some(value) = file.values.get(name)
        {
            let from = Source::File(file.path.clone());
            let value = T::from_file(value).ok_or_else(|| wrong::<T>(name, &value.to_string(), from.clone()))?;
            set = Some(Set { value, from });
        }
        let from = source_of(self.matches, name);
        if let Some(given) = given
            && (from != Source::Default || set.is_none())
        {
            let value = T::from_text(given).ok_or_else(|| wrong::<T>(name, &format!("{given:?}"), from.clone()))?;
            set = Some(Set { value, from });
        }
        self.shown.push(Shown {
            name,
            value: set.as_ref().map(|set| (set.value.shown(), set.value.written())),
            from: set.as_ref().map_or(Source::Default, |set| set.from.clone()),
        });
        Ok(set)
    }

    /// A setting that has a default.
    ///
    /// # Errors
    /// As [`Layers::optional`].
    pub fn with_default<T: Value>(&mut self, name: &'static str, given: &str) -> Result<Set<T>, BadSetting> {
        self.optional(name, Some(given)).map(|set| set.expect("it was given"))
    }
}

fn wrong<T: Value>(name: &'static str, given: &str, from: Source) -> BadSetting {
    let given = if given == "null" { "left empty".to_owned() } else { given.to_owned() };
    BadSetting::Value { name, given, from, expected: T::EXPECTED }
}

/// Of what clap has: it knows no file.
pub fn source_of(matches: &ArgMatches, name: &'static str) -> Source {
    match matches.value_source(&name.replace('-', "_")) {
        Some(ValueSource::CommandLine) => Source::Flag(name),
        Some(ValueSource::EnvVariable) => Source::Environment(variable(name)),
        _ => Source::Default,
    }
}

pub fn variable(name: &str) -> String {
    format!("SEEDLOG_{}", name.replace('-', "_").to_uppercase())
}

/// The names that are about as near to `key` as the nearest one, if any is near at all.
fn nearest(key: &str, names: &[&'static str]) -> Vec<&'static str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', '.', ' '], "");
    let wanted = plain(key);
    let likeness = |name: &&'static str| strsim::jaro_winkler(&wanted, &plain(name));
    let mut near: Vec<&'static str> = names.iter().copied().filter(|name| likeness(name) > 0.75).collect();
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let best = near.first().map_or(0.0, likeness);
    near.retain(|name| likeness(name) > best - 0.05);
    near.truncate(3);
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_answered_with_what_was_meant() {
        let names = ["data-dir", "rpc-port", "http-addr", "bind-addr", "server-tls-cert-file", "peer-tls-cert-file"];
        let cases: [(&str, &[&str]); 6] = [
            ("data_dir", &["data-dir"]),
            ("dataDir", &["data-dir"]),
            ("rpcport", &["rpc-port"]),
            ("http-address", &["http-addr"]),
            ("server-tls-cert", &["server-tls-cert-file"]),
            ("zzz", &[]),
        ];
        for (key, wanted) in cases {
            assert_eq!(nearest(key, &names), wanted, "{key}");
        }
    }
}
