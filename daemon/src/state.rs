//! What the daemon has decided, as it is kept for the next one: watches, targets, and what is to be told of yet.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::control::{Origin, Resolution, WatchId};
use crate::event::{Event, EventSet};
use crate::ledger::Targets;
use crate::memory::{self, Memory};
use crate::notice::Change;
use crate::plan::{Watch, Watches};
use crate::store::Inherited;
use crate::unit_name::Target;

/// What the BPF object is like, by which the maps and programs in the kernel are to be understood.
const OBJECT: &str = env!("TRACELEFT_OBJECT");

/// The form of everything that is in the store: the same object with the same sizes.
pub fn layout(settings: &Settings) -> String {
    format!("{OBJECT} {settings:?}")
}

/// A watch as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct SavedWatch {
    id: WatchId,
    target: String,
    events: Vec<String>,
    /// None: of the bus.
    policy: Option<String>,
    unit_log: bool,
    capture: u16,
    set_up: bool,
    /// Primary name of the target.
    primary: String,
}

/// What any version can go on from.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Lasting {
    next_watch: WatchId,
    watches: Vec<SavedWatch>,
}

/// What a daemon can go on from that has the same layout.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    layout: String,
    /// Names of all that must be in the store.
    descriptors: Vec<String>,
    targets: Targets,
    tested: Vec<(String, Option<String>)>,
    changes: Vec<Change>,
    last_change: u64,
    #[serde(flatten)]
    lasting: Lasting,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct State {
    /// Number of the next watch.
    pub next: WatchId,
    /// The watches.
    pub watches: Watches,
    /// What the self-test showed, see [`crate::auditor::Auditor::coverage`].
    pub tested: HashMap<Event, Result<(), String>>,
    /// Changes of the watches that may not have been told of.
    pub changes: Vec<Change>,
    /// Number of the last change.
    pub last_change: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { next: 1, watches: Watches::new(), tested: HashMap::new(), changes: Vec::new(), last_change: 0 }
    }
}

/// The state as it is kept; these descriptors are needed to go on from it.
pub fn to_document(
    layout: &str,
    descriptors: Vec<String>,
    targets: &Targets,
    state: &State,
) -> serde_json::Result<Vec<u8>> {
    let State { next, watches, tested, changes, last_change } = state;
    let watches = watches.iter().filter_map(|(id, watch)| {
        let Watch { target, events, origin, unit_log, capture, set_up, resolution } = watch;
        Some(SavedWatch {
            id: *id,
            target: target.to_string(),
            events: events.iter().map(|e| e.name().to_owned()).collect(),
            policy: match origin {
                Origin::Policy(name) => Some(name.clone()),
                Origin::RunTime => None,
                Origin::SelfTest => return None,
            },
            unit_log: *unit_log,
            capture: *capture,
            set_up: *set_up,
            primary: resolution.id.clone(),
        })
    });
    serde_json::to_vec(&Document {
        layout: layout.to_owned(),
        descriptors,
        targets: targets.clone(),
        tested: tested.iter().map(|(e, r)| (e.name().to_owned(), r.clone().err())).collect(),
        changes: changes.clone(),
        last_change: *last_change,
        lasting: Lasting { next_watch: *next, watches: watches.collect() },
    })
}

fn event(name: &str) -> Option<Event> {
    Event::all().find(|e| e.name() == name)
}

impl Lasting {
    /// What another version knows and we do not is left out.
    fn into_state(self) -> State {
        let watch = |saved: SavedWatch| {
            let SavedWatch { id, target, events, policy, unit_log, capture, set_up, primary } = saved;
            let target = Target::parse(&target).ok()?;
            let events: EventSet = events.iter().filter_map(|name| event(name)).collect();
            let origin = policy.map_or(Origin::RunTime, Origin::Policy);
            let resolution = Resolution { id: primary, running: Vec::new() };
            Some((id, Watch { target, events, origin, unit_log, capture, set_up, resolution }))
        };
        let watches: Watches = self.watches.into_iter().filter_map(watch).collect();
        let next = self.next_watch.max(watches.keys().max().map_or(1, |id| id + 1));
        State { next, watches, ..State::default() }
    }
}

/// What there is of the daemon before.
#[derive(Debug)]
pub enum Former {
    /// There was none, or it was stopped.
    None,
    /// All of it.
    Whole(Rc<Memory>, Targets, State),
    /// It cannot be taken over, for this reason; what is left is the number of the last record, and the watches.
    Dropped(String, u64, State),
}

/// Looks at what the daemon before has left. What is needed of it for the state is taken out.
pub fn recover(inherited: &mut Inherited, layout: &str, settings: &Settings) -> Former {
    if inherited.is_empty() {
        return Former::None;
    }
    let dropped = |why: &str| Former::Dropped(why.to_owned(), 0, State::default());
    let mut files = Vec::new();
    for name in memory::NAMES {
        files.extend(inherited.remove(name));
    }
    let Ok(files) = <[OwnedFd; memory::NAMES.len()]>::try_from(files) else {
        return dropped("its memory is missing in the store");
    };
    let (seq, document) = match Memory::peek(&files) {
        Ok(found) => found,
        Err(error) => return dropped(&format!("its memory cannot be read: {error}")),
    };
    let lasting = || serde_json::from_slice::<Lasting>(&document).unwrap_or_default().into_state();
    let whole = || -> Result<Former, String> {
        let Document { layout: its, descriptors, targets, tested, changes, last_change, lasting } =
            serde_json::from_slice(&document).map_err(|e| format!("its notes cannot be read: {e}"))?;
        if its != layout {
            return Err("it is another version, or had other settings".to_owned());
        }
        if let Some(missing) = descriptors.iter().find(|name| !inherited.contains_key(*name)) {
            return Err(format!("{missing} is missing in the store"));
        }
        let memory = Memory::adopt(files, settings.watches).map_err(|e: io::Error| e.to_string())?;
        let tested =
            tested.into_iter().filter_map(|(name, why)| Some((event(&name)?, why.map_or(Ok(()), Err))));
        let state = State { tested: tested.collect(), changes, last_change, ..lasting.into_state() };
        Ok(Former::Whole(Rc::new(memory), targets, state))
    };
    whole().unwrap_or_else(|why| Former::Dropped(why, seq, lasting()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Caller;
    use crate::ledger::Ledger;
    use crate::notice::CallerDetails;
    use std::path::Path;

    fn state() -> State {
        let watch = |target: &str, origin| Watch {
            target: Target::parse(target).unwrap(),
            events: [Event::Open, Event::Exec].into_iter().collect(),
            origin,
            unit_log: true,
            capture: 7,
            set_up: false,
            resolution: Resolution { id: target.to_owned(), running: Vec::new() },
        };
        let change = Change {
            number: 3,
            added: true,
            id: 5,
            unit: "b.service".to_owned(),
            events: "open".to_owned(),
            caller: CallerDetails::of(Path::new("/none"), Caller { pid: 1, uid: 0 }),
        };
        State {
            next: 9,
            watches: Watches::from([
                (2, watch("a@.service", Origin::Policy("p".to_owned()))),
                (5, watch("b.service", Origin::RunTime)),
            ]),
            tested: HashMap::from([(Event::Open, Ok(())), (Event::Exec, Err("why".to_owned()))]),
            changes: vec![change],
            last_change: 3,
        }
    }

    /// What a daemon with these settings left, and what is in the store but its memory.
    fn left(layout: &str, settings: &Settings, seq: u64) -> Inherited {
        let memory = Rc::new(Memory::new(settings.watches).unwrap());
        let ledger = Ledger::new(settings.watches, Rc::clone(&memory));
        let document = to_document(layout, vec!["map.ring".to_owned()], ledger.targets(), &state()).unwrap();
        memory.save_document(&document).unwrap();
        memory.set(memory::SEQ, seq);
        let files = memory.files().map(|(name, file)| (name.to_owned(), file.try_clone_to_owned().unwrap()));
        let mut inherited: Inherited = files.collect();
        let ring = std::fs::File::open("/dev/null").unwrap();
        inherited.insert("map.ring".to_owned(), ring.into());
        inherited
    }

    #[test]
    fn all_is_taken_over_by_the_same() {
        let settings = Settings::default();
        let mut inherited = left("x", &settings, 12);
        let Former::Whole(memory, _, found) = recover(&mut inherited, "x", &settings) else { panic!() };
        assert_eq!(memory.get(memory::SEQ), 12);
        let State { next, watches, tested, changes, last_change } = state();
        assert_eq!((found.next, found.last_change), (next, last_change));
        assert_eq!(found.watches, watches);
        assert_eq!(found.tested, tested);
        assert_eq!(found.changes, changes);
        assert_eq!(inherited.len(), 1);
    }

    #[test]
    fn of_another_the_watches_and_the_numbers_go_on() {
        let settings = Settings::default();
        for (layout, without, expected) in [
            ("y", "", "another version"),
            ("x", "map.ring", "map.ring is missing"),
            ("x", "document-1", "its memory is missing"),
        ] {
            let mut inherited = left("x", &settings, 12);
            inherited.remove(without);
            let Former::Dropped(why, seq, found) = recover(&mut inherited, layout, &settings) else {
                panic!()
            };
            assert!(why.contains(expected), "{why}");
            if without != "document-1" {
                assert_eq!(seq, 12);
                assert_eq!(found.watches, state().watches);
                assert_eq!(found.next, 9);
            }
        }
        assert!(matches!(recover(&mut Inherited::new(), "x", &settings), Former::None));
    }
}
