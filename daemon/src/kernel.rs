//! The BPF object: loaded once, its maps and programs.

mod access;
mod patterns;
mod trampolines;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Iter, MapCore, MapFlags, MapHandle, OpenObject, PrintLevel};

use crate::attach::{self, ProgramCounts};
use crate::config::{Backend, Settings};
use crate::event::EVENTS;
use crate::names::TRACEFS_GROUP;
use crate::pattern::Automaton;
use crate::ring::{Ring, SharedNumber, SharedWords};
use crate::service;
use crate::skel::{OpenTraceleftSkel, TraceleftSkel, TraceleftSkelBuilder, types};
use crate::store::{self, Inherited};
use crate::unit_name::Target;
use crate::wire;

use access::{ACCESS_WORDS, Map};
pub use patterns::{PATTERN_STATES, PatternStates, SetNumbers};
pub use trampolines::Hook;

/// Bytes of the ring that tells of control groups.
const GROUP_RING_SIZE: u32 = 1 << 20;
/// The reader is woken at once when the ring is this full: an eighth.
const HIGH_WATER_PART: u32 = 8;
/// So many tasks as this part of the calls may keep what they have of one for the next.
const IDLE_PART: u32 = 4;
/// Connections being made, at most; beyond them an attempt is recorded without its outcome.
const CONNECTS: u32 = 4096;
/// Programs that are loaded at a time: so long the service manager does not hear of the daemon.
const ROUND: usize = 32;

/// Programs that belong to no probe: they follow control groups, end the others, and access maps for the daemon.
const ALWAYS_LOADED: [&str; 4] = ["group_made", "group_removed", "finish_record", ACCESS_MAP];
/// Tracepoints of control groups, and the programs that are attached to them.
const GROUP_TRACEPOINTS: [(&str, &str); 2] =
    [("group_made", "cgroup_mkdir"), ("group_removed", "cgroup_rmdir")];

/// 64-bit numbers that are counted of one target on one processor.
const TARGET_WORDS: usize = size_of::<types::target_counters>() / size_of::<u64>();

/// The program by which the daemon accesses maps.
const ACCESS_MAP: &str = "access_map";

/// The program that goes through the files of all tasks.
const FIND_LISTENERS: &str = "find_listeners";

/// What the kernel has counted of one event of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounters {
    /// Events that its programs saw.
    pub seen: u64,
    /// Of those, without room in the ring.
    pub lost_ring: u64,
    /// Of those, without room in a map.
    pub lost_state: u64,
    /// Of those, without result.
    pub results_missed: u64,
    /// Events for which it did not start a program, of any process.
    pub lost_probe: u64,
}
/// Index into the kernel's counters, and into the table of the sets of watches that they belong to.
pub type TargetId = u32;
/// No target: a parent that is not watched.
pub const NO_TARGET: TargetId = types::targets::NO_TARGET.0;

/// Why the object could not be loaded or a part of it used.
#[derive(Debug)]
pub struct Error {
    /// What was tried.
    what: String,
    /// What the kernel or libbpf said.
    source: libbpf_rs::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:#}", self.what, self.source)
    }
}

impl std::error::Error for Error {}

/// Says what was tried where libbpf refused it.
trait Trying<T> {
    fn trying(self, what: impl fmt::Display) -> Result<T, Error>;
}

impl<T> Trying<T> for libbpf_rs::Result<T> {
    fn trying(self, what: impl fmt::Display) -> Result<T, Error> {
        self.map_err(|source| Error { what: what.to_string(), source })
    }
}

/// Name of a unit, or of a template, as the kernel side looks it up, and what its group gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Target of the parent group.
    pub parent: TargetId,
    /// `nginx.service`, `getty@.service`; empty for any that the patterns match.
    pub unit: String,
    /// Number of the set of patterns that match the name of an instance or any other; 0 is none of them.
    pub patterns: u32,
}

/// What is watched in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Mask of events.
    pub events: u64,
    /// Target.
    pub target: TargetId,
    /// Bytes of data that records of `read` and `write` have.
    pub capture: u16,
    /// What systemd does before the unit's program runs is recorded, too.
    pub set_up: bool,
}

/// The maps that are used by name.
macro_rules! maps {
    ($($name:ident),+ $(,)?) => {
        struct Maps { $( $name: MapHandle ),+ }

        impl Maps {
            fn new(skel: &TraceleftSkel<'_>) -> libbpf_rs::Result<Self> {
                Ok(Self { $( $name: MapHandle::try_from(&skel.maps.$name)? ),+ })
            }
        }
    };
}

maps! {
    clients, connections, connects, established, group_ring, groups, large_calls, listeners, names, patterns,
    removed_groups, ring, servers, set_up_tasks, small_calls, tasks,
}

/// The object in the kernel: its maps are made once, its programs loaded when they are first needed, since it is
/// the verifier that takes most of the time.
pub struct Kernel {
    maps: Maps,
    /// All maps, in the order of the object, to be shared with what is loaded later.
    all_maps: Vec<MapHandle>,
    /// The program that accesses maps.
    access_map: OwnedFd,
    /// By target and processor.
    counters: SharedWords,
    processors: u32,
    /// What the program that accesses maps is to do.
    map_access: SharedWords,
    /// The programs that have been loaded since.
    loaded: HashMap<String, OwnedFd>,
    /// The functions that may have trampolines.
    described: HashSet<&'static str>,
    /// Those that have none all the same.
    refused: HashSet<Hook>,
    /// Keep the programs attached that follow control groups.
    _group_links: Vec<OwnedFd>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

/// Name under which the service manager keeps a map.
fn map_name(map: &OsStr) -> String {
    format!("map.{}", map.to_string_lossy())
}

/// The same of a program.
fn program_name(program: &str) -> String {
    format!("program.{program}")
}

/// The same of what follows control groups.
fn link_name(tracepoint: &str) -> String {
    format!("link.{tracepoint}")
}

impl Kernel {
    /// Loads the object with maps of these sizes, and attaches what follows control groups.
    pub fn load(settings: &Settings) -> Result<(Self, Rings), Error> {
        let processors = prepare()?;
        let mut storage = MaybeUninit::uninit();
        let mut open = open_with(&mut storage, &ALWAYS_LOADED)?;
        // Beside the calls under way, what tasks have kept of their last.
        let idle = settings.calls / IDLE_PART;
        let sizes = [
            (&mut open.maps.ring, settings.ring_size),
            (&mut open.maps.group_ring, GROUP_RING_SIZE),
            (&mut open.maps.groups, settings.control_groups),
            (&mut open.maps.tasks, settings.calls.saturating_add(idle)),
            (&mut open.maps.exec_calls, settings.calls),
            (&mut open.maps.connect_calls, settings.calls),
            (&mut open.maps.connects, settings.calls.min(CONNECTS)),
            (&mut open.maps.connections, settings.calls),
            (&mut open.maps.names, settings.watches.saturating_mul(4)),
            (&mut open.maps.counters, settings.watches.saturating_mul(processors)),
            (&mut open.maps.small_calls, settings.calls.saturating_add(idle)),
        ];
        let workspaces = if settings.probe_backend == Backend::Kprobe { 1 } else { WORKSPACES };
        let scratch = [
            (&mut open.maps.assemblies, workspaces),
            (&mut open.maps.walks, workspaces),
            (&mut open.maps.connect_scratch, workspaces),
            (&mut open.maps.connection_scratch, workspaces),
            (&mut open.maps.open_name_scratch, workspaces),
        ];
        for (map, entries) in sizes.into_iter().chain(scratch) {
            map.set_max_entries(entries).trying("cannot set the size of a BPF map")?;
        }
        // What takes its place later is of the same kind; libbpf's own would tell the kernel of its types, too.
        let no_patterns = PatternStates::new(&Automaton::default(), SetNumbers::default())?;
        open.maps
            .patterns
            .set_inner_map_fd(no_patterns.as_fd())
            .trying("cannot prepare the map of patterns")?;
        if let Some(rodata) = open.maps.rodata_data.as_mut() {
            rodata.idle_tasks = u64::from(idle);
            rodata.high_water = u64::from(settings.ring_size / HIGH_WATER_PART);
            rodata.processors = processors;
            rodata.ring_size = u64::from(settings.ring_size);
        }
        let skel = open.load().trying("cannot load the BPF programs")?;
        let finisher = skel.progs.finish_record.as_fd().as_raw_fd();
        skel.maps
            .finisher
            .update(&0u32.to_ne_bytes(), &finisher.to_ne_bytes(), MapFlags::ANY)
            .trying("cannot set the finishing program")?;
        let mut links = Vec::new();
        for (program, tracepoint) in GROUP_TRACEPOINTS {
            let program = skel.object().progs().find(|p| p.name() == program);
            let program = program.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
            let link = program.and_then(|p| attach::raw_tracepoint(p.as_fd(), tracepoint));
            links.push(
                link.map_err(libbpf_rs::Error::from)
                    .trying(format_args!("cannot attach to the tracepoint {tracepoint}"))?,
            );
        }
        for map in skel.object().maps() {
            keep(&map_name(map.name()), map.as_fd())?;
        }
        for ((_, tracepoint), link) in GROUP_TRACEPOINTS.iter().zip(&links) {
            keep(&link_name(tracepoint), link.as_fd())?;
        }
        Self::assemble(&skel, settings, processors, HashMap::new(), links)
    }

    /// Takes over what the daemon before has loaded, with the same settings, from the same object.
    pub fn adopt(settings: &Settings, inherited: &mut Inherited) -> Result<(Self, Rings), Error> {
        let processors = prepare()?;
        let mut storage = MaybeUninit::uninit();
        let mut open = open_with(&mut storage, &[ACCESS_MAP])?;
        let mut take = |name: &str| {
            let missing = || libbpf_rs::Error::from(io::Error::from(io::ErrorKind::NotFound));
            inherited.remove(name).ok_or_else(missing).trying(format_args!("{name} is not in the store"))
        };
        for mut map in open.open_object_mut().maps_mut() {
            let descriptor = take(&map_name(map.name()))?;
            map.reuse_fd(descriptor.as_fd()).trying("cannot take over a BPF map")?;
        }
        let links = GROUP_TRACEPOINTS.iter().map(|(_, t)| take(&link_name(t))).collect::<Result<_, _>>()?;
        let skel = open.load().trying("cannot take over the BPF maps")?;
        let prefix = program_name("");
        let names: Vec<_> = inherited.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        let loaded = names
            .iter()
            .filter_map(|name| Some((name.strip_prefix(&prefix)?.to_owned(), inherited.remove(name)?)));
        Self::assemble(&skel, settings, processors, loaded.collect(), links)
    }

    /// Takes what is needed of the object that was loaded: libbpf's own has a copy of each program.
    fn assemble(
        skel: &TraceleftSkel<'_>,
        settings: &Settings,
        processors: u32,
        loaded: HashMap<String, OwnedFd>,
        group_links: Vec<OwnedFd>,
    ) -> Result<(Self, Rings), Error> {
        // Not by libbpf's own view of it: of a map that is taken over that is a copy.
        let bss = SharedWords::writable(skel.maps.bss.as_fd(), size_of::<types::bss>() / size_of::<u64>());
        let bss = Rc::new(bss.map_err(mapping_failed)?);
        let number = |offset| SharedNumber::new(&bss, offset);
        let own_process = number(offset_of!(types::bss, own_process));
        number(offset_of!(types::bss, own_thread)).set(0);
        number(offset_of!(types::bss, former_process)).set(own_process.get());
        own_process.set(std::process::id().into());
        let rings = Rings {
            records: Ring::new(skel.maps.ring.as_fd(), settings.ring_size).map_err(mapping_failed)?,
            groups: Ring::new(skel.maps.group_ring.as_fd(), GROUP_RING_SIZE).map_err(mapping_failed)?,
            reader_sleeps: number(offset_of!(types::bss, reader_sleeps)),
            own_thread: number(offset_of!(types::bss, own_thread)),
            group_news_lost: number(offset_of!(types::bss, group_news_lost)),
            shares: SharedWords::writable(skel.maps.shares.as_fd(), SHARES * SHARE_WORDS)
                .map_err(mapping_failed)?,
        };
        let length = settings.watches.saturating_mul(processors) as usize * TARGET_WORDS;
        let counters = SharedWords::read_only(skel.maps.counters.as_fd(), length).map_err(mapping_failed)?;
        let map_access =
            SharedWords::writable(skel.maps.map_access.as_fd(), ACCESS_WORDS).map_err(mapping_failed)?;
        let what = "cannot keep the BPF maps";
        let all_maps = skel.object().maps().map(|map| MapHandle::try_from(&map)).collect::<Result<_, _>>();
        let access_map = skel.progs.access_map.as_fd().try_clone_to_owned().map_err(libbpf_rs::Error::from);
        let kernel = Self {
            maps: Maps::new(skel).trying(what)?,
            all_maps: all_maps.trying(what)?,
            access_map: access_map.trying("cannot keep a BPF program")?,
            counters,
            processors,
            map_access,
            loaded,
            described: HashSet::new(),
            refused: HashSet::new(),
            _group_links: group_links,
        };
        Ok((kernel, rings))
    }

    /// Names under which the service manager keeps all this.
    pub fn descriptors(&self) -> impl Iterator<Item = String> {
        let maps: Vec<_> = self.all_maps.iter().map(|m| map_name(m.name())).collect();
        let links = GROUP_TRACEPOINTS.iter().map(|(_, tracepoint)| link_name(tracepoint));
        maps.into_iter().chain(links).chain(self.loaded.keys().map(|p| program_name(p)))
    }

    /// Loads those of these programs that have not been loaded yet.
    pub fn load_programs(&mut self, programs: impl Iterator<Item = &'static str>) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let is_new = |p: &&'static str| !self.loaded.contains_key(*p) && seen.insert(*p);
        let missing: Vec<_> = programs.filter(is_new).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let loaded = missing.chunks(ROUND).try_for_each(|round| self.load_several(round));
        attach::give_back_memory();
        loaded
    }

    fn load_several(&mut self, programs: &[&str]) -> Result<(), Error> {
        // Each round takes seconds on a slow machine.
        service::at_work();
        let mut storage = MaybeUninit::uninit();
        let skel = self.load_again(&mut storage, programs)?;
        for program in skel.object().progs() {
            if let Some(name) = programs.iter().find(|p| program.name() == **p) {
                keep(&program_name(name), program.as_fd())?;
                let descriptor = program.as_fd().try_clone_to_owned().map_err(libbpf_rs::Error::from);
                self.loaded.insert((*name).to_owned(), descriptor.trying("cannot keep a BPF program")?);
            }
        }
        Ok(())
    }

    /// Loads the same object once more: these of its programs, with the maps that there are.
    fn load_again<'a>(
        &self,
        storage: &'a mut MaybeUninit<OpenObject>,
        programs: &[&str],
    ) -> Result<TraceleftSkel<'a>, Error> {
        let mut open = open_with(storage, programs)?;
        // It is the same object, so its maps come in the same order.
        for (mut map, first) in open.open_object_mut().maps_mut().zip(&self.all_maps) {
            map.reuse_fd(first.as_fd()).trying("cannot share the BPF maps")?;
        }
        open.load().trying("cannot load BPF programs")
    }

    /// Descriptors of the two rings, to be polled.
    pub fn ring_descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.maps.ring.as_fd(), self.maps.group_ring.as_fd()]
    }

    /// Attaches a program to a definition in tracefs, which has this id, until the descriptor is closed.
    pub fn attach(&self, program: &str, definition: &str, id: u64) -> Result<OwnedFd, Error> {
        let to = format!("{TRACEFS_GROUP}/{definition}");
        self.attach_with(program, &to, |p| attach::tracepoint(p, id))
    }

    /// Attaches a program to a tracepoint, until the descriptor is closed.
    pub fn attach_tracepoint(&self, program: &str, tracepoint: &str) -> Result<OwnedFd, Error> {
        let to = format!("the tracepoint {tracepoint}");
        self.attach_with(program, &to, |p| attach::raw_tracepoint(p, tracepoint))
    }

    fn attach_with(
        &self,
        program: &str,
        to: &str,
        attach: impl Fn(BorrowedFd<'_>) -> io::Result<OwnedFd>,
    ) -> Result<OwnedFd, Error> {
        let loaded = self.loaded.get(program).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        loaded
            .and_then(|p| attach(p.as_fd()))
            .map_err(libbpf_rs::Error::from)
            .trying(format_args!("cannot attach the BPF program {program} to {to}"))
    }

    /// What the kernel has counted of a program; nothing if it is not loaded.
    pub fn program_counts(&self, program: &str) -> ProgramCounts {
        let counts = self.loaded.get(program).and_then(|p| attach::program_counts(p.as_fd()).ok());
        counts.unwrap_or_default()
    }

    /// The programs that have been loaded, and how often the kernel did not start them. One of a trampoline comes once
    /// for each function.
    pub fn misses(&self) -> impl Iterator<Item = (&str, u64)> {
        self.loaded.iter().filter_map(|(name, program)| {
            let counts = attach::program_counts(program.as_fd()).ok()?;
            Some((trampolines::program_of(name), counts.missed))
        })
    }

    /// Enters the owners of all sockets that listen now, so that those can be named that connections are made to.
    pub fn find_listeners(&self) -> Result<(), Error> {
        let found = self.go_through_files();
        attach::give_back_memory();
        found
    }

    fn go_through_files(&self) -> Result<(), Error> {
        let what = "cannot look for the sockets that listen";
        let mut storage = MaybeUninit::uninit();
        let skel = self.load_again(&mut storage, &[FIND_LISTENERS])?;
        let link = skel.progs.find_listeners.attach().trying(what)?;
        let mut iterator = Iter::new(&link).trying(what)?;
        io::copy(&mut iterator, &mut io::sink()).map_err(libbpf_rs::Error::from).trying(what)?;
        Ok(())
    }

    /// Empties the maps that this program fills, or removes from, before it is attached: what is there is of sockets
    /// and tasks that went when nobody looked.
    pub fn forget_before(&self, program: &str) {
        let maps = &self.maps;
        let filled: &[(Map, &dyn MapCore)] = match program {
            "probe_exit" => &[
                (Map::ACCESS_TASKS, &maps.tasks),
                (Map::ACCESS_CALLS, &maps.small_calls),
                (Map::ACCESS_CALLS, &maps.large_calls),
            ],
            // A mark that stayed would be that of another task.
            "probe_task_gone" => &[(Map::ACCESS_MARKS, &maps.set_up_tasks)],
            "probe_listener" => &[(Map::ACCESS_LISTENERS, &maps.listeners)],
            "probe_request" => &[(Map::ACCESS_SERVERS, &maps.servers)],
            "probe_client" => &[(Map::ACCESS_CLIENTS, &maps.clients)],
            "state_connect" => &[(Map::ACCESS_CONNECTS, &maps.connects)],
            "state_close" => {
                &[(Map::ACCESS_CONNECTIONS, &maps.connections), (Map::ACCESS_ESTABLISHED, &maps.established)]
            }
            _ => &[],
        };
        for (map, keys) in filled {
            for key in keys.keys() {
                // A map that forgets the oldest may have been first.
                let _ = self.remove(*map, &key);
            }
        }
    }

    /// The names that are entered now, and what they get.
    pub fn names(&self) -> Vec<(Name, Watched)> {
        let entry = |key: Vec<u8>| {
            let types::name_key { parent_target, patterns, name } = wire::read(&key)?;
            let types::name_value { events, target, capture, set_up } =
                self.read(Map::ACCESS_NAMES, &key).ok()??;
            let unit = name.iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect();
            let watched = Watched { events, target, capture, set_up: set_up != 0 };
            Some((Name { parent: parent_target, unit, patterns }, watched))
        };
        self.maps.names.keys().filter_map(entry).collect()
    }

    /// Ids of the groups that are entered now.
    pub fn group_ids(&self) -> Vec<u64> {
        ids(&self.maps.groups)
    }

    /// Ids of the groups that are removed, and known for what ends after them.
    pub fn removed_group_ids(&self) -> Vec<u64> {
        ids(&self.maps.removed_groups)
    }

    /// Forgets a group that is removed; one that is not there is fine.
    pub fn forget_removed_group(&self, id: u64) -> Result<(), Error> {
        self.remove(Map::ACCESS_REMOVED_GROUPS, &id.to_ne_bytes())
            .trying(format_args!("cannot forget the removed control group {id}"))
    }

    /// Enters a name, or changes what it gets.
    pub fn set_name(&self, name: &Name, watched: Watched) -> Result<(), Error> {
        let Watched { events, target, capture, set_up } = watched;
        let value = types::name_value { events, target, capture, set_up: set_up.into() };
        self.set(Map::ACCESS_NAMES, wire::bytes(&name_key(name)), &value)
            .trying(format_args!("cannot enter unit {:?} into the kernel's map of names", name.unit))
    }

    /// Removes a name; one that is not there is fine.
    pub fn remove_name(&self, name: &Name) -> Result<(), Error> {
        self.remove(Map::ACCESS_NAMES, wire::bytes(&name_key(name)))
            .trying(format_args!("cannot remove unit {:?} from the kernel's map of names", name.unit))
    }

    /// What is watched in a group now, and the invocation id it has.
    pub fn group(&self, id: u64) -> Result<Option<types::group>, Error> {
        self.read(Map::ACCESS_GROUPS, &id.to_ne_bytes()).trying("cannot read a group")
    }

    /// Enters a group, or changes what is watched in it. An invocation id that it has stays.
    pub fn set_group(&self, id: u64, watched: Watched, invocation: &str, share: u16) -> Result<(), Error> {
        let Watched { events, target, capture, set_up } = watched;
        let mut value =
            types::group { events, target, capture, set_up: set_up.into(), share, ..Default::default() };
        if invocation.len() == value.invocation.len() {
            value.invocation.copy_from_slice(invocation.as_bytes());
        }
        self.set(Map::ACCESS_GROUPS, &id.to_ne_bytes(), &value).trying(format_args!(
            "cannot watch control group {id}: the setting control-groups may be too small"
        ))
    }

    /// Removes a group; one that is not there is fine.
    pub fn remove_group(&self, id: u64) -> Result<(), Error> {
        self.remove(Map::ACCESS_GROUPS, &id.to_ne_bytes())
            .trying(format_args!("cannot stop watching control group {id}"))
    }

    /// Counters of a target by event, summed over the processors.
    pub fn counters(&self, target: TargetId) -> Vec<EventCounters> {
        let mut sums = vec![EventCounters::default(); EVENTS.len()];
        let first = target as usize * self.processors as usize;
        for i in first..first + self.processors as usize {
            let value = self.counters.bytes(i * TARGET_WORDS, TARGET_WORDS).unwrap_or_default();
            let types::target_counters { events } = wire::read(&value).unwrap_or_default();
            for (sum, counters) in sums.iter_mut().zip(events) {
                let types::counters { seen, lost_ring, lost_state, results_missed } = counters;
                sum.seen += seen;
                sum.lost_ring += lost_ring;
                sum.lost_state += lost_state;
                sum.results_missed += results_missed;
            }
        }
        sums
    }
}

/// The keys of a map of groups.
fn ids(map: &impl MapCore) -> Vec<u64> {
    map.keys().filter_map(|key| Some(u64::from_ne_bytes(key.try_into().ok()?))).collect()
}

/// What there is to do once, and how many processors there may be.
fn prepare() -> Result<u32, Error> {
    // libbpf explains a refusal at the level of warnings; the journal has it with ours.
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| log::warn!("libbpf: {}", text.trim_end()))));
    let processors =
        libbpf_rs::num_possible_cpus().trying("cannot find out how many processors there are")?;
    Ok(u32::try_from(processors).unwrap_or(u32::MAX))
}

/// Has the service manager keep a descriptor for the next daemon.
fn keep(name: &str, descriptor: BorrowedFd<'_>) -> Result<(), Error> {
    let what = "cannot put a descriptor into the service manager's store";
    store::put(name, descriptor).map_err(libbpf_rs::Error::from).trying(what)
}

/// The object as it is in the binary, to be loaded with these of its programs.
fn open_with<'a>(
    storage: &'a mut MaybeUninit<OpenObject>,
    programs: &[&str],
) -> Result<OpenTraceleftSkel<'a>, Error> {
    let mut open = TraceleftSkelBuilder::default().open(storage).trying("cannot read the BPF object")?;
    for mut program in open.open_object_mut().progs_mut() {
        let wanted = programs.iter().any(|p| program.name() == *p);
        program.set_autoload(wanted);
    }
    Ok(open)
}

/// Programs that can be at work on a processor, one on top of another, if they are of trampolines.
const WORKSPACES: u32 = types::limits::WORKSPACES.0;

/// Units that leave the same rest have a share of the ring together.
const SHARES: usize = types::limits::SHARES.0 as usize;
/// 64-bit numbers of a share.
const SHARE_WORDS: usize = size_of::<types::share>() / size_of::<u64>();

/// Where it is noted how much of the records of a share has been released.
pub fn released_word(share: u16) -> usize {
    const RELEASED: usize = offset_of!(types::share, released) / size_of::<u64>();
    usize::from(share) % SHARES * SHARE_WORDS + RELEASED
}

/// The rings, and the numbers that belong to them.
#[derive(Debug)]
pub struct Rings {
    /// Records.
    pub records: Ring,
    /// News of control groups.
    pub groups: Ring,
    /// 1 while the reader waits without a timer.
    pub reader_sleeps: SharedNumber,
    /// The thread whose work with records is not recorded; 0: none.
    pub own_thread: SharedNumber,
    /// How much news of control groups found no room.
    pub group_news_lost: SharedNumber,
    /// What units have of the ring of records.
    pub shares: SharedWords,
}

fn mapping_failed(error: io::Error) -> Error {
    Error { what: "cannot map a BPF map".to_owned(), source: error.into() }
}

fn name_key(name: &Name) -> types::name_key {
    let mut key =
        types::name_key { parent_target: name.parent, patterns: name.patterns, ..Default::default() };
    // A unit's name is shorter than the key: `Target` and systemd see to that.
    for (to, from) in key.name.iter_mut().zip(name.unit.bytes()) {
        *to = from;
    }
    key
}

/// A target's name for the kernel side: an instance comes to `name@.service` there.
pub fn kernel_name(target: &Target, id: &str) -> String {
    if target.is_many() || id.is_empty() { target.as_str().to_owned() } else { id.to_owned() }
}
