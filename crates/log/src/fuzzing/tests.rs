use super::samples::samples;
use super::{checkpoint, damage, layout, payloads, store};
use proptest::prelude::*;

fn run(target: &str, bytes: &[u8]) {
    match target {
        "layout" => layout(bytes),
        "payloads" => payloads(bytes),
        "checkpoint" => checkpoint(bytes),
        "store" => drop(store(bytes)),
        "damage" => drop(damage(bytes)),
        other => panic!("{other} is no target"),
    }
}

#[test]
fn the_samples_hold_and_their_logs_open() {
    for (target, bytes) in samples() {
        run(target, &bytes);
        assert!(target != "store" || store(&bytes));
    }
    assert!(damage(&[0]) && damage(&[1]) && damage(&[2]) && damage(&[9]));
}

#[test]
fn what_fuzzing_kept_still_holds() {
    for (target, bytes) in corpus() {
        run(target, &bytes);
    }
}

const TARGETS: [&str; 5] = ["layout", "payloads", "checkpoint", "store", "damage"];

#[allow(clippy::disallowed_methods, reason = "the corpus is no file of the product")]
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    for target in TARGETS {
        let dir = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let before = found.len();
        for file in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir}: {error}")) {
            found.push((target, std::fs::read(file.unwrap().path()).unwrap()));
        }
        assert!(found.len() > before, "{dir} is empty");
    }
    found
}

#[test]
#[ignore = "writes the corpus that fuzzing starts from, crates/fuzz/corpus"]
#[allow(clippy::disallowed_methods, reason = "the corpus is no file of the product")]
fn write_the_samples() {
    for (number, (target, bytes)) in samples().iter().enumerate() {
        let dir = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(format!("{dir}/sample-{number}"), bytes).unwrap();
    }
}

/// A sample with some bytes replaced, taken out or put in.
fn mutated() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..6);
    (prop::sample::select(samples()), edits).prop_map(|((target, mut bytes), edits)| {
        for (index, edit, byte) in edits {
            let at = index.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match edit {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        (target, bytes)
    })
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_for_a_reader(
        target in prop::sample::select(TARGETS.to_vec()), bytes in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        run(target, &bytes);
    }

    #[test]
    fn a_sample_with_mistakes_is_refused_or_read_back_as_it_is((target, bytes) in mutated()) {
        run(target, &bytes);
    }
}
