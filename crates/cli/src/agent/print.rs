//! `seedlog agent --print-config`: what would be used, and where it comes from.

use super::layers::Shown;
use crate::args::Output;
use crate::failure::Failure;
use crate::output;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

pub fn print(shown: &[Shown], format: Output) -> Result<(), Failure> {
    match format {
        Output::Text => output::bytes(as_toml(shown).as_bytes()),
        Output::Json => output::json(&as_json(shown)),
    }
    .map(drop)
    .map_err(Failure::Stdout)
}

/// Itself a configuration file.
fn as_toml(shown: &[Shown]) -> String {
    let line = |shown: &Shown| match &shown.value {
        Some((_, value)) => (format!("{} = {value}", shown.name), shown.from.to_string()),
        None => (format!("# {}", shown.name), "not set".to_owned()),
    };
    let lines: Vec<(String, String)> = shown.iter().map(line).collect();
    let width = lines.iter().map(|(setting, _)| setting.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (setting, from) in lines {
        // A path in a comment must not end it.
        let from = from.replace(char::is_control, "?");
        let _ = writeln!(out, "{setting:width$}  # {from}");
    }
    out
}

fn as_json(shown: &[Shown]) -> Json {
    let one = |shown: &Shown| {
        let setting = match &shown.value {
            Some((value, _)) => json!({ "value": value, "source": shown.from.shown() }),
            None => json!({ "value": null, "source": null }),
        };
        (shown.name.to_owned(), setting)
    };
    Json::Object(shown.iter().map(one).collect())
}
