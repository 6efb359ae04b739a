//! What the figures were taken on.

use crate::error::{BenchError, io};
use crate::process::Programs;
use serde::Serialize;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cpus: usize,
    pub kernel: String,
    pub file_system: String,
    pub seedlog: String,
    pub redis: Option<String>,
    /// Processes that wanted to run, one minute's average: before and after.
    pub load: [String; 2],
}

impl Machine {
    /// # Errors
    /// If `dir` is where a sync does nothing.
    pub fn look(dir: &Path, programs: &Programs) -> Result<Machine, BenchError> {
        let file_system = said(Command::new("df").arg("--output=fstype").arg(dir));
        let file_system = file_system.lines().last().unwrap_or("unknown").to_owned();
        if matches!(file_system.as_str(), "tmpfs" | "ramfs") {
            return Err(BenchError::NoDisk { dir: dir.to_owned(), kind: file_system });
        }
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        Ok(Machine {
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system,
            seedlog: commit(),
            redis: programs.redis.as_ref().map(|redis| {
                let version = said(Command::new(redis).arg("--version"));
                version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned()
            }),
            load: [load(), String::new()],
        })
    }

    pub fn look_again(&mut self) {
        self.load[1] = load();
    }
}

fn commit() -> String {
    match said(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"])) {
        commit if commit.is_empty() => env!("CARGO_PKG_VERSION").to_owned(),
        commit => commit,
    }
}

fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

/// Empty where there is no such file: it is only for the reader of the table.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

pub fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim_end().to_owned()
}

/// The program of that name, as a shell would find it.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}

pub fn free_bytes(dir: &Path) -> Result<u64, BenchError> {
    let path = CString::new(dir.as_os_str().as_bytes()).expect("a path that was opened has no NUL");
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is a NUL-terminated string and `stat` has room for what the call fills in.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io(dir.display().to_string())(std::io::Error::last_os_error()));
    }
    // SAFETY: the call succeeded, so `stat` is filled in.
    let stat = unsafe { stat.assume_init() };
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the types differ between platforms")]
    Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
}

/// Takes the files of `dir` out of the page cache, those below it too.
pub fn forget_pages(dir: &Path) -> Result<(), BenchError> {
    use std::os::fd::AsRawFd;
    let failed = || dir.display().to_string();
    for entry in std::fs::read_dir(dir).map_err(io(failed()))? {
        let path = entry.map_err(io(failed()))?.path();
        if path.is_dir() {
            forget_pages(&path)?;
            continue;
        }
        let file = std::fs::File::open(&path).map_err(io(path.display().to_string()))?;
        // What is dirty would stay.
        file.sync_all().map_err(io(path.display().to_string()))?;
        // SAFETY: the descriptor is open; the call is advice.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    Ok(())
}
