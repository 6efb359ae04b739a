//! The disk's own figure: one write of a record's size, one fdatasync, again and again.

use crate::args::Disk;
use crate::error::{BenchError, io};
use crate::figures::{Figures, Recorder, value};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Written before and synced; when it is used up, it is used again.
const PREWRITTEN_BYTES: u64 = 32 << 20;
const WARM_UP: Duration = Duration::from_millis(100);

pub fn run(args: &Disk) -> Result<Figures, BenchError> {
    let failed = || format!("a file in {}", args.dir.display());
    let file = tempfile::tempfile_in(&args.dir).map_err(io(failed()))?;
    let record = value(args.size);
    let end = if args.prewritten { PREWRITTEN_BYTES.max(args.size.into()) } else { u64::MAX };
    if args.prewritten {
        let zeros = vec![0; 1 << 20];
        for at in (0..end).step_by(zeros.len()) {
            file.write_all_at(&zeros[..zeros.len().min((end - at) as usize)], at).map_err(io(failed()))?;
        }
        file.sync_all().map_err(io(failed()))?;
    }
    let mut recorder = Recorder::start(WARM_UP, args.seconds);
    let mut at = 0;
    while recorder.goes_on() {
        let made = Instant::now();
        file.write_all_at(&record, at).map_err(io(failed()))?;
        file.sync_data().map_err(io(failed()))?;
        recorder.call(made, 1, record.len() as u64);
        at += record.len() as u64;
        if at + record.len() as u64 > end {
            at = 0;
        }
    }
    Ok(recorder.figures())
}
