//! Records that are not of an event: losses, and who added or removed a watch.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::confirm::Numbers;
use crate::control::{Caller, WatchId};
use crate::event::{LOST_MESSAGE_ID, LOST_NAME, WATCH_ADDED_NAME, WATCH_MESSAGE_ID, WATCH_REMOVED_NAME};
use crate::fields::{Entries, name};
use crate::ledger::{CAUSES, Untold};
use crate::names::{RECORD_IDENTIFIER, WATCH_PATH};
use crate::render::{Attribution, attribute};
use crate::unit_name::place_of;

/// A record of the daemon's own making, waiting for its turn.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Events were lost.
    Lost {
        /// What was lost.
        untold: Untold,
        /// Numbers that records of these had which are not in the journal.
        numbers: Numbers,
        /// Unit of the watches, if it is one.
        unit: String,
        /// Policies that ask for the event.
        policies: Vec<String>,
        /// Boot-time ns between which it happened.
        span: (u64, u64),
    },
    /// A run-time watch was added or removed; numbers that this record had before, which is not in the journal.
    Watch(Change, Numbers),
}

/// A run-time watch was added or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Number of the change.
    pub number: u64,
    /// Added, not removed.
    pub added: bool,
    /// The watch's number.
    pub id: WatchId,
    /// What is watched.
    pub unit: String,
    /// The events asked of it, as they are named.
    pub events: String,
    /// Who did it.
    pub caller: CallerDetails,
}

/// Who called, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerDetails {
    caller: Caller,
    auid: Option<u32>,
    unit: Option<String>,
}

impl CallerDetails {
    /// Looks the caller up below `root`; it may be gone already.
    pub fn of(root: &Path, caller: Caller) -> Self {
        let read = |file: &str| fs::read_to_string(root.join(format!("proc/{}/{file}", caller.pid))).ok();
        let auid = read("loginuid").and_then(|t| t.trim().parse().ok()).filter(|id| *id != u32::MAX);
        let group = read("cgroup").unwrap_or_default();
        let unit = group.lines().find_map(|l| l.strip_prefix("0::")).map(|p| place_of(p).unit.to_owned());
        Self { caller, auid, unit }
    }
}

impl Notice {
    /// How many numbers of the sequence it takes: its own, and those of the events that it says are lost and that
    /// have none.
    pub fn numbers(&self) -> u64 {
        match self {
            Self::Lost { untold, numbers, .. } => untold.count.saturating_sub(numbers.count()) + 1,
            Self::Watch(..) => 1,
        }
    }

    /// Adds its entry; `seq` is its own number, the last of those it takes.
    pub fn render(&self, seq: u64, out: &mut Entries) {
        out.text(name::SYSLOG_IDENTIFIER, RECORD_IDENTIFIER);
        out.text(name::TRACELEFT_SEQ, seq);
        match self {
            Self::Lost { untold, numbers, unit, policies, span } => {
                let Untold { target: _, event, cause, count, told: _ } = untold;
                let cause = CAUSES[*cause];
                let policies: Vec<_> = policies.iter().map(String::as_str).collect();
                attribute(&Attribution { unit, policies: &policies, ..Attribution::default() }, out);
                out.text(name::MESSAGE_ID, LOST_MESSAGE_ID);
                out.text(name::PRIORITY, 4);
                out.text(name::TRACELEFT_EVENT, LOST_NAME);
                out.text(name::TRACELEFT_CAUSE, cause);
                out.text(name::TRACELEFT_LOST_EVENT, event);
                out.text(name::TRACELEFT_COUNT, count);
                add_numbers(numbers, out);
                out.text(name::TRACELEFT_SPAN_BEGIN, span.0);
                out.text(name::TRACELEFT_SPAN_END, span.1);
                let of = if unit.is_empty() { "several units" } else { unit };
                out.text(name::MESSAGE, format_args!("lost {count} {event} of {of}: {cause}"));
            }
            Self::Watch(Change { number: _, added, id, unit, events, caller }, numbers) => {
                add_numbers(numbers, out);
                let CallerDetails { caller, auid, unit: caller_unit } = caller;
                let (event, done) =
                    if *added { (WATCH_ADDED_NAME, "added") } else { (WATCH_REMOVED_NAME, "removed") };
                out.text(name::MESSAGE_ID, WATCH_MESSAGE_ID);
                out.text(name::PRIORITY, 5);
                out.text(name::TRACELEFT_EVENT, event);
                out.text(name::TRACELEFT_WATCH, format_args!("{WATCH_PATH}/{id}"));
                out.bytes(name::TRACELEFT_TARGET, unit.as_bytes());
                out.text(name::TRACELEFT_EVENTS, events);
                out.text(name::TRACELEFT_CALLER_UID, caller.uid);
                out.text(name::TRACELEFT_CALLER_PID, caller.pid);
                if let Some(auid) = auid {
                    out.text(name::TRACELEFT_CALLER_AUID, auid);
                }
                if let Some(caller_unit) = caller_unit {
                    out.bytes(name::TRACELEFT_CALLER_UNIT, caller_unit.as_bytes());
                }
                let Caller { pid, uid } = caller;
                out.text(
                    name::MESSAGE,
                    format_args!("watch {id} {done}: {events} of {unit}, by uid {uid}, pid {pid}"),
                );
            }
        }
        out.end();
    }
}

fn add_numbers(numbers: &Numbers, out: &mut Entries) {
    if numbers.count() != 0 {
        out.text(name::TRACELEFT_NUMBERS, numbers);
    }
}
