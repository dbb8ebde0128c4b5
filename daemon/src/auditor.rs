//! What is watched now, in the daemon and in the kernel: watches, probes, names and control groups.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use crate::confirm::{Missing, Numbers};
use crate::control::{Coverage, Origin, Refusal, Resolution, RunningUnit, Status, WatchId, WatchStatus};
use crate::event::{Event, EventSet};
use crate::groups::{self, Group, Groups};
use crate::kernel::{
    Error, EventCounters, Kernel, NO_TARGET, Name, PatternStates, SetNumbers, TargetId, Watched,
};
use crate::ledger::{self, Ledger, Untold};
use crate::memory::{self, Count, Memory};
use crate::names::SELF_TEST_UNIT;
use crate::notice::{CallerDetails, Change, Notice};
use crate::pattern::{Automaton, TooMany};
use crate::plan::{self, Cover, Set, Watch, Watches};
use crate::policy::Policy;
use crate::probes::{self, Probes, Wanted};
use crate::skel::types;
use crate::state::{self, State};
use crate::unit_name::Target;
use crate::wire;

/// Number of the watch of the self-test; those of others begin with 1.
const SELF_TEST: WatchId = 0;

/// The state of the audit.
#[derive(Debug)]
pub struct Auditor {
    kernel: Kernel,
    probes: Probes,
    /// What is kept for the next daemon.
    state: State,
    memory: Rc<Memory>,
    /// See [`state::layout`].
    layout: String,
    /// Targets, and what was counted for them.
    pub ledger: Ledger,
    /// The watched groups.
    pub groups: Groups,
    /// All groups of the machine: the other end of a connection may be in any.
    pub all_groups: Groups,
    /// What the watches cover.
    cover: Cover,
    names: HashMap<Name, Watched>,
    /// The patterns that the kernel side has, and how it numbers their sets.
    patterns: (Rc<Automaton>, SetNumbers),
    hierarchy: PathBuf,
}

impl Auditor {
    /// Begins with the watches of the state, which are in force only when something is applied.
    pub fn new(
        kernel: Kernel,
        probes: Probes,
        ledger: Ledger,
        memory: Rc<Memory>,
        state: State,
        layout: String,
        hierarchy: PathBuf,
    ) -> Self {
        let mut all_groups = Groups::default();
        let mut groups = Groups::default();
        // What the daemon before has entered.
        let entered: HashSet<_> = kernel.group_ids().into_iter().collect();
        for (id, path) in groups::tree(&hierarchy, "/") {
            all_groups.insert(id, &path);
            if entered.contains(&id) {
                groups.insert(id, &path);
            }
        }
        let names: HashMap<_, _> = kernel.names().into_iter().collect();
        // They were put together before.
        let cover = Cover::new(&state.watches, &Cover::default()).unwrap_or_default();
        let patterns = (Rc::default(), SetNumbers::behind(names.keys()));
        Self {
            kernel,
            probes,
            state,
            memory,
            layout,
            ledger,
            groups,
            all_groups,
            cover,
            names,
            patterns,
            hierarchy,
        }
    }

    /// Notes everything for the next daemon.
    fn commit(&self) -> Result<(), Refusal> {
        let mut descriptors: Vec<_> = self.kernel.descriptors().collect();
        descriptors.extend(self.probes.descriptors(self.wanted()));
        let state = State { changes: self.untold_changes(), ..self.state.clone() };
        let document = state::to_document(&self.layout, descriptors, self.ledger.targets(), &state);
        let saved = document.map_err(io::Error::from).and_then(|d| self.memory.save_document(&d));
        saved.map_err(|e| Refusal::Kernel(format!("cannot note what is watched for the next daemon: {e}")))
    }

    /// All events that are watched.
    fn events(&self) -> EventSet {
        self.state.watches.values().fold(EventSet::default(), |all, w| all.union(w.events))
    }

    /// What probes are needed for.
    fn wanted(&self) -> Wanted {
        Wanted { events: self.events(), journald: self.cover.covers_journald() }
    }

    /// What this kernel lacks to leave out what journald does with records, if nobody has been told.
    pub fn untold_lack(&mut self) -> Option<String> {
        self.probes.untold_lack()
    }

    /// Changes of the watches that no record has told of.
    pub fn untold_changes(&self) -> Vec<Change> {
        let told = self.memory.get(memory::CHANGES_TOLD);
        self.state.changes.iter().filter(|change| change.number > told).cloned().collect()
    }

    /// Notes a change of the watches, which is to be told of.
    fn note_change(&mut self, added: bool, id: WatchId, watch: &Watch, caller: CallerDetails) {
        self.state.changes = self.untold_changes();
        self.state.last_change += 1;
        let events: Vec<_> = watch.events.iter().map(Event::name).collect();
        self.state.changes.push(Change {
            number: self.state.last_change,
            added,
            id,
            unit: watch.target.to_string(),
            events: events.join(" "),
            caller,
        });
    }

    /// What is watched and has probes.
    fn testable(&self) -> EventSet {
        self.events().iter().filter(|e| self.probes.lacking(*e).is_none()).collect()
    }

    /// Watches the self-test's unit, for all that is attached. False if that is nothing.
    pub fn begin_self_test(&mut self) -> Result<bool, Refusal> {
        let events = self.testable();
        let Ok(target) = Target::parse(SELF_TEST_UNIT) else { return Ok(false) };
        if events.is_empty() {
            return Ok(false);
        }
        let resolution = Resolution { id: SELF_TEST_UNIT.to_owned(), running: Vec::new() };
        let origin = Origin::SelfTest;
        let watch = Watch { target, events, origin, unit_log: false, capture: 0, set_up: false, resolution };
        let mut wanted = self.state.watches.clone();
        wanted.insert(SELF_TEST, watch);
        self.replace(wanted, self.state.next)?;
        Ok(true)
    }

    /// Ends the self-test, in which these events came; `ended` says why it could not be run to its end, if so.
    pub fn end_self_test(&mut self, came: EventSet, ended: &Result<(), String>) -> Result<(), Refusal> {
        let Some(watch) = self.state.watches.get(&SELF_TEST) else { return Ok(()) };
        for event in watch.events.iter() {
            let result = match ended {
                _ if came.contains(event) => Ok(()),
                Ok(()) => Err("the self-test did it and no record came".to_owned()),
                Err(why) => Err(format!("the self-test could not be run: {why}")),
            };
            self.state.tested.insert(event, result);
        }
        let kernel = &self.kernel;
        self.ledger.discard(&vec![SELF_TEST], &|t| read(kernel, t));
        let mut wanted = self.state.watches.clone();
        wanted.remove(&SELF_TEST);
        self.replace(wanted, self.state.next)
    }

    /// True if only the self-test has watched what has this target.
    pub fn is_of_self_test(&self, target: TargetId) -> bool {
        self.ledger.set(target) == [SELF_TEST]
    }

    /// How far an event can be recorded on this machine.
    pub fn coverage(&self, event: Event) -> Coverage {
        let missing = self.probes.missing_parts(event).join("; ");
        let (state, detail) = match self.state.tested.get(&event) {
            _ if self.probes.lacking(event).is_some() => {
                ("unavailable", self.probes.lacking(event).unwrap_or_default().to_owned())
            }
            Some(Err(why)) => {
                ("unproven", [why.clone(), missing].join("; ").trim_end_matches("; ").to_owned())
            }
            _ if !missing.is_empty() => ("partial", missing),
            _ => ("complete", String::new()),
        };
        Coverage { event, state, detail }
    }

    /// The watches.
    pub fn watches(&self) -> &Watches {
        &self.state.watches
    }

    /// The watches but the daemon's own.
    pub fn public_watches(&self) -> impl Iterator<Item = (&WatchId, &Watch)> {
        self.state.watches.iter().filter(|(id, _)| **id != SELF_TEST)
    }

    /// Number of probes attached.
    pub fn probe_count(&self) -> usize {
        self.probes.len()
    }

    /// Replaces the watches of policies by these. On an error everything is as before.
    pub fn set_policies(&mut self, policies: &[Policy]) -> Result<(), Refusal> {
        let mut wanted = self.state.watches.clone();
        wanted.retain(|_, w| !matches!(w.origin, Origin::Policy(_)));
        let of_policy = |(id, w): (&WatchId, &Watch)| match &w.origin {
            Origin::Policy(name) => Some(((name.clone(), w.target.clone()), *id)),
            Origin::RunTime | Origin::SelfTest => None,
        };
        let known: HashMap<_, _> = self.state.watches.iter().filter_map(of_policy).collect();
        let mut next = self.state.next;
        for policy in policies {
            for target in &policy.units {
                let before = known.get(&(policy.name.clone(), target.clone()));
                // A watch that stays keeps its number, and so its object and its counts.
                let (id, resolution) = match before.and_then(|id| self.state.watches.get_key_value(id)) {
                    Some((id, watch)) => (*id, watch.resolution.clone()),
                    None => (next, Resolution { id: target.to_string(), running: Vec::new() }),
                };
                next = next.max(id + 1);
                let watch = Watch {
                    target: target.clone(),
                    events: policy.events,
                    origin: Origin::Policy(policy.name.clone()),
                    unit_log: policy.unit_log,
                    capture: policy.capture,
                    set_up: policy.set_up,
                    resolution,
                };
                wanted.insert(id, watch);
            }
        }
        self.replace(wanted, next)
    }

    /// Adds a run-time watch. On an error everything is as before; so it is if this kernel can tell of none of the
    /// events.
    pub fn add(
        &mut self,
        target: Target,
        events: EventSet,
        resolution: Resolution,
        caller: CallerDetails,
    ) -> Result<WatchId, Refusal> {
        let id = self.state.next;
        let mut wanted = self.state.watches.clone();
        let origin = Origin::RunTime;
        let watch = Watch { target, events, origin, unit_log: false, capture: 0, set_up: false, resolution };
        wanted.insert(id, watch.clone());
        self.replace(wanted, id + 1)?;
        let lacking: Vec<_> =
            events.iter().filter_map(|e| Some(format!("{e}: {}", self.probes.lacking(e)?))).collect();
        if lacking.len() == events.iter().count() {
            let mut wanted = self.state.watches.clone();
            wanted.remove(&id);
            self.replace(wanted, self.state.next)?;
            return Err(Refusal::Kernel(format!(
                "Nothing of that can be recorded here. {}",
                lacking.join("; ")
            )));
        }
        self.note_change(true, id, &watch, caller);
        self.commit()?;
        Ok(id)
    }

    /// Removes a run-time watch.
    pub fn remove(&mut self, id: WatchId, caller: CallerDetails) -> Result<(), Refusal> {
        let watch = self
            .state
            .watches
            .get(&id)
            .filter(|_| id != SELF_TEST)
            .ok_or_else(|| Refusal::NoSuchWatch(format!("There is no watch {id}.")))?;
        if let Origin::Policy(policy) = &watch.origin {
            return Err(Refusal::NotRunTime(format!(
                "Watch {id} is of the policy {policy}: remove its unit there, and reload."
            )));
        }
        let watch = watch.clone();
        let mut wanted = self.state.watches.clone();
        wanted.remove(&id);
        self.note_change(false, id, &watch, caller);
        self.replace(wanted, self.state.next).inspect_err(|_| drop(self.state.changes.pop()))
    }

    /// Takes over what systemd says of watches.
    pub fn resolved(&mut self, resolutions: Vec<(WatchId, Resolution)>) -> Result<(), Refusal> {
        let mut renamed = false;
        let mut running = Vec::new();
        for (id, resolution) in resolutions {
            if let Some(watch) = self.state.watches.get_mut(&id) {
                renamed |= watch.resolution.id != resolution.id;
                let known = &watch.resolution.running;
                running.extend(resolution.running.iter().filter(|unit| !known.contains(unit)).cloned());
                watch.resolution = resolution;
            }
        }
        if renamed {
            return self.apply();
        }
        self.enter_running(running)
    }

    fn replace(&mut self, wanted: Watches, next: WatchId) -> Result<(), Refusal> {
        let before = std::mem::replace(&mut self.state.watches, wanted);
        match self.apply() {
            Ok(()) => {
                self.state.next = next;
                Ok(())
            }
            Err(refusal) => {
                self.state.watches = before;
                // What could be applied once can be applied again.
                self.apply()?;
                Err(refusal)
            }
        }
    }

    fn target(&mut self, set: &Set) -> Result<Watched, Refusal> {
        let kernel = &self.kernel;
        let target = self.ledger.target(set, &|t| read(kernel, t)).map_err(|ledger::Full| {
            Refusal::LimitReached(
                "There are as many sets of watches as the setting \"watches\" allows: make it larger in \
                 traceleftd.toml, or watch fewer units."
                    .to_owned(),
            )
        })?;
        let watches = || set.iter().filter_map(|id| self.state.watches.get(id));
        let events = watches().fold(EventSet::default(), |all, w| all.union(w.events));
        // What no probe tells of must not be told of in part.
        let events: EventSet = events.iter().filter(|e| self.probes.lacking(*e).is_none()).collect();
        Ok(Watched {
            events: events.mask(),
            target,
            capture: watches().map(|w| w.capture).max().unwrap_or_default(),
            set_up: watches().any(|w| w.set_up),
        })
    }

    /// Makes the kernel side what the watches say. Probes first, so that nothing is watched without them; names
    /// before groups, so that no group can come in between. What the kernel side is to be is noted before, and again
    /// when it is: whatever the daemon is broken off in, the next one comes to the same.
    fn apply(&mut self) -> Result<(), Refusal> {
        self.cover = Cover::new(&self.state.watches, &self.cover)
            .map_err(|TooMany| Refusal::LimitReached(plan::TOO_MANY_PATTERNS.to_owned()))?;
        let wanted = self.wanted();
        self.probes.want(&mut self.kernel, wanted).map_err(|e| Refusal::Kernel(e.to_string()))?;
        let mut names = HashMap::new();
        let mut targets: HashSet<TargetId> = HashSet::new();
        let automaton = Rc::clone(self.cover.automaton());
        // Of those that were there before a restart it is not known what they are.
        let (numbers, new_patterns) = if Rc::ptr_eq(&self.patterns.0, &automaton) {
            (self.patterns.1, None)
        } else {
            let numbers = SetNumbers::behind(self.names.keys());
            (numbers, Some(PatternStates::new(&automaton, numbers).map_err(|e| limit(&e))?))
        };
        for plan in self.cover.names() {
            let parent = self.target(&plan.parent)?.target;
            let watched = self.target(&plan.set)?;
            targets.extend([parent, watched.target]);
            let patterns = numbers.of(plan.patterns);
            names.insert(Name { parent, unit: plan.name, patterns }, watched);
        }
        self.commit()?;
        for (name, watched) in &names {
            if self.names.get(name) != Some(watched) {
                self.kernel.set_name(name, *watched).map_err(|e| limit(&e))?;
                self.names.insert(name.clone(), *watched);
            }
        }
        if let Some(states) = new_patterns {
            self.kernel.use_patterns(&states).map_err(|e| kernel_refused(&e))?;
            self.patterns = (automaton, numbers);
        }
        let known: Vec<_> = self.groups.iter().map(|(id, g)| (id, g.path.clone())).collect();
        for (id, path) in known {
            self.enter(id, &path, "", false)?;
        }
        self.enter_running(self.state.watches.values().flat_map(|w| w.resolution.running.clone()).collect())?;
        let gone: Vec<_> = self.names.keys().filter(|n| !names.contains_key(n)).cloned().collect();
        for name in gone {
            self.kernel.remove_name(&name).map_err(|e| kernel_refused(&e))?;
            self.names.remove(&name);
        }
        for id in self.kernel.removed_group_ids() {
            let watched = |path: &str| !self.cover.covering(path).is_empty();
            if !self.groups.get(id).is_some_and(|g| watched(&g.path)) {
                self.kernel.forget_removed_group(id).map_err(|e| kernel_refused(&e))?;
            }
        }
        self.probes.remove_unneeded(wanted).map_err(|e| Refusal::Kernel(e.to_string()))?;
        for (_, group) in self.groups.iter() {
            let set = self.cover.covering(&group.path);
            let kernel = &self.kernel;
            targets.extend(self.ledger.target(&set, &|t| read(kernel, t)));
        }
        self.ledger.retain(&targets, &self.state.watches);
        self.commit()
    }

    /// Enters the groups of units that run, and those below them.
    fn enter_running(&mut self, running: Vec<RunningUnit>) -> Result<(), Refusal> {
        for unit in running {
            // A unit below a slice has an invocation of its own, which systemd notes at its group; a group below
            // a unit's has the unit's.
            let mut others: HashMap<String, String> = HashMap::new();
            for (id, path) in groups::tree(&self.hierarchy, &unit.control_group) {
                let owner = Group::new(&path).unit;
                let invocation = if owner == unit.unit {
                    unit.invocation_id.clone()
                } else {
                    let noted = || groups::invocation(&self.hierarchy, &path);
                    others.entry(owner).or_insert_with(noted).clone()
                };
                self.enter(id, &path, &invocation, true)?;
            }
        }
        Ok(())
    }

    /// Makes the kernel's entry of a group what the watches say.
    fn enter(&mut self, id: u64, path: &str, invocation: &str, insert: bool) -> Result<(), Refusal> {
        let set = self.cover.covering(path);
        let current = self.kernel.group(id).map_err(|e| kernel_refused(&e))?;
        if set.is_empty() {
            if current.is_some() {
                self.kernel.remove_group(id).map_err(|e| kernel_refused(&e))?;
            }
            return Ok(());
        }
        let watched = self.target(&set)?;
        if insert && !self.groups.has(id) {
            self.groups.insert(id, path);
        }
        let same = |g: &types::group| {
            g.events == watched.events
                && g.target == watched.target
                && g.capture == watched.capture
                && (g.set_up != 0) == watched.set_up
                && (g.invocation[0] != 0 || invocation.is_empty())
        };
        if current.is_none() && !insert {
            return Ok(());
        }
        if !current.is_some_and(|g| same(&g)) {
            let share = groups::share(&self.hierarchy, path);
            self.kernel.set_group(id, watched, invocation, share).map_err(|e| limit(&e))?;
            // Released before it was entered: then nothing would take it out again.
            if !groups::directory(&self.hierarchy, path).exists() {
                self.kernel.remove_group(id).map_err(|e| kernel_refused(&e))?;
            }
        }
        Ok(())
    }

    /// Forgets the groups that no watch covers any more; records up to this position may still name them.
    pub fn forget_unwatched(&mut self, position: u64) {
        let unwatched = |path: &str| self.cover.covering(path).is_empty();
        let gone: Vec<_> = self.groups.iter().filter(|(_, g)| unwatched(&g.path)).map(|(id, _)| id).collect();
        for id in gone {
            self.groups.remove_behind(id, position);
        }
    }

    /// Takes over one piece of the kernel's news; `position` is where the ring of records stands.
    pub fn group_news(&mut self, data: &[u8], position: u64) -> Result<(), Refusal> {
        let Some(record) = wire::read::<types::group_record>(data) else {
            let word = self.memory.word(NO_TARGET, Event::Open, Count::Decode);
            self.memory.set(word, self.memory.get(word) + 1);
            return Ok(());
        };
        let types::group_record { cgroup_id, change, target, path_length, reserved: _ } = record;
        let begin = size_of::<types::group_record>();
        let path =
            data.get(begin..begin + usize::try_from(path_length).unwrap_or(usize::MAX)).unwrap_or_default();
        let path = String::from_utf8_lossy(path);
        match types::group_change(change) {
            types::group_change::GROUP_REMOVED => {
                let watched = !self.cover.covering(&path).is_empty();
                for (groups, known) in [(&mut self.all_groups, true), (&mut self.groups, watched)] {
                    // It may have gone while no daemon was there to hear of it; its records are still to be read.
                    if known && groups.get(cgroup_id).is_none() {
                        groups.insert(cgroup_id, &path);
                    }
                    if groups.get(cgroup_id).is_some() {
                        groups.remove_behind(cgroup_id, position);
                    }
                }
            }
            types::group_change::GROUP_UNWATCHED => self.all_groups.insert(cgroup_id, &path),
            types::group_change::GROUP_ADDED => {
                self.all_groups.insert(cgroup_id, &path);
                self.groups.insert(cgroup_id, &path);
                // The watches may have changed since the kernel side looked.
                if !self.ledger.has(target, &self.cover.covering(&path)) {
                    self.enter(cgroup_id, &path, "", false)?;
                }
            }
            _ => {
                return Err(Refusal::LimitReached(format!(
                    "Control group {path} cannot be watched: there are as many as the setting \"control-groups\" \
                     allows; make it larger in traceleftd.toml."
                )));
            }
        }
        Ok(())
    }

    /// Some news of groups was lost, up to this position of the ring of records: looks at all there are.
    pub fn look_at_all_groups(&mut self, position: u64) -> Result<(), Refusal> {
        let all = groups::tree(&self.hierarchy, "/");
        let there = all.iter().map(|(id, _)| *id).collect();
        self.all_groups.retain_behind(&there, position);
        self.groups.retain_behind(&there, position);
        for (id, path) in all {
            if !self.all_groups.has(id) {
                self.all_groups.insert(id, &path);
                self.enter(id, &path, "", true)?;
            }
        }
        Ok(())
    }

    /// The whole ledger.
    pub fn status(&self) -> Status {
        let total = self.ledger.total(&|t| read(&self.kernel, t));
        Status { total, probes: self.probes.status(&self.kernel).unwrap_or_default() }
    }

    /// Losses that no record has told of.
    pub fn untold(&self) -> Vec<Untold> {
        self.ledger.untold(&|t| read(&self.kernel, t))
    }

    /// journald has not written what it took: events are lost, and records of losses have told nobody. What is to be told
    /// of that, with the numbers that these records had.
    pub fn withdraw(&self, missing: &Missing) -> Vec<(Untold, Numbers)> {
        let mut numbers: HashMap<(TargetId, Event, usize), Numbers> = HashMap::new();
        for (word, of_events) in &missing.events {
            let Some((target, event)) = memory::row_of(*word) else { continue };
            self.ledger.withdraw(target, event, of_events.count());
            numbers.entry((target, event, ledger::JOURNAL)).or_default().extend(of_events);
        }
        for (notice, first, last) in &missing.notices {
            let Notice::Lost { untold, numbers: before, .. } = notice else { continue };
            self.ledger.forget_told(untold);
            let numbers = numbers.entry((untold.target, untold.event, untold.cause)).or_default();
            numbers.extend(before);
            numbers.add(*first, *last);
        }
        let with_numbers = |untold: Untold| {
            let key = (untold.target, untold.event, untold.cause);
            (untold, numbers.remove(&key).unwrap_or_default())
        };
        self.untold().into_iter().map(with_numbers).collect()
    }

    /// A watch as the bus shows it.
    pub fn watch_status(&self, id: WatchId) -> Option<WatchStatus> {
        let watch = self.state.watches.get(&id).filter(|_| id != SELF_TEST)?;
        let counts = self.ledger.of_watch(id, &|t| read(&self.kernel, t));
        let covered = |g: &&Group| self.cover.covering(&g.path).contains(&id);
        let mut control_groups: Vec<_> = if watch.target.is_many() || watch.target.is_slice() {
            self.groups.there().filter(covered).map(|g| g.path.clone()).collect()
        } else {
            // Those of one unit are found by its names: to look at all groups for each of many watches takes long.
            let names = BTreeSet::from([watch.name(), watch.target.to_string()]);
            let groups = names.iter().flat_map(|name| self.groups.of_unit(name));
            groups.filter(covered).map(|g| g.path.clone()).collect()
        };
        control_groups.sort();
        Some(WatchStatus {
            id,
            target: watch.target.clone(),
            events: watch.events,
            origin: watch.origin.clone(),
            control_groups,
            coverage: watch.events.iter().map(|e| self.coverage(e)).collect(),
            counts: counts.into_iter().filter(|(e, _)| watch.events.contains(*e)).collect(),
        })
    }

    /// Descriptors of the rings.
    pub fn ring_descriptors(&self) -> [std::os::fd::BorrowedFd<'_>; 2] {
        self.kernel.ring_descriptors()
    }

    /// The last thing of a daemon that another goes on after.
    pub fn hand_over(&self) -> Result<(), Refusal> {
        self.commit()
    }

    /// Ends auditing: no probe is left.
    pub fn stop(&mut self) -> Result<(), probes::Error> {
        self.probes.clear()
    }
}

/// What the kernel has counted of a target. Of programs that it did not start it cannot be said whom that concerns.
fn read(kernel: &Kernel, target: TargetId) -> Vec<EventCounters> {
    let mut counters = kernel.counters(target);
    if target == NO_TARGET {
        for (event, missed) in probes::not_started(kernel) {
            counters[event.number()].lost_probe += missed;
        }
    }
    counters
}

fn kernel_refused(error: &Error) -> Refusal {
    Refusal::Kernel(error.to_string())
}

fn limit(error: &Error) -> Refusal {
    Refusal::LimitReached(error.to_string())
}
