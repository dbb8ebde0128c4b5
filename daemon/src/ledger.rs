//! The ledger: for each set of watches and event, what was seen, recorded and lost.
//!
//! The kernel side counts what it saw and what found no room; the daemon counts what journald took or refused, in
//! memory that outlives it. No number ever goes back, so a target that is given to another set is read from where it
//! stood.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::control::{Counts, WatchId};
use crate::event::{EVENTS, Event};
use crate::kernel::{EventCounters, NO_TARGET, TargetId};
use crate::memory::{Count, Memory};
use crate::plan::{Set, Watches};

/// Causes of loss.
pub const CAUSES: [&str; 5] = ["ring", "state", "journal", "decode", "probe"];

/// Everything that is counted of one event of one target, or summed over some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    seen: u64,
    recorded: u64,
    results_missed: u64,
    lost: [u64; CAUSES.len()],
}

impl Totals {
    /// What was counted after `base`.
    fn since(&self, base: &Self) -> Self {
        let Self { seen, recorded, results_missed, lost } = base;
        let mut since = *self;
        since.seen -= seen;
        since.recorded -= recorded;
        since.results_missed -= results_missed;
        for (of, base) in since.lost.iter_mut().zip(lost) {
            *of -= base;
        }
        since
    }

    fn add(&mut self, more: &Self) {
        let Self { seen, recorded, results_missed, lost } = more;
        self.seen += seen;
        self.recorded += recorded;
        self.results_missed += results_missed;
        for (sum, more) in self.lost.iter_mut().zip(lost) {
            *sum += more;
        }
    }

    fn to_counts(self) -> Counts {
        let Self { seen, recorded, results_missed, lost } = self;
        Counts { seen, recorded, results_missed, lost: CAUSES.into_iter().zip(lost).collect() }
    }
}

/// A set of watches that has a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// The watches; empty for what belongs to none.
    set: Set,
    /// No group has it any more. What was under way, or waits in the ring, is still of these watches.
    retired: bool,
    /// Where its counts stood when it got the target, by number of the event; those that are not there at 0.
    base: BTreeMap<usize, Totals>,
}

/// Of numbers by event, those that are not 0.
fn sparse(totals: &[Totals]) -> BTreeMap<usize, Totals> {
    totals.iter().copied().enumerate().filter(|(_, t)| *t != Totals::default()).collect()
}

impl Entry {
    /// What was counted since it got the target, of these numbers by event.
    fn since(&self, totals: &[Totals]) -> Vec<Totals> {
        let base = |n| self.base.get(&n).copied().unwrap_or_default();
        totals.iter().enumerate().map(|(n, now)| now.since(&base(n))).collect()
    }
}

/// Reads the kernel's counters of a target, by event.
pub type Read<'a> = dyn Fn(TargetId) -> Vec<EventCounters> + 'a;

/// What a ledger has to remember beside what is counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Targets {
    entries: BTreeMap<TargetId, Entry>,
    /// Given back, the oldest first: what is still under way in the kernel when a target is given up has long
    /// ended when it is used again.
    free: VecDeque<TargetId>,
    next: TargetId,
    /// What was counted of watches for targets that others have now.
    past: BTreeMap<WatchId, Vec<Totals>>,
    /// Sums by event that are in no total.
    discarded: Vec<Totals>,
}

impl Targets {
    fn new() -> Self {
        // Nobody's: records that cannot be read are counted there.
        let nobody = Entry { set: Set::new(), retired: false, base: BTreeMap::new() };
        Self {
            entries: BTreeMap::from([(NO_TARGET, nobody)]),
            free: VecDeque::new(),
            next: NO_TARGET + 1,
            past: BTreeMap::new(),
            discarded: vec![Totals::default(); EVENTS.len()],
        }
    }
}

/// Targets in use, and their counts.
#[derive(Debug)]
pub struct Ledger {
    limit: TargetId,
    memory: Rc<Memory>,
    targets: Targets,
    by_set: HashMap<Set, TargetId>,
    /// The targets whose set a watch is in, retired ones as well.
    by_watch: HashMap<WatchId, BTreeSet<TargetId>>,
}

/// There are as many sets of watches as the setting `watches` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Index into [`CAUSES`] of what journald refused, or did not write.
pub const JOURNAL: usize = 2;

/// Losses of one cause that no record has told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Target.
    pub target: TargetId,
    /// Event.
    pub event: Event,
    /// Index into [`CAUSES`].
    pub cause: usize,
    /// How many.
    pub count: u64,
    /// How many have been told of when these are, too.
    pub told: u64,
}

impl Ledger {
    /// A ledger for this many targets, whose daemon's side is in this memory.
    pub fn new(limit: TargetId, memory: Rc<Memory>) -> Self {
        Self::go_on(limit, memory, Targets::new())
    }

    /// Goes on where another left off.
    pub fn go_on(limit: TargetId, memory: Rc<Memory>, targets: Targets) -> Self {
        let in_use = targets.entries.iter().filter(|(_, e)| !e.retired);
        let by_set = in_use.map(|(target, e)| (e.set.clone(), *target)).collect();
        let mut by_watch: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (target, entry) in &targets.entries {
            for id in &entry.set {
                by_watch.entry(*id).or_default().insert(*target);
            }
        }
        Self { limit, memory, targets, by_set, by_watch }
    }

    /// What is to be remembered to go on.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What was counted of a target since the machine started, by event.
    fn totals(&self, target: TargetId, read: &Read<'_>) -> Vec<Totals> {
        let totals = |(event, kernel): (Event, EventCounters)| {
            let EventCounters { seen, lost_ring, lost_state, results_missed, lost_probe } = kernel;
            let count = |c| self.memory.get(self.memory.word(target, event, c));
            let withdrawn = count(Count::Withdrawn);
            let lost_journal = count(Count::Journal) + withdrawn;
            let lost = [lost_ring, lost_state, lost_journal, count(Count::Decode), lost_probe];
            let recorded = count(Count::Recorded) - withdrawn;
            let seen = seen + lost_probe;
            Totals { seen, recorded, results_missed, lost }
        };
        Event::all().zip(read(target)).map(totals).collect()
    }

    /// The target of a set, a new one if it has none.
    pub fn target(&mut self, set: &Set, read: &Read<'_>) -> Result<TargetId, Full> {
        if let Some(target) = self.by_set.get(set) {
            return Ok(*target);
        }
        let target = if self.targets.next < self.limit {
            self.targets.next += 1;
            self.targets.next - 1
        } else {
            self.targets.free.pop_front().ok_or(Full)?
        };
        let now = self.totals(target, read);
        let entry = Entry { set: set.clone(), retired: false, base: sparse(&now) };
        if let Some(former) = self.targets.entries.insert(target, entry) {
            let since = former.since(&now);
            for id in former.set {
                let none = || vec![Totals::default(); EVENTS.len()];
                let past = self.targets.past.entry(id).or_insert_with(none);
                past.iter_mut().zip(&since).for_each(|(past, since)| past.add(since));
                if let Some(targets) = self.by_watch.get_mut(&id) {
                    targets.remove(&target);
                }
            }
        }
        for id in set {
            self.by_watch.entry(*id).or_default().insert(target);
        }
        self.by_set.insert(set.clone(), target);
        Ok(target)
    }

    /// Gives up the targets of all other sets than these. Calls that were under way go on counting there until the
    /// target is used again. Of other watches than these nothing more is remembered.
    pub fn retain(&mut self, keep: &HashSet<TargetId>, watches: &Watches) {
        let Targets { entries, free, past, .. } = &mut self.targets;
        for (target, entry) in entries.iter_mut() {
            if !entry.retired && !entry.set.is_empty() && !keep.contains(target) {
                entry.retired = true;
                self.by_set.remove(&entry.set);
                free.push_back(*target);
            }
        }
        past.retain(|id, _| watches.contains_key(id));
        self.by_watch.retain(|id, targets| !targets.is_empty() || watches.contains_key(id));
    }

    /// Forgets what was counted for a set: it is in no total.
    pub fn discard(&mut self, set: &Set, read: &Read<'_>) {
        let Some(target) = self.by_set.get(set).copied() else { return };
        let now = self.totals(target, read);
        let Targets { entries, discarded, .. } = &mut self.targets;
        let Some(entry) = entries.get_mut(&target) else { return };
        for (discarded, since) in discarded.iter_mut().zip(entry.since(&now)) {
            discarded.add(&since);
        }
        for (event, now) in Event::all().zip(&now) {
            for (cause, lost) in now.lost.into_iter().enumerate() {
                self.memory.set(self.memory.word(target, event, Count::Told(cause)), lost);
            }
        }
        entry.base = sparse(&now);
    }

    /// True if this target is this set's now.
    pub fn has(&self, target: TargetId, set: &Set) -> bool {
        self.by_set.get(set) == Some(&target)
    }

    /// The watches of a target; none if there is none. Some may be gone.
    pub fn set(&self, target: TargetId) -> &[WatchId] {
        self.targets.entries.get(&target).map_or(&[], |e| &e.set)
    }

    /// journald has not written so many records of an event of a target that it had taken.
    pub fn withdraw(&self, target: TargetId, event: Event, count: u64) {
        let word = self.memory.word(target, event, Count::Withdrawn);
        self.memory.set(word, self.memory.get(word) + count);
    }

    /// A record that told of these losses is not in the journal.
    pub fn forget_told(&self, Untold { target, event, cause, count, told: _ }: &Untold) {
        let word = self.memory.word(*target, *event, Count::Told(*cause));
        self.memory.set(word, self.memory.get(word) - count);
    }

    /// Losses that no record has told of, of all targets that there have been.
    pub fn untold(&self, read: &Read<'_>) -> Vec<Untold> {
        let mut untold = Vec::new();
        for target in 0..self.targets.next {
            for (event, totals) in Event::all().zip(self.totals(target, read)) {
                for (cause, lost) in totals.lost.into_iter().enumerate() {
                    let told = self.memory.get(self.memory.word(target, event, Count::Told(cause)));
                    if lost > told {
                        untold.push(Untold { target, event, cause, count: lost - told, told: lost });
                    }
                }
            }
        }
        untold
    }

    /// Counts by event of a watch.
    pub fn of_watch(&self, id: WatchId, read: &Read<'_>) -> Vec<(Event, Counts)> {
        let none = || vec![Totals::default(); EVENTS.len()];
        let mut sums = self.targets.past.get(&id).cloned().unwrap_or_else(none);
        let targets = self.by_watch.get(&id).into_iter().flatten();
        for (target, entry) in targets.filter_map(|t| self.targets.entries.get_key_value(t)) {
            for (sum, since) in sums.iter_mut().zip(entry.since(&self.totals(*target, read))) {
                sum.add(&since);
            }
        }
        Event::all().zip(sums.into_iter().map(Totals::to_counts)).collect()
    }

    /// Sum over all that has been counted, but what was discarded.
    pub fn total(&self, read: &Read<'_>) -> Counts {
        let mut sum = Totals::default();
        for totals in (0..self.targets.next).flat_map(|t| self.totals(t, read)) {
            sum.add(&totals);
        }
        let mut discarded = Totals::default();
        self.targets.discarded.iter().for_each(|d| discarded.add(d));
        sum.since(&discarded).to_counts()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Fake(RefCell<HashMap<(TargetId, Event), EventCounters>>);

    impl Fake {
        fn read(&self) -> impl Fn(TargetId) -> Vec<EventCounters> {
            |t| Event::all().map(|e| self.0.borrow().get(&(t, e)).copied().unwrap_or_default()).collect()
        }
        fn add(&self, target: TargetId, event: Event, seen: u64, lost_ring: u64) {
            let mut map = self.0.borrow_mut();
            let c = map.entry((target, event)).or_default();
            c.seen += seen;
            c.lost_ring += lost_ring;
        }
    }

    fn bump(ledger: &Ledger, target: TargetId, event: Event, count: Count) {
        let word = ledger.memory.word(target, event, count);
        ledger.memory.set(word, ledger.memory.get(word) + 1);
    }

    fn sums(counts: &[(Event, Counts)]) -> (u64, u64, u64) {
        counts.iter().map(|(_, c)| of(c)).fold((0, 0, 0), |t, c| (t.0 + c.0, t.1 + c.1, t.2 + c.2))
    }

    fn of(counts: &Counts) -> (u64, u64, u64) {
        (counts.seen, counts.recorded, counts.lost.values().sum())
    }

    fn ledger(limit: TargetId) -> Ledger {
        Ledger::new(limit, Rc::new(Memory::new(limit).unwrap()))
    }

    #[test]
    fn seen_is_recorded_and_lost_by_watch_and_in_all() {
        let fake = Fake::default();
        let mut ledger = ledger(4);
        let one = ledger.target(&vec![1], &fake.read()).unwrap();
        let both = ledger.target(&vec![1, 2], &fake.read()).unwrap();
        assert_eq!(ledger.target(&vec![1], &fake.read()), Ok(one));
        fake.add(one, Event::Open, 3, 1);
        fake.add(both, Event::Exec, 2, 0);
        for _ in 0..2 {
            bump(&ledger, one, Event::Open, Count::Recorded);
        }
        bump(&ledger, both, Event::Exec, Count::Recorded);
        bump(&ledger, both, Event::Exec, Count::Journal);
        assert_eq!(sums(&ledger.of_watch(1, &fake.read())), (5, 3, 2));
        assert_eq!(sums(&ledger.of_watch(2, &fake.read())), (2, 1, 1));
        assert_eq!(of(&ledger.total(&fake.read())), (5, 3, 2));
        let untold = ledger.untold(&fake.read());
        assert_eq!(untold.len(), 2);
        assert_eq!((CAUSES[untold[0].cause], untold[0].count, untold[0].target), ("ring", 1, one));
        assert_eq!((CAUSES[untold[1].cause], untold[1].event), ("journal", Event::Exec));
        // Told of when its record is in the journal, and not before.
        assert_eq!(ledger.untold(&fake.read()), untold);
        for Untold { target, event, cause, .. } in untold {
            bump(&ledger, target, event, Count::Told(cause));
        }
        assert!(ledger.untold(&fake.read()).is_empty());
    }

    #[test]
    fn a_target_is_used_again_from_where_it_stood() {
        let fake = Fake::default();
        let mut ledger = ledger(2);
        let first = ledger.target(&vec![1], &fake.read()).unwrap();
        fake.add(first, Event::Open, 5, 5);
        assert_eq!(ledger.target(&vec![2], &fake.read()), Err(Full));
        ledger.retain(&HashSet::new(), &Watches::new());
        ledger.retain(&HashSet::new(), &Watches::new());
        // A call that was under way.
        fake.add(first, Event::Open, 1, 0);
        bump(&ledger, first, Event::Open, Count::Recorded);
        assert_eq!(of(&ledger.total(&fake.read())), (6, 1, 5));
        let second = ledger.target(&vec![2], &fake.read()).unwrap();
        assert_eq!(first, second);
        assert_eq!(sums(&ledger.of_watch(1, &fake.read())), (6, 1, 5));
        assert_eq!(sums(&ledger.of_watch(2, &fake.read())), (0, 0, 0));
        assert_eq!(of(&ledger.total(&fake.read())), (6, 1, 5));
        assert_eq!(ledger.target(&vec![3], &fake.read()), Err(Full));
        // Another one goes on there.
        let json = serde_json::to_string(ledger.targets()).unwrap();
        let again = Ledger::go_on(2, Rc::clone(&ledger.memory), serde_json::from_str(&json).unwrap());
        fake.add(second, Event::Open, 2, 2);
        assert_eq!(sums(&again.of_watch(2, &fake.read())), (2, 0, 2));
        assert_eq!(again.set(second), [2]);
    }

    #[test]
    fn what_journald_did_not_write_is_lost_and_told_of_anew() {
        let fake = Fake::default();
        let mut ledger = ledger(4);
        let target = ledger.target(&vec![1], &fake.read()).unwrap();
        fake.add(target, Event::Open, 4, 1);
        for count in [Count::Recorded; 3].into_iter().chain([Count::Told(0)]) {
            bump(&ledger, target, Event::Open, count);
        }
        ledger.withdraw(target, Event::Open, 2);
        let journal = Untold { target, event: Event::Open, cause: JOURNAL, count: 2, told: 2 };
        assert_eq!(ledger.untold(&fake.read()), std::slice::from_ref(&journal));
        assert_eq!(sums(&ledger.of_watch(1, &fake.read())), (4, 1, 3));
        let ring = Untold { target, event: Event::Open, cause: 0, count: 1, told: 1 };
        ledger.forget_told(&ring);
        assert_eq!(ledger.untold(&fake.read()), [ring, journal]);
    }

    #[test]
    fn what_is_discarded_is_in_no_total() {
        let fake = Fake::default();
        let mut ledger = ledger(4);
        let test = ledger.target(&vec![0], &fake.read()).unwrap();
        fake.add(test, Event::Open, 3, 0);
        ledger.discard(&vec![0], &fake.read());
        ledger.retain(&HashSet::new(), &Watches::new());
        assert_eq!(of(&ledger.total(&fake.read())), (0, 0, 0));
    }
}
