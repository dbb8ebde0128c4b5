//! What passes between the bus and the event loop.
//!
//! The event loop owns all state. The bus side resolves units, posts [`Request`]s and serves the
//! answers; it holds no counter and no watch of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;

use futures_channel::oneshot;
use nix::sys::eventfd::EventFd;
use serde::{Deserialize, Serialize};

use crate::event::{Event, EventSet};
use crate::unit_name::Target;

/// Number of a watch: the last part of its object path. Never used twice in one run of the daemon.
pub type WatchId = u32;

/// A unit that has a control group, as systemd tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningUnit {
    /// Primary name (`Id`).
    pub unit: String,
    /// Path of its control group below the v2 root: `/system.slice/nginx.service`; `/` for `-.slice`.
    pub control_group: String,
    /// Invocation id, 32 hexadecimal digits; empty if the unit has none.
    pub invocation_id: String,
}

/// What systemd says about the target of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Primary name of the target where it was given by an alias; otherwise the target's own name.
    pub id: String,
    /// The units that match and have a control group now.
    pub running: Vec<RunningUnit>,
}

/// Where a watch comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A policy; its name is that of its file without `.toml`.
    Policy(String),
    /// `AddWatch` on the bus.
    RunTime,
    /// The daemon's own, of the unit that does each event once.
    SelfTest,
}

/// Who called a method on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
}

/// Counts of one event of one watch, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that happened: the kernel side saw them.
    pub seen: u64,
    /// Of these, those that journald has.
    pub recorded: u64,
    /// Of these, those lost, by cause: `ring`, `state`, `journal`, `decode`; every cause is present.
    pub lost: BTreeMap<&'static str, u64>,
    /// Of those seen, those whose result is not known.
    pub results_missed: u64,
}

/// One probe and the kernel's own counts of it since auditing began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStatus {
    /// Kernel function.
    pub function: String,
    /// `kprobe`, `kretprobe`, `fentry`, `fexit` or `tracepoint`.
    pub kind: &'static str,
    /// How often it was hit.
    pub hits: u64,
    /// How often it was missed.
    pub misses: u64,
}

/// How far an event of a watch can be recorded on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The event.
    pub event: Event,
    /// `complete`, `partial`, `unproven` or `unavailable`.
    pub state: &'static str,
    /// What is missing, for people; empty if nothing is.
    pub detail: String,
}

/// A watch as its bus object shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchStatus {
    /// Its number.
    pub id: WatchId,
    /// What is watched.
    pub target: Target,
    /// The events asked of it.
    pub events: EventSet,
    /// Where it comes from.
    pub origin: Origin,
    /// Paths of the control groups it covers now, sorted.
    pub control_groups: Vec<String>,
    /// Counts of each of its events.
    pub counts: Vec<(Event, Counts)>,
    /// How far each of its events can be recorded here.
    pub coverage: Vec<Coverage>,
}

/// The whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Sum over all watches that there were since auditing began.
    pub total: Counts,
    /// The probes attached now.
    pub probes: Vec<ProbeStatus>,
}

/// Why a request was refused; each kind has an error name on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such watch.
    NoSuchWatch(String),
    /// The watch is a policy's; it goes with its file.
    NotRunTime(String),
    /// The policies in the files are not valid; all of what is wrong.
    InvalidPolicy(String),
    /// The kernel refused a probe or a map entry.
    Kernel(String),
    /// A limit of the configuration is reached.
    LimitReached(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchWatch(s)
            | Self::NotRunTime(s)
            | Self::InvalidPolicy(s)
            | Self::Kernel(s)
            | Self::LimitReached(s) => f.write_str(s),
        }
    }
}

/// An answer to a request.
pub type Reply<T> = oneshot::Sender<T>;

/// What the bus side asks of the event loop.
#[derive(Debug)]
pub enum Request {
    /// Adds a run-time watch, resolved already.
    AddWatch {
        /// What to watch.
        target: Target,
        /// The events asked of it; not empty.
        events: EventSet,
        /// What systemd says of the target.
        resolution: Resolution,
        /// Who asks.
        caller: Caller,
        /// Number of the new watch.
        reply: Reply<Result<WatchId, Refusal>>,
    },
    /// Removes a run-time watch.
    RemoveWatch {
        /// Number of the watch.
        id: WatchId,
        /// Who asks.
        caller: Caller,
        /// Done, or why not.
        reply: Reply<Result<(), Refusal>>,
    },
    /// Reads the policies again. Answered when all that is new is in force.
    Reload {
        /// Done, or why nothing was changed.
        reply: Reply<Result<(), Refusal>>,
    },
    /// Answered once all that is in the ring now is in the journal.
    Flush {
        /// Done.
        reply: Reply<()>,
    },
    /// Asks for the ledger.
    Status {
        /// The ledger.
        reply: Reply<Status>,
    },
    /// Asks for one watch.
    Watch {
        /// Its number.
        id: WatchId,
        /// The watch, if there is one of this number.
        reply: Reply<Option<WatchStatus>>,
    },
    /// A part is done of what [`Notice::Resolve`] asked for, and more is to come.
    Progress,
    /// What systemd says now of watches: after [`Notice::Resolve`], or when something changed.
    Resolved(Vec<(WatchId, Resolution)>),
    /// Whether the daemon is stopped to be started again at once, or for good.
    Stopped {
        /// Started again.
        restart: bool,
    },
    /// The unit of the self-test has ended, or could not be started: then why.
    SelfTested(Result<(), String>),
    /// The bus side cannot work at all; the daemon ends with this message.
    Fatal(String),
}

/// What the event loop tells the bus side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The set of watches changed: serve exactly these as objects, resolve those that are new, and answer with
    /// one [`Request::Resolved`] that has every one of them.
    Resolve(Vec<(WatchId, Target)>),
    /// Start the unit of the self-test, and post [`Request::SelfTested`] when it has ended.
    SelfTest,
    /// Asks for [`Request::Stopped`]: the daemon was told to stop.
    WhyStop,
    /// The daemon stops: release the name, close the connection.
    Stop,
}

/// The bus side's end of the channel to the event loop.
#[derive(Clone, Debug)]
pub struct Mailbox {
    requests: mpsc::Sender<Request>,
    wake: Arc<EventFd>,
}

impl Mailbox {
    /// A channel, and the descriptor that becomes readable when a request waits in it.
    pub fn new() -> nix::Result<(Self, mpsc::Receiver<Request>, Arc<EventFd>)> {
        use nix::sys::eventfd::EfdFlags;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let (requests, receiver) = mpsc::channel();
        Ok((Self { requests, wake: Arc::clone(&wake) }, receiver, wake))
    }

    /// Posts a request and wakes the event loop. False if the loop has ended.
    pub fn post(&self, request: Request) -> bool {
        // A counter that is full is readable already, so a refused write wakes as well.
        self.requests.send(request).is_ok() && self.wake.write(1).is_ok()
    }

    /// Posts a request and waits for its answer; `None` if the loop has ended.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        if self.post(request(reply)) { answer.await.ok() } else { None }
    }
}
