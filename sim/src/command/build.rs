//! Builds this program from some tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    Usual,
    /// Our crates are not; those of others are the same.
    Unoptimised,
}

/// Where what the compiler says goes.
pub enum Told {
    AsItComes,
    /// Only if it fails.
    IfItFails,
}

/// Where the program is then.
///
/// # Errors
/// That cargo cannot be started, or what it says if the build fails.
pub fn build(tree: &Path, how: How, told: Told) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(tree)
        .env_remove("RUSTFLAGS")
        .args(["build", "--quiet", "--config", "build.rustflags=['--cfg','madsim']", "--target-dir", "target/sim"])
        .args(["--profile", "simdev", "--package", "seedlog-sim", "--message-format", "json-render-diagnostics"])
        .args(match how {
            How::Usual => &[][..],
            How::Unoptimised => &["--config", "sim/unoptimised.toml"],
        })
        .stderr(match told {
            Told::AsItComes => Stdio::inherit(),
            Told::IfItFails => Stdio::piped(),
        })
        .output()
        .map_err(|error| format!("cargo build: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    built.filter(|_| output.status.success()).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("the build of {} failed\n{errors}", tree.display())
    })
}
