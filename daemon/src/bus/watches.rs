//! Which watches there are on the bus, and of which systemd must be asked again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::control::{Resolution, WatchId};
use crate::systemd::Change;
use crate::unit_name::Target;

/// How to find out about a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Of a template or a pattern, only these units: else each that starts would be a reason to ask about all.
    Units(BTreeSet<String>),
    /// Of a unit whose primary name is known, without loading it.
    Refresh,
    /// From the name that was given, loading the unit.
    Resolve,
}

/// Something to ask systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The watch.
    pub id: WatchId,
    /// What is watched.
    pub target: Target,
    /// What is known of it.
    pub known: Resolution,
    /// How to ask.
    pub how: How,
}

/// The watches, in the order of their numbers.
///
/// At most one batch of questions is under way at a time, so that an older answer never replaces a newer.
#[derive(Debug, Default)]
pub struct Watches {
    entries: BTreeMap<WatchId, Entry>,
    /// Those of one unit, by its names: the one that was given and the primary one.
    by_name: HashMap<String, BTreeSet<WatchId>>,
    /// Those that may be of more than one unit.
    many: BTreeSet<WatchId>,
    /// The event loop waits for an answer with every watch.
    owed: bool,
    /// The batch under way is that answer.
    answering: bool,
}

#[derive(Debug)]
struct Entry {
    target: Target,
    known: Resolution,
    /// How far that can be relied on.
    answer: Answer,
    outdated: Option<How>,
}

/// What became of the last question about a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It has none yet, or was never asked.
    Awaited,
    Failed,
    /// What has changed since is in signals.
    Given,
}

impl Watches {
    /// Numbers of all.
    pub fn ids(&self) -> BTreeSet<WatchId> {
        self.entries.keys().copied().collect()
    }

    /// Makes them equal to a list of the event loop, to which an answer with all of it is owed.
    pub fn replace(&mut self, list: Vec<(WatchId, Target)>) {
        let mut old = std::mem::take(&mut self.entries);
        self.by_name.clear();
        self.many.clear();
        for (id, target) in list {
            let entry = match old.remove(&id) {
                Some(Entry { target: _, known, answer, outdated }) => {
                    Entry { target, known, answer, outdated }
                }
                None => Entry { known: unknown(&target), target, answer: Answer::Awaited, outdated: None },
            };
            self.enter(id, entry);
        }
        self.owed = true;
    }

    /// Adds one. It is asked about again: what changed since it was resolved found no watch to outdate.
    pub fn insert(&mut self, id: WatchId, target: Target, known: Resolution) {
        self.enter(id, Entry { target, known, answer: Answer::Given, outdated: Some(How::Refresh) });
    }

    fn enter(&mut self, id: WatchId, entry: Entry) {
        if entry.target.is_many() {
            self.many.insert(id);
        } else {
            for name in [entry.target.as_str(), &entry.known.id] {
                self.by_name.entry(name.to_owned()).or_default().insert(id);
            }
        }
        self.entries.insert(id, entry);
    }

    /// Removes one.
    pub fn remove(&mut self, id: WatchId) {
        self.take(id);
    }

    fn take(&mut self, id: WatchId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.many.remove(&id);
        for name in [entry.target.as_str(), &entry.known.id] {
            if let Some(ids) = self.by_name.get_mut(name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        Some(entry)
    }

    /// Notes what a change outdates.
    pub fn outdate(&mut self, change: &Change) {
        match change {
            Change::Unit(unit) => {
                let named = self.by_name.get(unit).unwrap_or(&self.many);
                for id in self.many.union(named) {
                    let Some(entry) = self.entries.get_mut(id) else { continue };
                    if entry.target.is_many() && entry.target.matches(unit) {
                        entry.outdate(How::Units(BTreeSet::from([unit.clone()])));
                    } else if entry.target.as_str() == unit || entry.known.id == *unit {
                        entry.outdate(How::Refresh);
                    }
                }
            }
            Change::Reloaded | Change::Arrived => {
                self.entries.values_mut().for_each(|entry| entry.outdate(How::Resolve));
            }
            Change::SelfTested(_) => {}
        }
    }

    /// Forgets the batch under way, whose connection is gone. The answer it was to be is still owed; the
    /// rest is asked again for [`Change::Arrived`].
    pub fn restart(&mut self) {
        self.owed |= std::mem::take(&mut self.answering);
    }

    /// True if the batch under way is the answer that the event loop waits for.
    pub fn is_answering(&self) -> bool {
        self.answering
    }

    /// The next batch of questions; `None` if there is nothing to ask and no answer owed. What is known is not asked
    /// again for an answer that is owed: a change would have outdated it.
    pub fn take_questions(&mut self) -> Option<Vec<Question>> {
        self.answering = std::mem::take(&mut self.owed);
        let mut questions = Vec::new();
        for (&id, entry) in &mut self.entries {
            let unsure = self.answering && entry.answer != Answer::Given;
            let Some(how) = entry.outdated.take().max(unsure.then_some(How::Resolve)) else { continue };
            entry.answer = Answer::Awaited;
            questions.push(Question { id, target: entry.target.clone(), known: entry.known.clone(), how });
        }
        (self.answering || !questions.is_empty()).then_some(questions)
    }

    /// Takes the answers to a batch and gives what to tell the event loop.
    ///
    /// `None` stands for a question that failed. What was known of that watch stays; it is told only
    /// where an answer with every watch is owed, and asked again for the next such answer.
    pub fn take_answers(
        &mut self,
        answers: Vec<(WatchId, Option<Resolution>)>,
    ) -> Vec<(WatchId, Resolution)> {
        let mut news = BTreeSet::new();
        for (id, answer) in answers {
            let Some(mut entry) = self.take(id) else { continue };
            entry.answer = if answer.is_some() { Answer::Given } else { Answer::Failed };
            if let Some(resolution) = answer {
                entry.known = resolution;
                news.insert(id);
            }
            self.enter(id, entry);
        }
        // Not of watches that came meanwhile: they have not been asked about.
        let all = std::mem::take(&mut self.answering);
        let told = |(id, entry): (&WatchId, &Entry)| {
            let told = news.contains(id) || all && entry.answer != Answer::Awaited;
            told.then(|| (*id, entry.known.clone()))
        };
        self.entries.iter().filter_map(told).collect()
    }
}

impl Entry {
    fn outdate(&mut self, how: How) {
        self.outdated = match (self.outdated.take(), how) {
            (Some(How::Units(mut all)), How::Units(more)) => {
                all.extend(more);
                Some(How::Units(all))
            }
            (before, how) => before.max(Some(how)),
        };
    }
}

fn unknown(target: &Target) -> Resolution {
    Resolution { id: target.as_str().to_owned(), running: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::RunningUnit;

    fn target(name: &str) -> Target {
        Target::parse(name).unwrap()
    }

    fn running(id: &str) -> Resolution {
        let unit = RunningUnit {
            unit: id.to_owned(),
            control_group: format!("/{id}"),
            invocation_id: String::new(),
        };
        Resolution { id: id.to_owned(), running: vec![unit] }
    }

    /// Watches 1 (an alias), 2 (a template) and 3, all answered.
    fn settled() -> Watches {
        let mut watches = Watches::default();
        watches.replace(vec![
            (1, target("alias.service")),
            (2, target("t@.service")),
            (3, target("c.service")),
        ]);
        watches.take_questions().unwrap();
        watches.take_answers(vec![
            (1, Some(running("a.service"))),
            (2, None),
            (3, Some(running("c.service"))),
        ]);
        assert_eq!(watches.take_questions(), None);
        watches
    }

    fn asked(watches: &mut Watches) -> Vec<(WatchId, How)> {
        watches.take_questions().into_iter().flatten().map(|q| (q.id, q.how)).collect()
    }

    #[test]
    fn a_change_outdates_what_it_concerns() {
        use How::{Refresh, Resolve, Units};
        let unit = |name: &str| Change::Unit(name.to_owned());
        let cases = [
            (unit("alias.service"), vec![(1, Refresh)]),
            (unit("a.service"), vec![(1, Refresh)]),
            (unit("t@1.service"), vec![(2, Units(BTreeSet::from(["t@1.service".to_owned()])))]),
            (unit("t@.service"), vec![(2, Refresh)]),
            (unit("c.service"), vec![(3, Refresh)]),
            (unit("c.socket"), vec![]),
            (Change::Reloaded, vec![(1, Resolve), (2, Resolve), (3, Resolve)]),
            (Change::Arrived, vec![(1, Resolve), (2, Resolve), (3, Resolve)]),
        ];
        for (change, expected) in cases {
            let mut watches = settled();
            watches.outdate(&change);
            assert_eq!(asked(&mut watches), expected, "{change:?}");
            assert_eq!(watches.take_questions(), None, "asked twice after {change:?}");
        }
    }

    #[test]
    fn the_more_thorough_question_wins() {
        let mut watches = settled();
        for unit in ["t@1.service", "t@2.service"] {
            watches.outdate(&Change::Unit(unit.to_owned()));
        }
        let both = ["t@1.service".to_owned(), "t@2.service".to_owned()];
        assert_eq!(asked(&mut watches), [(2, How::Units(BTreeSet::from(both)))]);
        watches.outdate(&Change::Reloaded);
        watches.outdate(&Change::Unit("c.service".to_owned()));
        assert_eq!(asked(&mut watches)[2], (3, How::Resolve));
    }

    #[test]
    fn a_failed_question_changes_nothing_that_is_known() {
        let mut watches = settled();
        watches.outdate(&Change::Reloaded);
        watches.take_questions().unwrap();
        let news = watches.take_answers(vec![(1, None), (2, None), (3, Some(running("d.service")))]);
        assert_eq!(news, [(3, running("d.service"))]);
        // Where every watch is owed, what is known is told.
        watches.replace(vec![(1, target("alias.service")), (4, target("new.service"))]);
        assert_eq!(asked(&mut watches), [(1, How::Resolve), (4, How::Resolve)]);
        let news = watches.take_answers(vec![(1, None), (4, None)]);
        let nothing = Resolution { id: "new.service".to_owned(), running: vec![] };
        assert_eq!(news, [(1, running("a.service")), (4, nothing)]);
    }

    #[test]
    fn only_what_is_new_is_asked_about_for_an_answer_with_all() {
        let mut watches = settled();
        watches.outdate(&Change::Unit("c.service".to_owned()));
        watches.replace(vec![
            (1, target("alias.service")),
            (2, target("t@.service")),
            (3, target("c.service")),
            (4, target("new.service")),
        ]);
        // The second was asked about, and has no answer.
        assert_eq!(asked(&mut watches), [(2, How::Resolve), (3, How::Refresh), (4, How::Resolve)]);
        let answers = [(2, running("t@.service")), (3, running("c.service")), (4, running("new.service"))];
        let news = watches.take_answers(answers.iter().cloned().map(|(id, r)| (id, Some(r))).collect());
        assert_eq!(news[0], (1, running("a.service")));
        assert_eq!(news[1..], answers);
        // An alias that is another unit's by now is found by both names.
        watches.outdate(&Change::Reloaded);
        watches.take_questions().unwrap();
        watches.take_answers(vec![(1, Some(running("b.service")))]);
        for (unit, expected) in [
            ("a.service", vec![]),
            ("b.service", vec![(1, How::Refresh)]),
            ("alias.service", vec![(1, How::Refresh)]),
        ] {
            watches.outdate(&Change::Unit(unit.to_owned()));
            assert_eq!(asked(&mut watches), expected, "{unit}");
        }
    }

    #[test]
    fn a_watch_that_came_meanwhile_is_not_in_the_answer() {
        let mut watches = settled();
        watches.replace(vec![(1, target("alias.service"))]);
        assert_eq!(watches.take_questions(), Some(Vec::new()));
        watches.replace(vec![(1, target("alias.service")), (4, target("new.service"))]);
        assert_eq!(watches.take_answers(Vec::new()), [(1, running("a.service"))]);
        assert_eq!(asked(&mut watches), [(4, How::Resolve)]);
    }

    #[test]
    fn an_answer_that_is_owed_is_given_even_if_empty() {
        let mut watches = settled();
        watches.replace(Vec::new());
        assert_eq!(watches.take_questions(), Some(Vec::new()));
        assert_eq!(watches.take_answers(Vec::new()), []);
        assert_eq!(watches.take_questions(), None);
    }

    #[test]
    fn an_answer_that_was_under_way_with_a_connection_is_still_owed() {
        let mut watches = settled();
        watches.replace(vec![(1, target("alias.service"))]);
        watches.take_questions().unwrap();
        watches.restart();
        watches.outdate(&Change::Arrived);
        assert_eq!(asked(&mut watches), [(1, How::Resolve)]);
        assert_eq!(watches.take_answers(vec![(1, None)]), [(1, running("a.service"))]);
    }

    #[test]
    fn a_watch_that_went_meanwhile_is_not_told() {
        let mut watches = settled();
        watches.outdate(&Change::Reloaded);
        watches.take_questions().unwrap();
        watches.remove(3);
        assert_eq!(watches.take_answers(vec![(3, Some(running("c.service")))]), []);
        assert_eq!(watches.ids(), BTreeSet::from([1, 2]));
    }
}
