//! Variables that were meant for us and are not known.

use super::args::NAMES;
use super::layers::variable;

/// Only near misses are told: Kubernetes gives pods SEEDLOG_SERVICE_HOST and the like, which are nobody's mistake.
pub fn warn_of_misspelt() {
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, meant) in misspelt(given) {
        tracing::warn!("the environment variable {name} is not known; did you mean {meant}?");
    }
}

fn misspelt(given: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let known: Vec<String> = NAMES.iter().chain(&["log", "config-file"]).map(|name| variable(name)).collect();
    let plain = |name: &str| name.replace('_', "").to_uppercase();
    let meant = |name: &String| {
        let distance = |known: &&String| strsim::osa_distance(&plain(name), &plain(known));
        known.iter().min_by_key(distance).filter(|known| distance(known) <= 2)
    };
    given
        .filter(|name| name.to_uppercase().starts_with("SEEDLOG_") && !known.contains(name))
        .filter_map(|name| meant(&name).cloned().map(|meant| (name, meant)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_told_and_what_others_set_is_not() {
        let given =
            ["SEEDLOG_DATADIR", "SEEDLOG_RPC_PROT", "SEEDLOG_DATA_DIR", "SEEDLOG_SERVICE_HOST", "SEEDLOG_PORT", "PATH"];
        let told = misspelt(given.into_iter().map(String::from));
        let wanted = [("SEEDLOG_DATADIR", "SEEDLOG_DATA_DIR"), ("SEEDLOG_RPC_PROT", "SEEDLOG_RPC_PORT")];
        assert_eq!(told, wanted.map(|(name, meant)| (name.to_owned(), meant.to_owned())));
    }
}
