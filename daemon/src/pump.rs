//! The hot path: from the ring to journald, in batches, one thread, nothing kept that the ring does not hold.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use crate::auditor::Auditor;
use crate::control::Origin;
use crate::decode::{Body, decode};
use crate::event::{Event, EventSet};
use crate::fields::Entries;
use crate::journal::{BATCH, Journal, Sent};
use crate::kernel::Rings;
use crate::notice::Notice;
use crate::render::{Attribution, render};
use crate::skel::types;

/// A batch is sent when it has this many bytes, however few its entries.
const BATCH_BYTES: usize = 256 << 10;
/// `TRACELEFT_POLICY=` of a watch made on the bus.
pub const RUN_TIME: &str = "run-time";

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There was nothing to do.
    Idle,
    /// A batch was sent; there may be more.
    Sent,
    /// journald takes no more for now.
    Blocked,
    /// journald is not there.
    Away,
}

/// What an entry of a batch stands for.
#[derive(Clone, Copy, Debug)]
enum Item {
    Notice {
        numbers: u64,
    },
    Record {
        event: Event,
        target: u32,
        end: u64,
    },
    Undecodable {
        end: u64,
    },
    /// Of the self-test alone: it is read, and that is all.
    Tested {
        event: Event,
        target: u32,
        end: u64,
    },
}

/// The way of records, and of the daemon's own, into the journal.
#[derive(Debug)]
pub struct Pump {
    rings: Rings,
    journal: Journal,
    entries: Entries,
    items: Vec<Item>,
    notices: VecDeque<Notice>,
    seq: u64,
    /// Events of the self-test that came.
    tested: EventSet,
}

/// Control group of the other process, or of the other end of a connection.
fn other_group(body: &Body) -> Option<u64> {
    match body {
        Body::Process(process) => Some(process.other_cgroup),
        Body::Socket(socket) => Some(socket.peer_cgroup),
        _ => None,
    }
}

impl Pump {
    /// Begins with the first number of the sequence.
    pub fn new(rings: Rings, journal: Journal) -> Self {
        Self {
            rings,
            journal,
            entries: Entries::default(),
            items: Vec::new(),
            notices: VecDeque::new(),
            seq: 0,
            tested: EventSet::default(),
        }
    }

    /// journald's socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.journal.socket()
    }

    /// Connects to journald again.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.journal.reconnect()
    }

    /// The flag that says that the reader waits without a timer.
    pub fn set_sleeping(&self, sleeps: bool) {
        self.rings.reader_sleeps.set(sleeps);
    }

    /// True if nothing has come since the flag was set.
    pub fn is_sleeping(&self) -> bool {
        self.rings.reader_sleeps.is_set()
    }

    /// Puts a record of the daemon's own before the events that are still in the ring.
    pub fn tell(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    /// Position behind all that is in the ring now.
    pub fn produced(&self) -> u64 {
        self.rings.records.produced()
    }

    /// Position up to which all is in the journal.
    pub fn consumed(&self) -> u64 {
        self.rings.records.consumed()
    }

    /// True if a record of the daemon's own has not been sent yet.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Events of the self-test that came so far.
    pub fn tested(&self) -> EventSet {
        self.tested
    }

    /// True if nothing waits.
    pub fn is_drained(&self) -> bool {
        self.notices.is_empty() && self.consumed() >= self.produced()
    }

    /// Reads the news of control groups; what is wrong with them is for the caller to say.
    pub fn read_group_news(&mut self, auditor: &mut Auditor) -> Vec<crate::control::Refusal> {
        let mut troubles = Vec::new();
        let position = self.produced();
        let mut end = self.rings.groups.consumed();
        for record in self.rings.groups.records(end) {
            troubles.extend(auditor.group_news(record.data, position).err());
            end = record.end;
        }
        if end != self.rings.groups.consumed() {
            self.rings.groups.release(end);
        }
        troubles
    }

    /// Sends one batch. What journald has is counted and released; what it has not stays in the ring.
    pub fn run(&mut self, auditor: &mut Auditor) -> Progress {
        self.fill(auditor);
        if self.items.is_empty() {
            return Progress::Idle;
        }
        let sent = self.journal.send(&self.entries);
        let (taken, progress) = match sent {
            Sent::Some(n) if n == self.entries.len() => (n, Progress::Sent),
            Sent::Some(n) => (n, Progress::Blocked),
            Sent::Refused(n) => (n, Progress::Sent),
            Sent::Away => (0, Progress::Away),
        };
        self.settle(auditor, taken, matches!(sent, Sent::Refused(_)));
        auditor.groups.forget(self.consumed());
        auditor.all_groups.forget(self.consumed());
        progress
    }

    fn fill(&mut self, auditor: &mut Auditor) {
        self.entries.clear();
        self.items.clear();
        let mut seq = self.seq;
        for notice in self.notices.iter().take(BATCH) {
            seq += notice.numbers();
            notice.render(seq, &mut self.entries);
            self.items.push(Item::Notice { numbers: notice.numbers() });
        }
        let mut policies: Vec<&str> = Vec::new();
        for record in self.rings.records.records(self.rings.records.consumed()) {
            if self.entries.len() >= BATCH || self.entries.size() >= BATCH_BYTES {
                break;
            }
            let end = record.end;
            let Some(decoded) = decode(record.data) else {
                self.items.push(Item::Undecodable { end });
                continue;
            };
            let target = decoded.header.target;
            let event = decoded.event;
            policies.clear();
            let mut tested = false;
            let mut to = Attribution::default();
            let set_up = decoded.header.flags & types::record_flags::RECORD_SET_UP.0 != 0;
            for watch in auditor.ledger.set(target).iter().filter_map(|id| auditor.watches().get(id)) {
                if watch.events.contains(event) && (watch.set_up || !set_up) {
                    to.unit_log |= watch.unit_log;
                    let policy = match &watch.origin {
                        Origin::Policy(name) => name,
                        Origin::RunTime => RUN_TIME,
                        Origin::SelfTest => {
                            tested = true;
                            continue;
                        }
                    };
                    if !policies.contains(&policy) {
                        policies.push(policy);
                    }
                    if !watch.target.is_slice() && !watch.target.is_template() {
                        to.unit = &watch.resolution.id;
                    }
                }
            }
            if tested {
                self.tested.insert(event);
                if policies.is_empty() {
                    self.items.push(Item::Tested { event, target, end });
                    continue;
                }
            }
            if let Some(group) = auditor.groups.get(decoded.header.cgroup_id) {
                to = Attribution { unit: &group.unit, slice: &group.slice, control_group: &group.path, ..to };
            }
            to.policies = &policies;
            if let Some(group) = other_group(&decoded.body).and_then(|id| auditor.all_groups.get(id)) {
                to.other_unit = &group.unit;
            }
            seq += 1;
            render(&decoded, &to, seq, &mut self.entries);
            self.items.push(Item::Record { event, target, end });
        }
    }

    /// Counts the first `taken` entries as recorded, the next as refused if it was, and releases them.
    fn settle(&mut self, auditor: &mut Auditor, taken: usize, refused: bool) {
        let mut entries = 0;
        let mut release = None;
        for item in &self.items {
            let recorded = entries < taken;
            match *item {
                Item::Undecodable { end } => {
                    auditor.ledger.undecodable();
                    release = Some(end);
                    continue;
                }
                Item::Tested { event, target, end } => {
                    auditor.ledger.recorded(target, event);
                    release = Some(end);
                    continue;
                }
                _ if !(recorded || refused && entries == taken) => break,
                Item::Notice { numbers } => {
                    self.notices.pop_front();
                    self.seq += numbers;
                }
                Item::Record { event, target, end } => {
                    if recorded {
                        auditor.ledger.recorded(target, event);
                        self.seq += 1;
                    } else {
                        auditor.ledger.refused(target, event);
                    }
                    release = Some(end);
                }
            }
            entries += 1;
        }
        if let Some(end) = release {
            self.rings.records.release(end);
        }
    }
}
