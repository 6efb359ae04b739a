//! Where a setting's value comes from.

use serde_json::{Value as Json, json};
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Flag(&'static str),
    Environment(String),
    File(PathBuf),
    Default,
}

impl Source {
    pub fn shown(&self) -> Json {
        match self {
            Source::Flag(name) => json!({ "kind": "flag", "name": format!("--{name}") }),
            Source::Environment(variable) => json!({ "kind": "environment", "name": variable }),
            Source::File(path) => json!({ "kind": "file", "name": path.display().to_string() }),
            Source::Default => json!({ "kind": "default" }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) => write!(f, "flag --{name}"),
            Source::Environment(variable) => write!(f, "environment variable {variable}"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Default => f.write_str("default"),
        }
    }
}
