//! `seedlog verify DIR`: every byte of a stopped node's data directory, changing nothing.

use crate::args::{Output, Verify};
use crate::failure::{DAMAGED, Failure};
use crate::output;
use seedlog_log::{DataDir, Report};
use seedlog_runtime::disk::{Disk, RealDisk};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub async fn run(args: Verify, format: Output) -> Result<ExitCode, Failure> {
    let root = std::path::absolute(&args.dir)
        .map_err(|error| Failure::NotChecked { dir: args.dir.clone(), why: error.to_string() })?;
    let dir = root.clone();
    let report = seedlog_runtime::blocking(move || check(&dir)).await?;
    match format {
        Output::Text => output::bytes(text(&report).as_bytes()).map_err(Failure::Stdout)?,
        Output::Json => output::json(&as_json(&report)).map_err(Failure::Stdout)?,
    };
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn check(root: &Path) -> Result<Report, Failure> {
    let disk = RealDisk::new();
    let not_checked = |why: String| Failure::NotChecked { dir: root.to_owned(), why };
    let read = |error: io::Error| not_checked(error.to_string());
    let exists = |path: &Path| disk.exists(path).map_err(read);
    if !exists(&root.join("identity"))? && !exists(&DataDir::group_dir_of(root))? {
        return Err(not_checked("it is not a seedlog data directory".to_owned()));
    }
    let lock_path = root.join("lock");
    // Taking the lock would create the file: a copy may lack it, and nobody uses a copy.
    let _lock = if exists(&lock_path)? {
        match disk.lock(&lock_path) {
            Ok(lock) => Some(lock),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    return Err(not_checked("it is in use by a running node: stop the node first".to_owned()));
                }
                // As the kernel leaves a disk with errors. No node runs on it there.
                io::ErrorKind::ReadOnlyFilesystem => None,
                _ => return Err(read(error)),
            },
        }
    } else {
        None
    };
    seedlog_log::verify_data_dir(&disk, root).map_err(|error| not_checked(error.to_string()))
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for segment in &report.segments {
        let _ = writeln!(
            out,
            "{}: {} entries from index {}, record offsets {}..{}, {} bytes",
            segment.store.display(),
            segment.entries,
            segment.first_index,
            segment.first_offset,
            segment.next_offset,
            segment.bytes,
        );
    }
    if let Some(torn) = &report.torn {
        let _ = writeln!(
            out,
            "unfinished last write, cut at the next start (never acknowledged, unless something else cut the file short): {torn}"
        );
    }
    for damage in &report.damage {
        let _ = writeln!(out, "DAMAGE: {damage}");
    }
    for (file, what) in &report.damaged_files {
        let _ = writeln!(out, "DAMAGE: {}: {what}", file.display());
    }
    let found = report.damage.len() + report.damaged_files.len();
    let _ = match found {
        0 => writeln!(out, "sound: every synced byte is what was written (segments: {})", report.segments.len()),
        1 => writeln!(out, "damaged: one place; nothing was changed"),
        _ => writeln!(out, "damaged: {found} places; nothing was changed"),
    };
    out
}

fn as_json(report: &Report) -> Value {
    let path = |path: &PathBuf| path.display().to_string();
    json!({
        "sound": report.is_sound(),
        "segments": report.segments.iter().map(|segment| json!({
            "file": path(&segment.store),
            "first_index": segment.first_index,
            "entries": segment.entries,
            "first_offset": segment.first_offset,
            "next_offset": segment.next_offset,
            "bytes": segment.bytes,
        })).collect::<Vec<_>>(),
        "damage": report.damage.iter().map(|damage| json!({
            "file": path(&damage.file),
            "position": damage.position,
            "what": damage.what,
            "first_index": damage.first_index,
            "next_index": damage.next_index,
            "first_offset": damage.first_offset,
            "next_offset": damage.next_offset,
        })).collect::<Vec<_>>(),
        "damaged_files": report.damaged_files.iter()
            .map(|(file, what)| json!({"file": path(file), "what": what}))
            .collect::<Vec<_>>(),
        "torn": report.torn.as_ref().map(ToString::to_string),
    })
}
