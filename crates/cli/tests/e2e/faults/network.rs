//! A network of its own: a switch, and hosts on it, each in a Linux network namespace. None of them has a name. They
//! are held by open files and threads of this process only, so they are gone with it, however it ends, and any
//! number of them stand side by side with the same addresses.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Where whoever is on the switch is.
pub const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 254);

/// Runs `test` on the switch, from where all hosts are reached; its threads and processes stay there.
pub fn in_a_network<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        enter_new_namespace();
        must("ip link set lo up");
        must("ip link add switch type bridge");
        must(&format!("ip addr add {SWITCH}/24 dev switch"));
        must("ip link set switch up");
        test()
    };
    // The namespace is the thread's: the test's own one goes back to where other tests are.
    std::thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Which way packets do not go, as the host that is cut off sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    In,
    Out,
    Both,
}

pub struct Host {
    namespace: File,
    pub ip: Ipv4Addr,
}

impl Host {
    /// Must be called on the switch.
    pub fn new(number: usize, ip: Ipv4Addr) -> Host {
        let held = || {
            enter_new_namespace();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let namespace = std::thread::scope(|scope| scope.spawn(held).join().unwrap());
        let host = Host { namespace, ip };
        let held = format!("/proc/{}/fd/{}", std::process::id(), host.namespace.as_raw_fd());
        must(&format!("ip link add port{number} type veth peer name eth0 netns {held}"));
        must(&format!("ip link set port{number} master switch up"));
        host.must("ip link set lo up");
        host.must("ip link set eth0 up");
        host.must(&format!("ip addr add {ip}/24 dev eth0"));
        host
    }

    /// What `command` starts is on this host, and ends with the thread that started it.
    pub fn place(&self, command: &mut Command) {
        let namespace = self.namespace.as_raw_fd();
        // SAFETY: between fork and exec, two system calls that take no memory and no lock.
        unsafe {
            command.pre_exec(move || {
                set_namespace(namespace)?;
                answer(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))
            });
        }
    }

    pub fn move_to(&mut self, ip: Ipv4Addr) {
        self.must("ip addr flush dev eth0");
        self.must(&format!("ip addr add {ip}/24 dev eth0"));
        self.ip = ip;
    }

    /// Packets from or to these are dropped here: connections hang, they are not refused.
    pub fn cut_off(&self, from: &[Ipv4Addr], cut: Cut) {
        for other in from {
            if cut != Cut::Out {
                self.must(&format!("iptables -w -A INPUT -s {other} -j DROP"));
            }
            if cut != Cut::In {
                self.must(&format!("iptables -w -A OUTPUT -d {other} -j DROP"));
            }
        }
    }

    pub fn mend(&self) {
        self.must("iptables -w -F");
    }

    fn must(&self, line: &str) {
        let mut command = words(line);
        self.place(&mut command);
        succeed(command);
    }
}

fn must(line: &str) {
    succeed(words(line));
}

fn words(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn succeed(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The calling thread's, and that of all that it starts from here on.
fn enter_new_namespace() {
    // SAFETY: changes what this thread sees of the network, and nothing in memory.
    answer(unsafe { libc::unshare(libc::CLONE_NEWNET) }).expect("a network namespace needs root");
}

fn set_namespace(namespace: RawFd) -> io::Result<()> {
    // SAFETY: as above; whether the descriptor is one of a namespace, the kernel checks.
    answer(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })
}

fn answer(returned: i32) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
