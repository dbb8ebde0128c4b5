//! The hot path: from the ring to journald, in batches, one thread, nothing kept that the ring does not hold.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Instant;

use nix::unistd::gettid;

use crate::auditor::Auditor;
use crate::confirm::{Confirmation, Taken, What};
use crate::control::{Origin, Refusal};
use crate::decode::{Body, decode};
use crate::event::{Event, EventSet};
use crate::fields::Entries;
use crate::journal::{Journal, Sent};
use crate::kernel::{NO_TARGET, Rings, released_word};
use crate::ledger::Untold;
use crate::memory::{self, BATCH, Count, ITEMS, Item, Memory};
use crate::notice::Notice;
use crate::render::{Attribution, render};
use crate::send::{Messages, is_sent};
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

/// The way of records, and of the daemon's own, into the journal.
#[derive(Debug)]
pub struct Pump {
    rings: Rings,
    journal: Journal,
    memory: Rc<Memory>,
    entries: Entries,
    items: Vec<Item>,
    /// How many of the items are notices; they come first.
    noticed: usize,
    notices: VecDeque<Notice>,
    /// What journald took last.
    pub confirmation: Confirmation,
    /// News of control groups that has been read, and position up to which records may need it.
    news: VecDeque<(u64, u64)>,
    news_read: u64,
    news_lost: u64,
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
    /// Goes on where the memory says; a batch that the daemon before has begun is settled.
    pub fn new(mut rings: Rings, journal: Journal, memory: Rc<Memory>, confirmation: Confirmation) -> Self {
        memory.settle(&mut rings.records, &rings.shares, |message| is_sent(&memory, message));
        let news_read = rings.groups.consumed();
        Self {
            rings,
            journal,
            memory,
            entries: Entries::default(),
            items: Vec::new(),
            noticed: 0,
            notices: VecDeque::new(),
            confirmation,
            news: VecDeque::new(),
            news_read,
            news_lost: 0,
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
        self.rings.reader_sleeps.set(u64::from(sleeps));
    }

    /// True if nothing has come since the flag was set.
    pub fn is_sleeping(&self) -> bool {
        self.rings.reader_sleeps.get() != 0
    }

    /// Says whether the calling thread is at work with records. What it does then is no event: that would be a record
    /// to work with, without end.
    pub fn set_at_work(&self, at_work: bool) {
        // As bpf_get_current_pid_tgid() has it.
        let process = u64::from(std::process::id());
        let thread = u64::try_from(gettid().as_raw()).unwrap_or_default();
        self.rings.own_thread.set(if at_work { process << 32 | thread } else { 0 });
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

    /// True if a record of losses has not been sent yet.
    pub fn has_losses(&self) -> bool {
        self.notices.iter().any(|n| matches!(n, Notice::Lost { .. }))
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

    /// Reads the news of control groups; what is wrong with them is for the caller to say. It stays in its ring until
    /// the records are read that may name the groups: the next daemon may have to read it again.
    pub fn read_group_news(&mut self, auditor: &mut Auditor) -> Vec<Refusal> {
        let mut troubles = Vec::new();
        let position = self.produced();
        let before = self.news_read;
        for record in self.rings.groups.records(before) {
            troubles.extend(auditor.group_news(record.data, position).err());
            self.news_read = record.end;
        }
        if self.news_read != before {
            self.news.push_back((self.news_read, position));
        }
        let lost = self.rings.group_news_lost.get();
        if lost != self.news_lost {
            self.news_lost = lost;
            troubles.extend(auditor.look_at_all_groups(position).err());
        }
        let consumed = self.consumed();
        while let Some((end, _)) = self.news.front().filter(|(_, position)| *position <= consumed) {
            self.rings.groups.release(*end);
            self.news.pop_front();
        }
        troubles
    }

    /// Sends one batch. What journald has is counted and released; what it has not stays in the ring.
    pub fn run(&mut self, auditor: &mut Auditor) -> Progress {
        self.fill(auditor);
        if self.items.is_empty() {
            return Progress::Idle;
        }
        let entries: Vec<_> = self.entries.iter().collect();
        let count = entries.len();
        let mut messages = Messages::prepare(&self.memory, &entries);
        self.memory.begin(&self.items);
        let sent = self.journal.send(&mut messages, &entries);
        if let Sent::Refused(message) = sent {
            self.memory.refuse(message);
        }
        let Rings { records, shares, .. } = &mut self.rings;
        let settled = self.memory.settle(records, shares, |message| is_sent(&self.memory, message));
        self.remember(settled, sent);
        auditor.groups.forget(self.consumed());
        auditor.all_groups.forget(self.consumed());
        match sent {
            Sent::Some(n) if n == count => Progress::Sent,
            Sent::Some(_) => Progress::Blocked,
            Sent::Refused(_) => Progress::Sent,
            Sent::Away => {
                self.confirmation.suspect();
                Progress::Away
            }
        }
    }

    /// Remembers what journald has taken of the items that are settled: all but the last if that was refused.
    fn remember(&mut self, settled: usize, sent: Sent) {
        let taken = settled - usize::from(matches!(sent, Sent::Refused(_)) && settled > 0);
        let at = Instant::now();
        let mut notices = self.notices.drain(..settled.min(self.noticed));
        for item in &self.items[..taken] {
            let what = match notices.next() {
                Some(notice) => {
                    let first = item.seq + 1 - notice.numbers();
                    What::Notice(notice, first)
                }
                None if item.is_message => What::Event(item.counter),
                None => continue,
            };
            self.confirmation.remember(Taken { number: item.seq, at, what });
        }
    }

    fn fill(&mut self, auditor: &Auditor) {
        let Self { rings, memory, entries, items, noticed, notices, tested: all_tested, .. } = self;
        entries.clear();
        items.clear();
        let mut seq = memory.get(memory::SEQ);
        for notice in notices.iter().take(BATCH) {
            seq += notice.numbers();
            notice.render(seq, entries);
            let (counter, after) = match notice {
                Notice::Lost { untold: Untold { target, event, cause, count: _, told }, .. } => {
                    (memory.word(*target, *event, Count::Told(*cause)), *told)
                }
                Notice::Watch(change, _) => (memory::CHANGES_TOLD, change.number),
            };
            items.push(Item {
                is_message: true,
                counter,
                after,
                refused: memory::NOWHERE,
                end: 0,
                share: None,
                seq,
            });
        }
        *noticed = items.len();
        let mut policies: Vec<&str> = Vec::new();
        for record in rings.records.records(rings.records.consumed()) {
            if entries.len() >= BATCH || items.len() >= ITEMS || entries.size() >= BATCH_BYTES {
                break;
            }
            let end = record.end;
            let Some(decoded) = decode(record.data) else {
                let counter = memory.word(NO_TARGET, Event::Open, Count::Decode);
                let refused = memory::NOWHERE;
                let item = Item { is_message: false, counter, after: 0, refused, end, share: None, seq };
                add_one(memory, items, item);
                continue;
            };
            let target = decoded.header.target;
            let event = decoded.event;
            let counter = memory.word(target, event, Count::Recorded);
            let refused = memory.word(target, event, Count::Journal);
            let word = released_word(decoded.header.share);
            let before = items.iter().rev().filter_map(|i| i.share).find(|(of, _)| *of == word);
            let before = before.map_or_else(|| rings.shares.load(word), |(_, released)| released);
            let share = Some((word, before + room_of(record.data.len())));
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
                    if !watch.target.is_slice() && !watch.target.is_many() {
                        to.unit = &watch.resolution.id;
                    }
                }
            }
            if tested {
                all_tested.insert(event);
            }
            // It is read, and that is all, also where the self-test has ended meanwhile.
            if policies.is_empty() && auditor.is_of_self_test(target) {
                let item = Item { is_message: false, counter, after: 0, refused, end, share, seq };
                add_one(memory, items, item);
                continue;
            }
            if let Some(group) = auditor.groups.get(decoded.header.cgroup_id) {
                to = Attribution { unit: &group.unit, slice: &group.slice, control_group: &group.path, ..to };
            }
            to.policies = &policies;
            if let Some(group) = other_group(&decoded.body).and_then(|id| auditor.all_groups.get(id)) {
                to.other_unit = &group.unit;
            }
            seq += 1;
            render(&decoded, &to, seq, entries);
            add_one(memory, items, Item { is_message: true, counter, after: 0, refused, end, share, seq });
        }
    }
}

/// What a record of this length takes of the ring.
fn room_of(length: usize) -> u64 {
    const ALIGNMENT: usize = types::limits::RECORD_ALIGNMENT.0 as usize;
    (length + ALIGNMENT).next_multiple_of(ALIGNMENT) as u64
}

/// Adds an item that counts one more: than is counted already, or will be when those before it are settled.
fn add_one(memory: &Memory, items: &mut Vec<Item>, item: Item) {
    let before = items.iter().rev().find(|i| i.counter == item.counter).map(|i| i.after);
    let after = before.unwrap_or_else(|| memory.get(item.counter)) + 1;
    items.push(Item { after, ..item });
}
