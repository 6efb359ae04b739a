//! The way every operation takes through the simulated disk: is its process alive, does it crash
//! here, which fault hits it, what does the observer hear.

use super::directory::{Change, Directory, Node};
use super::event::DiskEvent;
use super::fault::{CrashAt, FaultKind, Faults, Place};
use super::inode::Inode;
use super::keyed_rng;
use crate::disk::error::named;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) type Observer = Arc<dyn Fn(&DiskEvent) + Send + Sync>;
pub(super) type Hook = Arc<dyn Fn() + Send + Sync>;

/// Why every call on a disk fails whose node is down, and every call on a handle from before.
#[derive(Debug, thiserror::Error)]
#[error("the simulated process that asks has crashed")]
pub struct Crashed;

/// What an operation is, for errors and events.
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) path: &'a Path,
    pub(super) position: u64,
    pub(super) length: u64,
    pub(super) content: &'a [u8],
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: &'static str, path: &'a Path) -> Call<'a> {
        Call { operation, path, position: 0, length: 0, content: &[] }
    }
}

pub(super) struct Engine {
    state: Mutex<State>,
}

/// A crash to come.
pub(super) struct Armed {
    /// Nothing counts before a file has been made shorter.
    pub(super) once_shortened: bool,
    /// Operations to let pass.
    pub(super) after_ops: u64,
    pub(super) at: CrashAt,
    /// Only such operations count.
    pub(super) place: Option<Place>,
}

pub(super) struct State {
    pub(super) seed: u64,
    /// Counts the lives of the process; a handle of an earlier one is dead.
    pub(super) life: u64,
    pub(super) down: bool,
    pub(super) armed: Option<Armed>,
    pub(super) operations: u64,
    pub(super) directories: BTreeMap<PathBuf, Directory>,
    pub(super) used: Arc<AtomicU64>,
    pub(super) space_bytes: Option<u64>,
    pub(super) faults: Faults,
    pub(super) fired: BTreeMap<&'static str, u64>,
    pub(super) observer: Option<Observer>,
    pub(super) on_down: Option<Hook>,
    events: Vec<DiskEvent>,
    went_down: bool,
}

impl Engine {
    pub(super) fn new(seed: u64) -> Engine {
        let state = State {
            seed,
            life: 0,
            down: false,
            armed: None,
            operations: 0,
            directories: BTreeMap::from([(PathBuf::from("/"), Directory::default())]),
            used: Arc::default(),
            space_bytes: None,
            faults: Faults::default(),
            fired: BTreeMap::new(),
            observer: None,
            on_down: None,
            events: Vec::new(),
            went_down: false,
        };
        Engine { state: Mutex::new(state) }
    }

    /// Runs `act` on the state, then, with no lock held, the observer and the hook: they may call the disk.
    pub(super) fn run<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let (result, events, observer, hook) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = act(&mut state);
            let hook = std::mem::take(&mut state.went_down).then(|| state.on_down.clone()).flatten();
            (result, std::mem::take(&mut state.events), state.observer.clone(), hook)
        };
        if let Some(observer) = observer {
            events.iter().for_each(|event| observer(event));
        }
        if let Some(hook) = hook {
            hook();
        }
        result
    }

    /// An operation that changes nothing. `life` is that of the handle; `None` for the disk itself.
    pub(super) fn query<R>(
        &self,
        call: Call<'_>,
        life: Option<u64>,
        act: impl FnOnce(&mut State) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = self.run(|state| state.alive(life).and_then(|()| act(state)));
        result.map_err(|error| named(call.operation, call.path, error))
    }

    /// An operation that changes the disk: it counts, it is a place to crash, and the observer hears
    /// of it. `act` gets a stream to draw from if it is to do only a part of its work.
    pub(super) fn mutate(
        &self,
        call: Call<'_>,
        life: Option<u64>,
        act: impl FnOnce(&mut State, Option<&mut ChaCha12Rng>) -> io::Result<u64>,
    ) -> io::Result<u64> {
        let result = self.run(|state| {
            state.alive(life)?;
            let result = match state.crash_here(&call) {
                None => act(state, None),
                Some(at) => {
                    let mut rng = keyed_rng(state.seed, "crash", state.operations);
                    // Whether it would have succeeded, nobody lives to see.
                    let _ = match at {
                        CrashAt::Before => Ok(0),
                        CrashAt::Inside => act(state, Some(&mut rng)),
                        CrashAt::After => act(state, None),
                    };
                    state.go_down(call.path);
                    Err(io::Error::other(Crashed))
                }
            };
            state.record(&call, result.as_ref().copied().map_err(io::Error::kind));
            result
        });
        result.map_err(|error| named(call.operation, call.path, error))
    }
}

impl State {
    fn alive(&self, life: Option<u64>) -> io::Result<()> {
        let dead = self.down || life.is_some_and(|life| life != self.life);
        if dead { Err(io::Error::other(Crashed)) } else { Ok(()) }
    }

    fn crash_here(&mut self, call: &Call<'_>) -> Option<CrashAt> {
        self.operations += 1;
        let armed = self.armed.as_mut().filter(|armed| !armed.once_shortened)?;
        if armed.place.is_some_and(|place| !place.is(call.operation, call.path)) {
            return None;
        }
        if armed.after_ops > 0 {
            armed.after_ops -= 1;
            return None;
        }
        self.armed.take().map(|armed| armed.at)
    }

    /// A file has just been made shorter.
    pub(super) fn shortened(&mut self) {
        if let Some(armed) = &mut self.armed {
            armed.once_shortened = false;
        }
    }

    fn go_down(&mut self, path: &Path) {
        self.down = true;
        self.went_down = true;
        self.count("crash", path, 0, 0);
    }

    fn record(&mut self, call: &Call<'_>, result: Result<u64, io::ErrorKind>) {
        if self.observer.is_none() {
            return;
        }
        let content = if call.content.is_empty() {
            0
        } else {
            // std's default hasher has fixed keys when it is made like this.
            let mut hasher = DefaultHasher::new();
            hasher.write(call.content);
            hasher.finish()
        };
        let path = call.path.to_owned();
        let Call { operation, position, length, .. } = *call;
        self.events.push(DiskEvent { operation, path, position, length, content, result });
    }

    /// Something that only a simulated disk does happened.
    pub(super) fn count(&mut self, name: &'static str, path: &Path, position: u64, length: u64) {
        *self.fired.entry(name).or_default() += 1;
        self.record(&Call { position, length, ..Call::new(name, path) }, Ok(0));
    }

    /// Does a fault of this kind hit this call? The answer draws from the fault's own stream.
    pub(super) fn hit(&mut self, kind: FaultKind, path: &Path, position: u64, length: u64) -> bool {
        self.hit_with(kind, path, position, length, |_| ()).is_some()
    }

    pub(super) fn hit_with<R>(
        &mut self,
        kind: FaultKind,
        path: &Path,
        position: u64,
        length: u64,
        draw: impl FnOnce(&mut ChaCha12Rng) -> R,
    ) -> Option<R> {
        let drawn = draw(self.faults.hit(kind, path)?);
        self.count(kind.name(), path, position, length);
        Some(drawn)
    }

    /// How many more bytes all files together may have.
    pub(super) fn free_bytes(&self) -> u64 {
        const UNLIMITED_BYTES: u64 = 1 << 40;
        self.space_bytes.unwrap_or(UNLIMITED_BYTES).saturating_sub(self.used.load(Ordering::Relaxed))
    }

    pub(super) fn directory(&mut self, path: &Path) -> io::Result<&mut Directory> {
        if !self.directories.contains_key(path) {
            let is_file = split(path).is_ok_and(|(parent, name)| {
                let entry = self.directories.get(parent).and_then(|parent| parent.current.get(name));
                matches!(entry, Some(Node::File(_)))
            });
            let kind = if is_file { io::ErrorKind::NotADirectory } else { io::ErrorKind::NotFound };
            return Err(kind.into());
        }
        Ok(self.directories.get_mut(path).expect("just seen"))
    }

    pub(super) fn entry(&mut self, path: &Path) -> io::Result<Option<Node>> {
        let (parent, name) = split(path)?;
        Ok(self.directory(parent)?.current.get(name).cloned())
    }

    pub(super) fn file(&mut self, path: &Path) -> io::Result<Arc<Inode>> {
        match self.entry(path)? {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path, part: Option<&mut ChaCha12Rng>) -> io::Result<Arc<Inode>> {
        let (parent, name) = split(path)?;
        let inode = Inode::new(self.used.clone());
        let link = Change::Link { name: name.to_owned(), node: Node::File(inode.clone()) };
        let directory = self.directory(parent)?;
        if directory.current.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if happens(part) {
            directory.change(link);
        }
        Ok(inode)
    }
}

/// Whether an operation that cannot be half done is done although the node goes down inside it.
pub(super) fn happens(part: Option<&mut ChaCha12Rng>) -> bool {
    part.is_none_or(|rng| rng.random_bool(0.5))
}

/// The directory of `path` and the name in it.
pub(super) fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(parent), Some(name)) if path.is_absolute() => Ok((parent, name)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// What a broken medium answers.
pub(super) fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

pub(super) fn enospc() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}
