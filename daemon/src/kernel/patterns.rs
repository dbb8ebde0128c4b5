//! Patterns of units in the kernel: the automaton by which a new unit's name is looked at.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, libbpf_sys};

use super::{Error, Kernel, Name, Trying, mapping_failed};
use crate::pattern::{Automaton, START, SetId};
use crate::ring::SharedWords;
use crate::skel::types;
use crate::wire;

/// States that patterns may need together.
pub const PATTERN_STATES: u32 = types::limits::PATTERN_STATES.0;

// The kernel side begins in the same state.
const _: () = assert!(types::limits::PATTERN_START.0 == START as u32);

/// 64-bit numbers of a state.
const STATE_WORDS: usize = size_of::<types::pattern_state>() / size_of::<u64>();

/// How the kernel side numbers sets of patterns: those of each automaton behind those of the one before, so that a
/// name which is looked up by one is never found by the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetNumbers(u32);

impl SetNumbers {
    /// Behind those that these names have.
    pub fn behind<'a>(names: impl IntoIterator<Item = &'a Name>) -> Self {
        Self(names.into_iter().map(|name| name.patterns).max().unwrap_or_default())
    }

    /// The number of a set.
    pub fn of(self, set: SetId) -> u32 {
        if set == 0 { 0 } else { self.0 + set }
    }
}

/// The states of patterns, to be put in force.
#[derive(Debug)]
pub struct PatternStates(MapHandle);

impl PatternStates {
    /// Puts the states of patterns together, with sets numbered like this.
    pub fn new(automaton: &Automaton, numbers: SetNumbers) -> Result<Self, Error> {
        let what = "cannot enter the patterns of units into the kernel";
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        // The dead state comes first: it is all zeros, as a new map is.
        let count = 1 + automaton.states().count();
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: libbpf_sys::BPF_F_MMAPABLE | libbpf_sys::BPF_F_INNER_MAP,
            ..Default::default()
        };
        let (key, value) = (number(size_of::<u32>()), number(size_of::<types::pattern_state>()));
        let map =
            MapHandle::create(MapType::Array, Some("pattern_states"), key, value, number(count), &options);
        let map = map.trying(what)?;
        let memory = SharedWords::writable(map.as_fd(), count * STATE_WORDS).map_err(mapping_failed)?;
        for (state, next, set) in automaton.states() {
            let value = types::pattern_state { matched: numbers.of(set), next: *next, ..Default::default() };
            memory.write(usize::from(state) * STATE_WORDS, wire::bytes(&value));
        }
        Ok(Self(map))
    }
}

impl AsFd for PatternStates {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Kernel {
    /// Puts states of patterns in force, in place of those until now.
    pub fn use_patterns(&self, states: &PatternStates) -> Result<(), Error> {
        let descriptor = states.as_fd().as_raw_fd().to_ne_bytes();
        self.maps
            .patterns
            .update(&0u32.to_ne_bytes(), &descriptor, MapFlags::ANY)
            .trying("cannot put the patterns of units in force")
    }
}
