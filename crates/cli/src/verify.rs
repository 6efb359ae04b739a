//! `seedlog verify DIR`: every byte of a stopped node's data directory, changing nothing.

use crate::args::{Output, Verify};
use crate::failure::{DAMAGED, Failure};
use crate::output;
use seedlog_log::{Comparison, DataDir, Difference, EntryId, Report};
use seedlog_runtime::disk::{Disk, Lock, RealDisk};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

pub async fn run(args: Verify, format: Output) -> Result<ExitCode, Failure> {
    let root = std::path::absolute(&args.dir)
        .map_err(|error| Failure::NotChecked { dir: args.dir.clone(), why: error.to_string() })?;
    let dir = root.clone();
    let (report, compared) = seedlog_runtime::blocking(move || {
        let report = check(&dir)?;
        let compared: Result<Vec<_>, _> = args.compare.into_iter().map(|other| compare(&dir, other)).collect();
        Ok::<_, Failure>((report, compared?))
    })
    .await?;
    match format {
        Output::Text => {
            let text = text(&report) + &compared.iter().map(compared_text).collect::<String>();
            output::bytes(text.as_bytes()).map_err(Failure::Stdout)?;
        }
        Output::Json => {
            let mut shown = as_json(&report);
            shown["compared"] = compared.iter().map(compared_json).collect();
            output::json(&shown).map_err(Failure::Stdout)?;
        }
    };
    let is_well = report.is_sound() && compared.iter().all(|(_, comparison)| comparison.is_same());
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

/// Holds the log of `root` against that of `other`.
fn compare(root: &Path, other: PathBuf) -> Result<(PathBuf, Comparison), Failure> {
    let not_checked = |dir: &Path, why: String| Failure::NotChecked { dir: dir.to_owned(), why };
    let disk = RealDisk::new();
    let _locks = (hold(&disk, root)?, hold(&disk, &other)?);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let comparison = seedlog_log::compare(&disk, &DataDir::group_dir_of(root), &DataDir::group_dir_of(&other));
    let comparison = comparison.map_err(|error| not_checked(&other, error.to_string()))?;
    Ok((other, comparison))
}

fn compared_text((dir, comparison): &(PathBuf, Comparison)) -> String {
    let (dir, Comparison { compared, differs, .. }) = (dir.display(), comparison);
    let shown = |id: Option<EntryId>| id.map_or("missing".to_owned(), |id| id.to_string());
    let differs = differs.map(|Difference { index, one, other }| {
        format!("from entry {index} on, which is {} here and {} there", shown(one), shown(other))
    });
    match differs {
        None => format!("the same as {dir}: entries {}..{}\n", compared.start, compared.end),
        Some(differs) if comparison.is_same() => format!("the same as {dir} but for uncommitted entries, {differs}\n"),
        Some(differs) => format!("DIFFERENT from {dir} {differs}\n"),
    }
}

fn compared_json((dir, comparison): &(PathBuf, Comparison)) -> Value {
    let id = |id: Option<EntryId>| id.map(|id| json!({ "term": id.term, "index": id.index }));
    json!({
        "dir": dir.display().to_string(),
        "same": comparison.is_same(),
        "from_index": comparison.compared.start,
        "to_index": comparison.compared.end,
        "committed_index": comparison.committed,
        "differs": comparison.differs.map(|difference| json!({
            "index": difference.index,
            "here": id(difference.one),
            "there": id(difference.other),
        })),
    })
}

fn check(root: &Path) -> Result<Report, Failure> {
    let disk = RealDisk::new();
    let _lock = hold(&disk, root)?;
    seedlog_log::verify_data_dir(&disk, root)
        .map_err(|error| Failure::NotChecked { dir: root.to_owned(), why: error.to_string() })
}

/// Sees to it that no node uses the directory meanwhile.
fn hold(disk: &RealDisk, root: &Path) -> Result<Option<Box<dyn Lock>>, Failure> {
    let not_checked = |why: String| Failure::NotChecked { dir: root.to_owned(), why };
    let read = |error: io::Error| not_checked(error.to_string());
    let exists = |path: &Path| disk.exists(path).map_err(read);
    if !exists(&root.join("identity"))? && !exists(&DataDir::group_dir_of(root))? {
        return Err(not_checked("it is not a seedlog data directory".to_owned()));
    }
    let lock_path = root.join("lock");
    // Taking the lock would create the file: a copy may lack it, and nobody uses a copy.
    if !exists(&lock_path)? {
        return Ok(None);
    }
    match disk.lock(&lock_path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => {
                Err(not_checked("it is in use by a running node: stop the node first".to_owned()))
            }
            // As the kernel leaves a disk with errors. No node runs on it there.
            io::ErrorKind::ReadOnlyFilesystem => Ok(None),
            _ => Err(read(error)),
        },
    }
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
