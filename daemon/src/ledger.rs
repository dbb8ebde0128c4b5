//! The ledger: for each set of watches and event, what was seen, recorded and lost.
//!
//! The kernel side counts what it saw and what found no room; the daemon counts what journald took or refused.
//! Kernel counters never go back, so a target that is given to another set is read from where it stood.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::control::{Counts, WatchId};
use crate::event::{EVENTS, Event};
use crate::kernel::{EventCounters, NO_TARGET, TargetId};
use crate::plan::Set;
use crate::skel::types;

/// Causes of loss, in the order of [`Row::lost`].
pub const CAUSES: [&str; 4] = ["ring", "state", "journal", "decode"];

/// The daemon's counts of one event of one target.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Where the kernel's counters stood when the target was given out.
    base: types::counters,
    recorded: u64,
    journal: u64,
    decode: u64,
    /// Losses that a record has told of, by cause.
    told: [u64; CAUSES.len()],
}

impl Row {
    fn lost(&self, kernel: types::counters) -> [u64; CAUSES.len()] {
        [
            kernel.lost_ring - self.base.lost_ring,
            kernel.lost_state - self.base.lost_state,
            self.journal,
            self.decode,
        ]
    }

    fn add_to(&self, kernel: types::counters, counts: &mut Counts) {
        counts.seen += kernel.seen - self.base.seen;
        counts.recorded += self.recorded;
        counts.results_missed += kernel.results_missed - self.base.results_missed;
        for (cause, n) in CAUSES.into_iter().zip(self.lost(kernel)) {
            *counts.lost.entry(cause).or_default() += n;
        }
    }
}

/// A set of watches that has a target.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The watches; empty for what belongs to none, or to none any more.
    pub set: Set,
    rows: Vec<Row>,
}

/// Reads the kernel's counters of a target, by event.
pub type Read<'a> = dyn Fn(TargetId) -> EventCounters + 'a;

/// Targets in use, their counts, and what is left of former ones.
#[derive(Debug)]
pub struct Ledger {
    limit: TargetId,
    entries: BTreeMap<TargetId, Entry>,
    by_set: HashMap<Set, TargetId>,
    /// Given back, the oldest first: what is still under way in the kernel when a target is given up has long
    /// ended when it is used again.
    free: VecDeque<TargetId>,
    next: TargetId,
    past: Vec<Counts>,
}

/// There are as many sets of watches as the setting `watches` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Losses of one cause that no record has told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Target.
    pub target: TargetId,
    /// Event.
    pub event: Event,
    /// One of [`CAUSES`].
    pub cause: &'static str,
    /// How many.
    pub count: u64,
}

impl Ledger {
    /// A ledger for this many targets.
    pub fn new(limit: TargetId) -> Self {
        // Nobody's: records that cannot be read are counted there.
        let nobody = Entry { set: Set::new(), rows: vec![Row::default(); EVENTS.len()] };
        Self {
            limit,
            entries: BTreeMap::from([(NO_TARGET, nobody)]),
            by_set: HashMap::from([(Set::new(), NO_TARGET)]),
            free: VecDeque::new(),
            next: NO_TARGET + 1,
            past: vec![Counts::default(); EVENTS.len()],
        }
    }

    /// The target of a set, a new one if it has none.
    pub fn target(&mut self, set: &Set, read: &Read<'_>) -> Result<TargetId, Full> {
        if let Some(target) = self.by_set.get(set) {
            return Ok(*target);
        }
        let target = if self.next < self.limit {
            self.next += 1;
            self.next - 1
        } else {
            self.free.pop_front().ok_or(Full)?
        };
        let stands = read(target);
        let rows = stands.iter().map(|base| Row { base: *base, ..Row::default() }).collect();
        if let Some(former) = self.entries.insert(target, Entry { set: set.clone(), rows }) {
            for ((row, kernel), past) in former.rows.iter().zip(stands).zip(&mut self.past) {
                row.add_to(kernel, past);
            }
        }
        self.by_set.insert(set.clone(), target);
        Ok(target)
    }

    /// Gives up the targets of all other sets than these. Their counts stay in the totals, and calls that were
    /// under way go on counting there until the target is used again.
    pub fn retain(&mut self, keep: &[TargetId]) {
        for (target, entry) in self.entries.iter_mut().filter(|(t, e)| !e.set.is_empty() && !keep.contains(t))
        {
            self.by_set.remove(&entry.set);
            entry.set.clear();
            self.free.push_back(*target);
        }
    }

    /// Forgets what was counted for a set: it is in no total.
    pub fn discard(&mut self, set: &Set, read: &Read<'_>) {
        if let Some(target) = self.by_set.get(set)
            && let Some(entry) = self.entries.get_mut(target)
        {
            entry.rows = read(*target).iter().map(|base| Row { base: *base, ..Row::default() }).collect();
        }
    }

    /// The watches of a target; none if it is given up.
    pub fn set(&self, target: TargetId) -> &[WatchId] {
        self.entries.get(&target).map_or(&[], |e| &e.set)
    }

    fn row(&mut self, target: TargetId, event: Event) -> Option<&mut Row> {
        self.entries.get_mut(&target).map(|e| &mut e.rows[event.number()])
    }

    /// journald took a record.
    pub fn recorded(&mut self, target: TargetId, event: Event) {
        match self.row(target, event) {
            Some(row) => row.recorded += 1,
            None => self.past[event.number()].recorded += 1,
        }
    }

    /// journald refused a record.
    pub fn refused(&mut self, target: TargetId, event: Event) {
        match self.row(target, event) {
            Some(row) => row.journal += 1,
            None => *self.past[event.number()].lost.entry("journal").or_default() += 1,
        }
    }

    /// Something in the ring was no record.
    pub fn undecodable(&mut self) {
        if let Some(row) = self.row(NO_TARGET, Event::Open) {
            row.decode += 1;
        }
    }

    /// Losses since the last call.
    pub fn untold(&mut self, read: &Read<'_>) -> Vec<Untold> {
        let mut untold = Vec::new();
        for (target, entry) in &mut self.entries {
            for ((event, row), kernel) in Event::all().zip(&mut entry.rows).zip(read(*target)) {
                let lost = row.lost(kernel);
                for ((cause, lost), told) in CAUSES.into_iter().zip(lost).zip(&mut row.told) {
                    if lost > *told {
                        untold.push(Untold { target: *target, event, cause, count: lost - *told });
                        *told = lost;
                    }
                }
            }
        }
        untold
    }

    /// Sums by event, of the targets whose set this accepts, and of former ones if it accepts the empty set.
    pub fn counts(&self, read: &Read<'_>, accept: impl Fn(&Set) -> bool) -> Vec<(Event, Counts)> {
        let zero = || Counts { lost: CAUSES.into_iter().map(|c| (c, 0)).collect(), ..Counts::default() };
        let mut sums: Vec<_> = Event::all().map(|e| (e, zero())).collect();
        for (target, entry) in self.entries.iter().filter(|(_, e)| accept(&e.set)) {
            for (((_, sum), row), kernel) in sums.iter_mut().zip(&entry.rows).zip(read(*target)) {
                row.add_to(kernel, sum);
            }
        }
        // What was counted for targets that have been used again since.
        if accept(&Set::new()) {
            for ((_, sum), past) in sums.iter_mut().zip(&self.past) {
                add(sum, past);
            }
        }
        sums
    }
}

/// Adds counts to others.
pub fn add(sum: &mut Counts, more: &Counts) {
    let Counts { seen, recorded, lost, results_missed } = more;
    sum.seen += seen;
    sum.recorded += recorded;
    sum.results_missed += results_missed;
    for (cause, n) in lost {
        *sum.lost.entry(cause).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Fake(RefCell<HashMap<(TargetId, Event), types::counters>>);

    impl Fake {
        fn read(&self) -> impl Fn(TargetId) -> EventCounters {
            |t| Event::all().map(|e| self.0.borrow().get(&(t, e)).copied().unwrap_or_default()).collect()
        }
        fn add(&self, target: TargetId, event: Event, seen: u64, lost_ring: u64) {
            let mut map = self.0.borrow_mut();
            let c = map.entry((target, event)).or_default();
            c.seen += seen;
            c.lost_ring += lost_ring;
        }
    }

    fn total(counts: &[(Event, Counts)]) -> (u64, u64, u64) {
        let lost = |c: &Counts| c.lost.values().sum::<u64>();
        counts.iter().fold((0, 0, 0), |t, (_, c)| (t.0 + c.seen, t.1 + c.recorded, t.2 + lost(c)))
    }

    #[test]
    fn seen_is_recorded_and_lost_by_watch_and_in_all() {
        let fake = Fake::default();
        let mut ledger = Ledger::new(4);
        let one = ledger.target(&vec![1], &fake.read()).unwrap();
        let both = ledger.target(&vec![1, 2], &fake.read()).unwrap();
        assert_eq!(ledger.target(&vec![1], &fake.read()), Ok(one));
        fake.add(one, Event::Open, 3, 1);
        fake.add(both, Event::Exec, 2, 0);
        for _ in 0..2 {
            ledger.recorded(one, Event::Open);
        }
        ledger.recorded(both, Event::Exec);
        ledger.refused(both, Event::Exec);
        assert_eq!(total(&ledger.counts(&fake.read(), |s| s.contains(&1))), (5, 3, 2));
        assert_eq!(total(&ledger.counts(&fake.read(), |s| s.contains(&2))), (2, 1, 1));
        assert_eq!(total(&ledger.counts(&fake.read(), |_| true)), (5, 3, 2));
        let untold = ledger.untold(&fake.read());
        assert_eq!(untold.len(), 2);
        assert_eq!((untold[0].cause, untold[0].count, untold[0].target), ("ring", 1, one));
        assert_eq!((untold[1].cause, untold[1].event), ("journal", Event::Exec));
        assert!(ledger.untold(&fake.read()).is_empty());
    }

    #[test]
    fn a_target_is_used_again_from_where_it_stood() {
        let fake = Fake::default();
        let mut ledger = Ledger::new(2);
        let first = ledger.target(&vec![1], &fake.read()).unwrap();
        fake.add(first, Event::Open, 5, 5);
        assert_eq!(ledger.target(&vec![2], &fake.read()), Err(Full));
        ledger.retain(&[]);
        ledger.retain(&[]);
        // A call that was under way.
        fake.add(first, Event::Open, 1, 0);
        ledger.recorded(first, Event::Open);
        assert_eq!(total(&ledger.counts(&fake.read(), |_| true)), (6, 1, 5));
        let second = ledger.target(&vec![2], &fake.read()).unwrap();
        assert_eq!(first, second);
        assert_eq!(total(&ledger.counts(&fake.read(), |s| s.contains(&2))), (0, 0, 0));
        assert_eq!(total(&ledger.counts(&fake.read(), |_| true)), (6, 1, 5));
        assert_eq!(ledger.target(&vec![3], &fake.read()), Err(Full));
    }
}
