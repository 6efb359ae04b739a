//! What is wrong with a configuration. All of these end the command with exit code 2, before anything
//! is touched.

use super::source::Source;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum BadSetting {
    #[error("cannot read the configuration file {} ({source_of}): {error}", path.display(), source_of = .from)]
    Unreadable { path: PathBuf, from: Source, error: std::io::Error },
    #[error("the configuration file {} must end in .yaml, .yml or .toml, so that its format is known", path.display())]
    Extension { path: PathBuf },
    #[error("the configuration file {} is no {format}: {message}", path.display())]
    Unparseable { path: PathBuf, format: &'static str, message: String },
    #[error("the configuration file {} must hold settings, such as `data-dir: /var/lib/seedlog`; it holds {found}", path.display())]
    NoSettings { path: PathBuf, found: &'static str },
    #[error("unknown key {key:?} in {}: {}", path.display(), Near(near))]
    UnknownKey { key: String, path: PathBuf, near: Vec<&'static str> },
    #[error("{name} is {given} ({from}), expected {expected}{}", kubernetes_hint(from, given))]
    Value { name: &'static str, given: String, from: Source, expected: &'static str },

    #[error(
        "no data directory: say where the log is kept, with --data-dir DIR, SEEDLOG_DATA_DIR or data-dir in a file"
    )]
    NoDataDir,
    #[error("{name} is set ({from}), but this version {lacks}: leave it out")]
    NotYet { name: &'static str, from: Source, lacks: &'static str },
    #[error("{name} {given} ({from}): {why}")]
    NoAddress { name: &'static str, given: String, from: Source, why: String },
    #[error(
        "{what} would listen on {addr}, which other machines can reach, and without TLS: whoever reaches it may read \
         and write. Either stay on loopback with {loopback} (now from {from}), or allow it with --insecure \
         (SEEDLOG_INSECURE=true, or insecure: true in a file)"
    )]
    Exposed { what: &'static str, addr: SocketAddr, loopback: &'static str, from: Source },
    #[error("{message} ({from})")]
    OutOfRange { message: String, from: Source },
    #[error("{0}")]
    Dir(std::io::Error),
}

/// The valid names that come closest, or all.
struct Near<'a>(&'a [&'static str]);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("the names are those of the flags, see `seedlog agent --help`"),
            near => write!(f, "did you mean {}?", near.join(" or ")),
        }
    }
}

/// Kubernetes gives pods a variable for each service; one named `seedlog-rpc` makes a SEEDLOG_RPC_PORT.
fn kubernetes_hint(from: &Source, given: &str) -> &'static str {
    match from {
        Source::Environment(_) if given.contains("tcp://") => {
            "; this looks like Kubernetes' variable for a service: set enableServiceLinks: false in the pod"
        }
        _ => "",
    }
}
