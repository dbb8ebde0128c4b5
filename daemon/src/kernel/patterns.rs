//! Patterns of units in the kernel: the automaton by which a new unit's name is looked at.

use libbpf_rs::{MapCore, MapFlags};

use super::{Error, Kernel, Trying, absent_is_fine};
use crate::pattern::{Automaton, DEAD, START, SetId, StateId};
use crate::skel::types;
use crate::wire;

/// States that patterns may need together.
pub const PATTERN_STATES: u32 = types::limits::PATTERN_STATES.0;

/// The state in which the automaton of patterns begins; 0 where there are none. There is room for two automata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternsStart(u32);

impl PatternsStart {
    /// What is added to the numbers of its states, and of its sets of patterns.
    fn first(self) -> u32 {
        self.0 / PATTERN_STATES * PATTERN_STATES
    }

    /// How the kernel side numbers a set of patterns.
    pub fn set(self, set: SetId) -> u32 {
        if set == 0 { 0 } else { self.first() + set }
    }
}

impl Kernel {
    /// Where the patterns in force begin.
    pub fn patterns_start(&self) -> PatternsStart {
        PatternsStart(u32::try_from(self.patterns_start.get()).unwrap_or_default())
    }

    /// Enters the states of patterns, beside those in force, and gives the state in which they begin.
    pub fn enter_patterns(&self, automaton: &Automaton) -> Result<PatternsStart, Error> {
        // A daemon may have been broken off at it.
        self.remove_patterns()?;
        let first = if self.patterns_start().first() == 0 { PATTERN_STATES } else { 0 };
        let mut start = PatternsStart(0);
        let shifted = |id: u32| if id == 0 { 0 } else { first + id };
        for (state, next, set) in automaton.states() {
            start = PatternsStart(first + u32::from(START));
            let mut value = types::pattern_state { matched: shifted(set), ..Default::default() };
            for (to, from) in value.next.iter_mut().zip(next) {
                *to = StateId::try_from(shifted(u32::from(*from))).unwrap_or(DEAD);
            }
            self.skel
                .maps
                .patterns
                .update(&shifted(state.into()).to_ne_bytes(), wire::bytes(&value), MapFlags::ANY)
                .trying("cannot enter the patterns of units into the kernel")?;
        }
        Ok(start)
    }

    /// Puts the patterns in force that begin here, and removes those that were until now.
    pub fn use_patterns(&self, start: PatternsStart) -> Result<(), Error> {
        if start == self.patterns_start() {
            return Ok(());
        }
        self.patterns_start.set(start.0.into());
        self.remove_patterns()
    }

    /// Removes the states of patterns that are not in force.
    fn remove_patterns(&self) -> Result<(), Error> {
        let in_force = self.patterns_start();
        let patterns = &self.skel.maps.patterns;
        for key in patterns.keys() {
            let state = PatternsStart(key.as_slice().try_into().map(u32::from_ne_bytes).unwrap_or_default());
            if in_force.0 == 0 || state.first() != in_force.first() {
                absent_is_fine(patterns.delete(&key))
                    .trying("cannot remove patterns of units from the kernel")?;
            }
        }
        Ok(())
    }
}
