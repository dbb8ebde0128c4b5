//! Which programs belong to which kernel functions and events; attached while a watch needs the event.

use std::collections::HashMap;
use std::fmt;
use std::io;

use libbpf_rs::Link;

use crate::control::ProbeStatus;
use crate::event::{Event, EventSet};
use crate::kernel::{self, Kernel};
use crate::tracefs::{Kind, Tracefs, event_name};

/// A hook.
#[derive(Clone, Copy, Debug)]
struct Probe {
    program: &'static str,
    kind: Kind,
    function: &'static str,
    /// Events that need it; none: all of them.
    events: &'static [Event],
    /// The event cannot do without it. What is optional belongs to a part that a kernel may not have.
    required: bool,
}

const fn entry(program: &'static str, function: &'static str, events: &'static [Event]) -> Probe {
    Probe { program, kind: Kind::Kprobe, function, events, required: true }
}

const fn exit(program: &'static str, function: &'static str, events: &'static [Event]) -> Probe {
    Probe { program, kind: Kind::Kretprobe, function, events, required: true }
}

const fn optional(probe: Probe) -> Probe {
    Probe { required: false, ..probe }
}

const OPEN: &[Event] = &[Event::Open];
const EXEC: &[Event] = &[Event::Exec];
const TCP_CONNECT: &[Event] = &[Event::TcpConnect];

/// Ends of a call before its beginning, so that no call is begun whose end is not seen.
const PROBES: [Probe; 24] = [
    entry("probe_exit", "do_exit", &[]),
    // systemd writes the invocation id here; without it the id is systemd's answer on the bus.
    optional(entry("probe_kernfs_xattr", "kernfs_vfs_xattr_set", &[])),
    entry("probe_put_unused_fd", "put_unused_fd", OPEN),
    entry("probe_fd_install", "fd_install", OPEN),
    exit("return_open", "do_sys_openat2", OPEN),
    entry("probe_filp_open", "do_filp_open", OPEN),
    optional(exit("return_open", "do_handle_open", OPEN)),
    optional(entry("probe_handle_open", "do_handle_open", OPEN)),
    optional(entry("probe_fixed_fd_install", "io_fixed_fd_install", OPEN)),
    optional(exit("return_uring_open", "io_openat2", OPEN)),
    optional(entry("probe_uring_open", "io_openat2", OPEN)),
    exit("return_exec_call", "__x64_sys_execve", EXEC),
    exit("return_exec_call", "__x64_sys_execveat", EXEC),
    optional(exit("return_exec_call", "__ia32_compat_sys_execve", EXEC)),
    optional(exit("return_exec_call", "__ia32_compat_sys_execveat", EXEC)),
    exit("return_exec", "bprm_execve", EXEC),
    entry("probe_exec_success", "finalize_exec", EXEC),
    entry("probe_exec_check", "security_bprm_check", EXEC),
    entry("probe_exec", "bprm_execve", EXEC),
    entry("probe_tcp_state", "tcp_set_state", TCP_CONNECT),
    exit("return_tcp_connect", "tcp_v4_connect", TCP_CONNECT),
    optional(exit("return_tcp_connect", "tcp_v6_connect", TCP_CONNECT)),
    entry("probe_tcp_connect", "tcp_v4_connect", TCP_CONNECT),
    optional(entry("probe_tcp_connect", "tcp_v6_connect", TCP_CONNECT)),
];

/// Why a probe could not be made.
#[derive(Debug)]
pub enum Error {
    /// tracefs refused the definition.
    Define(Hook, io::Error),
    /// The program could not be attached.
    Attach(kernel::Error),
    /// tracefs could not be read or written.
    Tracefs(io::Error),
}

/// A probe as messages name it.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    kind: Kind,
    function: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Define(Hook { kind, function }, error) => {
                write!(f, "cannot define a {} on the kernel function {function}: {error}", kind.name())
            }
            Self::Attach(error) => error.fmt(f),
            Self::Tracefs(error) => write!(f, "cannot use tracefs: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// The probes attached now.
#[derive(Debug)]
pub struct Probes {
    tracefs: Tracefs,
    maxactive: u32,
    attached: HashMap<(Kind, &'static str), Link>,
    /// Hits and misses of definitions that were removed since.
    before: HashMap<(Kind, &'static str), (u64, u64)>,
}

impl Probes {
    /// Begins with none; removes what an earlier daemon that was killed left in tracefs.
    pub fn new(tracefs: Tracefs, maxactive: u32) -> Result<Self, Error> {
        for name in tracefs.defined().map_err(Error::Tracefs)? {
            tracefs.remove(&name).map_err(Error::Tracefs)?;
        }
        Ok(Self { tracefs, maxactive, attached: HashMap::new(), before: HashMap::new() })
    }

    /// Number of probes attached.
    pub fn len(&self) -> usize {
        self.attached.len()
    }

    /// Attaches what these events need, and removes all else. On an error what was attached before still is.
    pub fn want(&mut self, kernel: &Kernel, events: EventSet) -> Result<(), Error> {
        let needed = |p: &Probe| {
            !events.is_empty() && (p.events.is_empty() || p.events.iter().any(|e| events.contains(*e)))
        };
        let mut made = Vec::new();
        for probe in PROBES.iter().filter(|p| needed(p)) {
            let key = (probe.kind, probe.function);
            if self.attached.contains_key(&key) {
                continue;
            }
            match self.attach(kernel, probe) {
                Ok(()) => made.push(key),
                Err(Error::Define(..)) if !probe.required => {}
                Err(error) => {
                    self.remove(&made)?;
                    return Err(error);
                }
            }
        }
        let unneeded: Vec<_> =
            PROBES.iter().filter(|p| !needed(p)).map(|p| (p.kind, p.function)).rev().collect();
        self.remove(&unneeded)
    }

    fn attach(&mut self, kernel: &Kernel, probe: &Probe) -> Result<(), Error> {
        let Probe { program, kind, function, events: _, required: _ } = *probe;
        self.tracefs
            .define(kind, function, self.maxactive)
            .map_err(|e| Error::Define(Hook { kind, function }, e))?;
        let name = event_name(kind, function);
        match kernel.attach(program, &name) {
            Ok(link) => {
                self.attached.insert((kind, function), link);
                Ok(())
            }
            Err(error) => {
                self.tracefs.remove(&name).map_err(Error::Tracefs)?;
                Err(Error::Attach(error))
            }
        }
    }

    fn remove(&mut self, keys: &[(Kind, &'static str)]) -> Result<(), Error> {
        if !keys.iter().any(|k| self.attached.contains_key(k)) {
            return Ok(());
        }
        let profile = self.tracefs.profile().map_err(Error::Tracefs)?;
        for key in keys {
            let Some(link) = self.attached.remove(key) else { continue };
            drop(link);
            let name = event_name(key.0, key.1);
            let (hits, misses) = profile.get(&name).copied().unwrap_or_default();
            let total = self.before.entry(*key).or_default();
            total.0 += hits;
            total.1 += misses;
            self.tracefs.remove(&name).map_err(Error::Tracefs)?;
        }
        Ok(())
    }

    /// Removes all.
    pub fn clear(&mut self) -> Result<(), Error> {
        let all: Vec<_> = PROBES.iter().map(|p| (p.kind, p.function)).rev().collect();
        self.remove(&all)
    }

    /// The probes attached now, with the kernel's counts, in the order of the table.
    pub fn status(&self) -> io::Result<Vec<ProbeStatus>> {
        let profile = self.tracefs.profile()?;
        let attached = |p: &&Probe| self.attached.contains_key(&(p.kind, p.function));
        Ok(PROBES
            .iter()
            .filter(attached)
            .map(|probe| {
                let name = event_name(probe.kind, probe.function);
                let (hits, misses) = profile.get(&name).copied().unwrap_or_default();
                let before = self.before.get(&(probe.kind, probe.function)).copied().unwrap_or_default();
                ProbeStatus {
                    function: probe.function.to_owned(),
                    kind: probe.kind.name(),
                    hits: hits + before.0,
                    misses: misses + before.1,
                }
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_is_there_once_and_each_event_has_hooks() {
        let mut keys: Vec<_> = PROBES.iter().map(|p| (p.kind.name(), p.function)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), PROBES.len());
        for event in Event::all() {
            assert!(PROBES.iter().any(|p| p.required && p.events.contains(&event)), "{event}");
        }
    }

    #[test]
    fn programs_are_in_the_object() {
        let table = include_str!("../../bpf/traceleft.bpf.c");
        for probe in PROBES {
            let name = probe.program;
            let there = table.contains(&format!("PROBE({name},")) || table.contains(&format!("int {name}("));
            assert!(there, "{name}");
        }
    }
}
