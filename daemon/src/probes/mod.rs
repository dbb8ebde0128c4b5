//! Which programs belong to which kernel functions and events; attached while a watch needs the event.

mod attributes;
mod entries;
mod io;
mod journald;
mod mounts;
mod network;
mod open;
mod privilege;
mod process;
mod signal;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use crate::attach::ProgramCounts;
use crate::config::{Backend, Settings};
use crate::control::ProbeStatus;
use crate::event::{Event, EventSet};
use crate::kernel::{self, Hook as Trampoline, Kernel};
use crate::service;
use crate::store::{self, Inherited};
use crate::tracefs::{Kind, Tracefs, event_name};

/// How often, and at what intervals, it is looked whether the service manager has closed a probe.
const CLOSING_TRIES: u32 = 2000;
/// See above.
const CLOSING_STEP: Duration = Duration::from_millis(5);

/// How the name of the second program of a tracepoint ends.
const SECOND: &str = "_again";

/// A hook.
#[derive(Clone, Copy, Debug)]
struct Probe {
    program: &'static str,
    kind: Kind,
    /// Names that the function has had, or functions that do for one another: the first that the kernel has.
    functions: &'static [&'static str],
    /// Events that need it; none: all of them.
    events: &'static [Event],
    need: Need,
    /// Only where journald is watched.
    of_journald: bool,
}

/// What it means that a kernel has none of a probe's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The event cannot be recorded.
    Required,
    /// A part of it cannot.
    Optional,
    /// The same, if the kernel has this function; else there is nothing to record.
    With(&'static str),
}

const fn entry(program: &'static str, functions: &'static [&'static str], events: &'static [Event]) -> Probe {
    Probe { program, kind: Kind::Kprobe, functions, events, need: Need::Required, of_journald: false }
}

const fn exit(program: &'static str, functions: &'static [&'static str], events: &'static [Event]) -> Probe {
    Probe { program, kind: Kind::Kretprobe, functions, events, need: Need::Required, of_journald: false }
}

const fn tracepoint(
    program: &'static str,
    names: &'static [&'static str],
    events: &'static [Event],
) -> Probe {
    let kind = Kind::Tracepoint;
    Probe { program, kind, functions: names, events, need: Need::Required, of_journald: false }
}

const fn optional(probe: Probe) -> Probe {
    Probe { need: Need::Optional, ..probe }
}

/// Of a call that a kernel without the function does not have either.
const fn newer(probe: Probe) -> Probe {
    Probe { need: Need::With(probe.functions[0]), ..probe }
}

const fn with(function: &'static str, probe: Probe) -> Probe {
    Probe { need: Need::With(function), ..probe }
}

/// What is watched, as far as it decides which probes are needed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of any unit.
    pub events: EventSet,
    /// A unit is journald.
    pub journald: bool,
}

impl Probe {
    fn needed(&self, Wanted { events, journald }: Wanted) -> bool {
        if self.of_journald && !journald {
            return false;
        }
        !events.is_empty() && (self.events.is_empty() || self.events.iter().any(|e| events.contains(*e)))
    }
}

/// What every event needs.
const COMMON: &[Probe] = &[
    entry("probe_exit", &["do_exit"], &[]),
    // Whether it is systemd that acts, before the unit's program runs.
    entry("probe_task_gone", &["exit_files"], &[]),
    entry("probe_exec_success", &["finalize_exec"], &[]),
    entry("probe_exec_check", &["security_bprm_check"], &[]),
    entry("probe_task_made", &["wake_up_new_task"], &[]),
    // systemd writes the invocation id here, of scopes there; without them the id is systemd's answer on the bus.
    optional(entry("probe_kernfs_xattr", &["kernfs_vfs_xattr_set"], &[])),
    optional(entry("probe_symlink_made", &["vfs_symlink"], &[])),
];

/// All, by what they belong to. In each table ends of a call come before its beginning, so that no call is begun
/// whose end is not seen.
const TABLES: [&[Probe]; 11] = [
    COMMON,
    journald::PROBES,
    process::PROBES,
    open::PROBES,
    io::PROBES,
    entries::PROBES,
    attributes::PROBES,
    mounts::PROBES,
    network::PROBES,
    privilege::PROBES,
    signal::PROBES,
];

fn table() -> impl DoubleEndedIterator<Item = &'static Probe> {
    TABLES.into_iter().flatten()
}

/// What is not seen without a probe on one of these functions.
fn part(functions: &[&str]) -> String {
    let names = functions.join(" or ");
    let what = match functions[0] {
        f if f.starts_with("io_") || f.starts_with("__io_") => "a part of what io_uring does",
        "do_mount_setattr" => "the file that mount_setattr finds",
        "kern_path" => "the file that a unix socket is found by",
        f if f.starts_with("__ia32") => "some failures of 32-bit programs",
        f if f.starts_with("__x64") => "some failures",
        _ => "a part",
    };
    format!("{what}: the kernel has no function {names}")
}

/// A probe's place in tracefs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    program: &'static str,
    /// The first of its functions.
    function: &'static str,
}

impl Key {
    fn of(probe: &Probe) -> Self {
        Self { kind: probe.kind, program: probe.program, function: probe.functions[0] }
    }
}

/// A probe that is attached.
#[derive(Debug)]
struct Attached {
    /// By what: the probe's own kind, or what does the same by a trampoline.
    kind: Kind,
    function: &'static str,
    /// Of its definition.
    name: String,
    /// Keeps it attached.
    link: OwnedFd,
}

/// Why a probe could not be made.
#[derive(Debug)]
pub enum Error {
    /// tracefs refused the definition.
    Define(Hook, std::io::Error),
    /// The program could not be loaded or attached.
    Attach(kernel::Error),
    /// tracefs could not be read or written.
    Tracefs(std::io::Error),
    /// The service manager could not be told to keep a probe, or not to.
    Store(std::io::Error),
}

/// A probe as messages name it.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    kind: Kind,
    functions: &'static [&'static str],
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Define(Hook { kind, functions }, error) => {
                let functions = functions.join(" or ");
                write!(f, "cannot define a {} on the kernel function {functions}: {error}", kind.name())
            }
            Self::Attach(error) => error.fmt(f),
            Self::Tracefs(error) => write!(f, "cannot use tracefs: {error}"),
            Self::Store(error) => write!(f, "cannot use the service manager's store of descriptors: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The kernel has no such function, or none that can be probed; it says `ENOENT` up to 6.1, then `EINVAL`, and
    /// `EADDRNOTAVAIL` where something else has the name, data included: by address we could not, they are hidden.
    fn is_no_such_function(&self) -> bool {
        let absent = [Errno::ENOENT, Errno::EINVAL, Errno::EADDRNOTAVAIL].map(|e| Some(e as i32));
        matches!(self, Self::Define(_, error) if absent.contains(&error.raw_os_error()))
    }
}

/// The probes attached now.
#[derive(Debug)]
pub struct Probes {
    tracefs: Tracefs,
    maxactive: u32,
    attached: HashMap<Key, Attached>,
    /// Hits and misses of definitions that were removed since.
    before: HashMap<Key, (u64, u64)>,
    /// Events that this kernel has no function for, and why.
    lacking: HashMap<Event, String>,
    /// Optional probes that this kernel has no function for.
    absent: HashSet<Key>,
    /// See [`untold_lack`](Self::untold_lack).
    told_lack: bool,
}

impl Probes {
    /// Begins with those that the daemon before has left; removes what else it has in tracefs.
    pub fn new(
        tracefs: Tracefs,
        settings: &Settings,
        kernel: &mut Kernel,
        inherited: &mut Inherited,
    ) -> Result<Self, Error> {
        let mut attached = HashMap::new();
        for probe in table() {
            for &function in probe.functions {
                for kind in [probe.kind].into_iter().chain(probe.kind.by_trampoline()) {
                    let name = event_name(kind, function, probe.program);
                    if let Some(link) = inherited.remove(&name) {
                        attached.insert(Key::of(probe), Attached { kind, function, name, link });
                    }
                }
            }
        }
        if settings.probe_backend != Backend::Kprobe {
            let hooked = table().filter(|p| p.kind.by_trampoline().is_some());
            let functions = hooked.flat_map(|p| p.functions).copied().collect();
            if !kernel.use_trampolines(&functions) && settings.probe_backend == Backend::Fentry {
                log::warn!(
                    "probe-backend is \"fentry\", for which this kernel is too old or lacks its BTF; kprobes are used."
                );
            }
        }
        let ours = |name: &String| attached.values().any(|a| a.name == *name);
        for name in tracefs.defined().map_err(Error::Tracefs)?.iter().filter(|name| !ours(name)) {
            remove_definition(&tracefs, name)?;
        }
        Ok(Self {
            tracefs,
            maxactive: settings.maxactive,
            attached,
            before: HashMap::new(),
            lacking: HashMap::new(),
            absent: HashSet::new(),
            told_lack: false,
        })
    }

    /// Names under which the service manager keeps the probes that are needed.
    pub fn descriptors(&self, wanted: Wanted) -> Vec<String> {
        let needed = table().filter(|p| p.needed(wanted));
        needed.filter_map(|p| Some(self.attached.get(&Key::of(p))?.name.clone())).collect()
    }

    /// Number of probes attached.
    pub fn len(&self) -> usize {
        self.attached.len()
    }

    /// Why this kernel cannot tell of an event; `None` if it can, or nobody has asked for it yet.
    pub fn lacking(&self, event: Event) -> Option<&str> {
        self.lacking.get(&event).map(String::as_str)
    }

    /// What of an event this kernel has no function for.
    pub fn missing_parts(&self, event: Event) -> Vec<String> {
        let lacks = |function| self.absent.iter().any(|key| key.function == function);
        let missing = |p: &&Probe| {
            p.events.contains(&event)
                && self.absent.contains(&Key::of(p))
                && !matches!(p.need, Need::With(function) if lacks(function))
        };
        let mut parts: Vec<_> = table().filter(missing).map(|p| part(p.functions)).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// Functions without which what journald does with records cannot be told from what else it does.
    fn lacking_of_journald(&self) -> Vec<String> {
        let lacking = |p: &&Probe| p.need == Need::Optional && self.absent.contains(&Key::of(p));
        journald::PROBES.iter().filter(lacking).map(|p| p.functions.join(" or ")).collect()
    }

    /// Says once that, if it is so.
    pub fn untold_lack(&mut self) -> Option<String> {
        let names = self.lacking_of_journald();
        if self.told_lack || names.is_empty() {
            return None;
        }
        self.told_lack = true;
        Some(format!(
            "journald is watched, and this kernel has no function {}: what journald does with records makes records. \
             Watch fewer events of it, or other units.",
            names.join(", ")
        ))
    }

    /// Attaches what is needed. Events that the kernel has no function for are left out, see
    /// [`lacking`](Self::lacking). On an error what was attached before still is, and nothing else.
    pub fn want(&mut self, kernel: &mut Kernel, wanted: Wanted) -> Result<(), Error> {
        let able = |lacking: &HashMap<Event, String>| Wanted {
            events: wanted.events.iter().filter(|e| !lacking.contains_key(e)).collect(),
            ..wanted
        };
        let needed = able(&self.lacking);
        let probes = || table().filter(|p| p.needed(needed) && !self.absent.contains(&Key::of(p)));
        let trampolines: Vec<_> = probes().filter_map(|p| trampoline(kernel, p)).collect();
        kernel.load_trampolines(trampolines.into_iter()).map_err(Error::Attach)?;
        let others: Vec<_> =
            probes().filter(|p| trampoline(kernel, p).is_none()).map(|p| p.program).collect();
        kernel.load_programs(others.into_iter()).map_err(Error::Attach)?;
        let mut made = Vec::new();
        for probe in table() {
            let key = Key::of(probe);
            let program = probe.program;
            let settled = self.attached.contains_key(&key) || self.absent.contains(&key);
            if settled || !probe.needed(able(&self.lacking)) {
                continue;
            }
            // Of these the first see the end of what the others begin.
            if probe.of_journald && !self.lacking_of_journald().is_empty() {
                continue;
            }
            service::at_work();
            kernel.forget_before(program);
            let attached = self.attach(kernel, probe).and_then(|()| match program {
                network::LISTENER_ACCEPTS => kernel.find_listeners().map_err(Error::Attach),
                _ => Ok(()),
            });
            match attached {
                Ok(()) => made.push(key),
                Err(error) if error.is_no_such_function() && probe.need != Need::Required => {
                    self.absent.insert(Key::of(probe));
                }
                Err(error) if error.is_no_such_function() && !probe.events.is_empty() => {
                    for event in probe.events {
                        self.lacking.insert(*event, error.to_string());
                    }
                }
                Err(error) => {
                    made.push(key);
                    self.remove(&made)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Removes what is not needed.
    pub fn remove_unneeded(&mut self, wanted: Wanted) -> Result<(), Error> {
        let events = wanted.events.iter().filter(|e| !self.lacking.contains_key(e)).collect();
        let able = Wanted { events, ..wanted };
        let unneeded: Vec<_> = table().filter(|p| !p.needed(able)).map(Key::of).rev().collect();
        self.remove(&unneeded)
    }

    fn attach(&mut self, kernel: &mut Kernel, probe: &Probe) -> Result<(), Error> {
        let Probe { program, kind, functions, events: _, need: _, of_journald: _ } = *probe;
        if let (Some(hook), Some(kind)) = (trampoline(kernel, probe), kind.by_trampoline()) {
            let (_, function) = hook;
            if let Some(link) = kernel.attach_trampoline(hook) {
                let name = event_name(kind, function, program);
                return self.attached_as(probe, Attached { kind, function, name, link });
            }
            kernel.load_programs(iter::once(program)).map_err(Error::Attach)?;
        }
        let mut refused = None;
        for &function in functions {
            let name = event_name(kind, function, program);
            if kind == Kind::Tracepoint {
                let link = kernel.attach_tracepoint(program, function).map_err(Error::Attach)?;
                return self.attached_as(probe, Attached { kind, function, name, link });
            }
            if let Err(error) = self.tracefs.define(kind, &name, function, self.maxactive) {
                refused = Some(Error::Define(Hook { kind, functions }, error));
                continue;
            }
            let id = self.tracefs.id(&name).map_err(Error::Tracefs);
            let attached =
                id.and_then(|id| kernel.attach(program, &name, id).map_err(Error::Attach)).and_then(|link| {
                    self.attached_as(probe, Attached { kind, function, name: name.clone(), link })
                });
            if attached.is_err() {
                self.tracefs.remove(&name).map_err(Error::Tracefs)?;
            }
            return attached;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Has the service manager keep what is attached.
    fn attached_as(&mut self, probe: &Probe, attached: Attached) -> Result<(), Error> {
        store::put(&attached.name, attached.link.as_fd()).map_err(Error::Store)?;
        self.attached.insert(Key::of(probe), attached);
        Ok(())
    }

    fn remove(&mut self, keys: &[Key]) -> Result<(), Error> {
        if !keys.iter().any(|k| self.attached.contains_key(k)) {
            return Ok(());
        }
        let profile = self.tracefs.profile().map_err(Error::Tracefs)?;
        // Out of the store first: what it still has would stay attached.
        let names = keys.iter().filter_map(|k| Some(self.attached.get(k)?.name.as_str()));
        store::remove(names).and_then(|()| store::synchronize()).map_err(Error::Store)?;
        for key in keys {
            let Some(Attached { kind, function: _, name, link }) = self.attached.remove(key) else {
                continue;
            };
            service::at_work();
            drop(link);
            if !kind.is_defined() {
                continue;
            }
            let (hits, misses) = profile.get(&name).copied().unwrap_or_default();
            let total = self.before.entry(*key).or_default();
            total.0 += hits;
            total.1 += misses;
            remove_definition(&self.tracefs, &name)?;
        }
        Ok(())
    }

    /// Removes all.
    pub fn clear(&mut self) -> Result<(), Error> {
        let all: Vec<_> = table().map(Key::of).rev().collect();
        self.remove(&all)
    }

    /// The probes attached now, with the kernel's counts, in the order of the table. It counts how often programs
    /// of tracepoints and trampolines run only where `kernel.bpf_stats_enabled` is set. That a program was not started,
    /// since another was at work on that processor, counts as a miss of the first probe that has it.
    pub fn status(&self, kernel: &Kernel) -> std::io::Result<Vec<ProbeStatus>> {
        let profile = self.tracefs.profile()?;
        let mut told = HashSet::new();
        let status = |probe: &Probe| {
            let key = Key::of(probe);
            let Attached { kind, function, name, link: _ } = self.attached.get(&key)?;
            let of_program = match kind {
                Kind::Fentry | Kind::Fexit => Some(kernel.trampoline_counts((probe.program, function))),
                // Each program is asked once, however many probes have it.
                _ => told.insert(probe.program).then(|| kernel.program_counts(probe.program)),
            };
            let ProgramCounts { runs, missed } = of_program.unwrap_or_default();
            let (hits, misses) =
                if kind.is_defined() { profile.get(name).copied().unwrap_or_default() } else { (runs, 0) };
            let misses = misses + missed;
            let before = self.before.get(&key).copied().unwrap_or_default();
            Some(ProbeStatus {
                function: (*function).to_owned(),
                kind: kind.name(),
                hits: hits + before.0,
                misses: misses + before.1,
            })
        };
        Ok(table().filter_map(status).collect())
    }
}

/// The trampoline by which a probe is to be attached, if it is.
fn trampoline(kernel: &Kernel, probe: &Probe) -> Option<Trampoline> {
    probe.kind.by_trampoline().and_then(|_| kernel.trampoline(probe.program, probe.functions))
}

/// Removes a definition. The service manager closes what it was told to in its own time, and until then the kernel
/// says that it is in use.
fn remove_definition(tracefs: &Tracefs, name: &str) -> Result<(), Error> {
    for _ in 0..CLOSING_TRIES {
        match tracefs.remove(name) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                service::at_work();
                thread::sleep(CLOSING_STEP);
            }
            other => return other.map_err(Error::Tracefs),
        }
    }
    tracefs.remove(name).map_err(Error::Tracefs)
}

/// True if there is a second program of this one's tracepoint.
fn is_one_of_two(program: &str) -> bool {
    SEEING.contains_key(&*format!("{program}{SECOND}"))
}

/// The first event of a probe, which stands for all that it is needed for.
fn event_of(probe: &Probe) -> Event {
    probe.events.first().copied().unwrap_or(Event::Exec)
}

/// The programs by which events are seen, and the event that each stands for. A return is not among them: without it
/// there is a record all the same.
static SEEING: LazyLock<HashMap<&str, Event>> = LazyLock::new(|| {
    let seeing = |p: &&Probe| p.kind != Kind::Kretprobe && !network::ADDING.contains(&p.program);
    // The first of a program counts.
    table().filter(seeing).rev().map(|p| (p.program, event_of(p))).collect()
});

/// How often the kernel did not start a program by which an event is seen, since the programs were loaded.
///
/// What a second program of the same tracepoint has seen was not missed; so of two such the lesser counts.
pub fn not_started(kernel: &Kernel) -> Vec<(Event, u64)> {
    let mut of_two: HashMap<&str, (Event, u64)> = HashMap::new();
    let mut missed = Vec::new();
    for (program, count) in kernel.misses() {
        let Some(&event) = SEEING.get(program) else { continue };
        let first = program.strip_suffix(SECOND).unwrap_or(program);
        if is_one_of_two(first) {
            let (_, least) = of_two.entry(first).or_insert((event, count));
            *least = count.min(*least);
        } else if count != 0 {
            missed.push((event, count));
        }
    }
    missed.extend(of_two.into_values().filter(|(_, count)| *count != 0));
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_is_there_once_and_each_event_has_hooks() {
        let mut names: Vec<_> =
            table().flat_map(|p| p.functions.iter().map(|f| event_name(p.kind, f, p.program))).collect();
        let all = names.len();
        // MAX_EVENT_NAME_LEN of the kernel, kernel/trace/trace_probe.h.
        assert!(names.iter().all(|n| n.len() < 64), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for event in Event::all() {
            assert!(table().any(|p| p.need == Need::Required && p.events.contains(&event)), "{event}");
        }
    }

    #[test]
    fn programs_are_in_the_object() {
        let object = include_str!("../../../bpf/traceleft.bpf.c");
        for probe in table() {
            let name = probe.program;
            let there = object.contains(&format!("({name},")) || object.contains(&format!("int {name}("));
            assert!(there, "{name}");
        }
    }
}
