//! An event loop that only answers, and repeats to the test what it was told.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::control::{
    Caller, Counts, Coverage, Origin, ProbeStatus, Refusal, Reply, Request, Resolution, Status, WatchId,
    WatchStatus,
};
use crate::event::{Event, EventSet};
use crate::unit_name::Target;

/// What the loop was told.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Add { target: Target, events: EventSet, resolution: Resolution, caller: Caller },
    Remove { id: WatchId, caller: Caller },
    Reload,
    Resolved(Vec<(WatchId, Resolution)>),
    SelfTested(Result<(), String>),
    Stopped { restart: bool },
    Fatal(String),
}

#[derive(Default)]
pub struct State {
    pub watches: BTreeMap<WatchId, (Target, EventSet, Option<Origin>)>,
    /// Next call's refusal.
    pub refusal: Option<Refusal>,
    /// Done before the next `AddWatch` is answered.
    pub before_answer: Option<Box<dyn FnOnce() + Send>>,
    /// How often the state was asked for.
    pub questions: usize,
    /// Flushes under way.
    pub flushes: Vec<Reply<()>>,
}

pub type Shared = Arc<Mutex<State>>;

/// Answers until the mailbox is gone.
pub fn run(requests: &Receiver<Request>, state: &Shared, told: &Sender<Told>) {
    for request in requests {
        // The test may have seen enough.
        let tell = |what| drop(told.send(what));
        let mut state = state.lock().unwrap();
        // The other side of a reply may be gone with its connection.
        match request {
            Request::AddWatch { target, events, resolution, caller, reply } => {
                tell(Told::Add { target: target.clone(), events, resolution, caller });
                let result = state.refusal.take().map_or_else(
                    || {
                        let id = state.watches.keys().max().map_or(1, |last| last + 1);
                        state.watches.insert(id, (target, events, None));
                        Ok(id)
                    },
                    Err,
                );
                if let Some(action) = state.before_answer.take() {
                    action();
                }
                drop(reply.send(result));
            }
            Request::RemoveWatch { id, caller, reply } => {
                tell(Told::Remove { id, caller });
                let result = match state.watches.get(&id) {
                    None => Err(Refusal::NoSuchWatch(format!("there is no watch {id}"))),
                    Some((.., Some(_))) => Err(Refusal::NotRunTime(format!("watch {id} is a policy's"))),
                    Some(_) => Ok(()),
                };
                if result.is_ok() {
                    state.watches.remove(&id);
                }
                drop(reply.send(result));
            }
            Request::Reload { reply } => {
                tell(Told::Reload);
                drop(reply.send(state.refusal.take().map_or(Ok(()), Err)));
            }
            Request::Flush { reply } => state.flushes.push(reply),
            Request::Status { reply } => {
                state.questions += 1;
                drop(reply.send(status()));
            }
            Request::Watch { id, reply } => {
                state.questions += 1;
                drop(reply.send(watch_status(&state, id)));
            }
            Request::Progress => {}
            Request::Resolved(list) => tell(Told::Resolved(list)),
            Request::SelfTested(result) => tell(Told::SelfTested(result)),
            Request::Stopped { restart } => tell(Told::Stopped { restart }),
            Request::Fatal(message) => tell(Told::Fatal(message)),
        }
    }
}

pub fn counts(factor: u64) -> Counts {
    let lost = BTreeMap::from([("ring", factor), ("state", 0), ("journal", 2 * factor), ("decode", 0)]);
    Counts { seen: 10 * factor, recorded: 7 * factor, lost, results_missed: factor }
}

fn status() -> Status {
    let probe =
        |kind, hits, misses| ProbeStatus { function: "do_sys_openat2".to_owned(), kind, hits, misses };
    Status { total: counts(100), probes: vec![probe("kprobe", 5, 0), probe("kretprobe", 4, 1)] }
}

fn watch_status(state: &State, id: WatchId) -> Option<WatchStatus> {
    let (target, events, origin) = state.watches.get(&id)?.clone();
    Some(WatchStatus {
        id,
        target,
        events,
        origin: origin.unwrap_or(Origin::RunTime),
        control_groups: vec!["/system.slice/a".to_owned()],
        counts: vec![(Event::Open, counts(1)), (Event::Exec, counts(2))],
        coverage: vec![Coverage { event: Event::Open, state: "partial", detail: "why".to_owned() }],
    })
}

/// Waits for the next that the loop is told.
pub fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(Duration::from_secs(20)).expect("the event loop was told nothing")
}
