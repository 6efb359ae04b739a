//! The configuration file: names and values, not judged yet.

// The user's file is not the log's disk.
#![allow(clippy::disallowed_methods)]

use super::error::BadSetting;
use super::source::Source;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    pub values: BTreeMap<String, Json>,
}

impl File {
    /// # Errors
    /// If it cannot be read, or is not what its extension says.
    pub fn read(path: &Path, from: Source) -> Result<File, BadSetting> {
        let unparseable = |format, message: String| BadSetting::Unparseable {
            path: path.to_owned(),
            format,
            // What it says to programmers is nothing to users.
            message: message.trim_end().replace(", set DuplicateKeyPolicy in Options if acceptable", ""),
        };
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let is_yaml = match extension {
            "yaml" | "yml" => true,
            "toml" => false,
            _ => return Err(BadSetting::Extension { path: path.to_owned() }),
        };
        let text = std::fs::read_to_string(path).map_err(|error| BadSetting::Unreadable {
            path: path.to_owned(),
            from,
            error,
        })?;
        let whole: Json = if is_yaml {
            serde_saphyr::from_str(&text).map_err(|error| unparseable("YAML", error.to_string()))?
        } else {
            toml::from_str(&text).map_err(|error| unparseable("TOML", error.to_string()))?
        };
        let found = match whole {
            Json::Object(values) => {
                return Ok(File { path: path.to_owned(), values: values.into_iter().collect() });
            }
            // Nothing but comments.
            Json::Null => return Ok(File { path: path.to_owned(), values: BTreeMap::new() }),
            Json::Array(_) => "a list",
            Json::String(_) => "text",
            Json::Number(_) => "a number",
            Json::Bool(_) => "true or false",
        };
        Err(BadSetting::NoSettings { path: path.to_owned(), found })
    }
}
