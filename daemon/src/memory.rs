//! What must outlive the daemon: its counts, what it has decided, and the batch that is on its way to journald.
//!
//! It is in files of memory that the service manager keeps while the daemon is restarted. Whatever kills the daemon
//! may do so between any two instructions. So all of this is either one number, or it may be done again from what is
//! here, with the same outcome.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::event::{EVENTS, Event};
use crate::kernel::TargetId;
use crate::ledger::CAUSES;
use crate::ring::{Ring, SharedWords};

/// Names under which the service manager keeps the files.
pub const NAMES: [&str; 3] = ["memory", "document-0", "document-1"];

/// Entries in one batch, at most.
pub const BATCH: usize = 64;
/// Items in one batch, at most: entries, and what is in the ring that becomes none.
pub const ITEMS: usize = 128;

/// What a row counts of one event of one target, in the order of its numbers. None ever goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// journald has it.
    Recorded,
    /// journald refused it.
    Journal,
    /// It could not be read.
    Decode,
    /// journald took it and did not write it: it is not recorded, but lost as if it had been refused.
    Withdrawn,
    /// Losses that a record has told of, by the number of their cause.
    Told(usize),
}

impl Count {
    fn offset(self) -> usize {
        match self {
            Self::Recorded => 0,
            Self::Journal => 1,
            Self::Decode => 2,
            Self::Withdrawn => 3,
            Self::Told(cause) => 4 + cause,
        }
    }
}

/// Place of a number.
pub type Word = usize;

// Places of the numbers there is one of. Those up to `GIVEN` stay where they are in later versions, which find there
// what they can go on from.
const VERSION: Word = 0;
/// Number of the last record in the journal; 0 if there is none.
pub const SEQ: Word = 1;
const DOCUMENT: Word = 2;
const LENGTHS: Word = 3;
/// Number of the last record of the last batch: whether it was sent is not known from this.
const GIVEN: Word = 5;
/// When losses were looked for, boot-time ns.
pub const LOOKED_AT: Word = 8;
/// Number of the last change of the watches that a record has told of.
pub const CHANGES_TOLD: Word = 9;
/// Items of the batch that is being sent; 0 if none is.
const UNDER_WAY: Word = 10;
/// The message of it that journald refused, from 1; and what its counter becomes by that.
const REFUSED: Word = 11;
const REFUSED_AFTER: Word = 12;
/// What is counted here counts for nothing.
pub const NOWHERE: Word = 13;

const ITEM_TABLE: Word = 64;
const ITEM_WORDS: usize = 8;
/// Headers of the batch's messages, where the kernel notes which of them it has sent.
const MESSAGES: Word = 1536;
/// Numbers that such a header is as large as.
pub const MESSAGE_WORDS: usize = 8;
const ROWS: Word = 2560;
const ROW_WORDS: usize = 4 + CAUSES.len();

/// Of `VERSION`: what is where.
const THIS_VERSION: u64 = 1;

/// Something that a batch settles, in the order of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// It is a message of the batch, and settled only when that is sent.
    pub is_message: bool,
    /// The number that changes, and to what.
    pub counter: Word,
    /// See `counter`.
    pub after: u64,
    /// The number that is one more instead if journald refuses the message.
    pub refused: Word,
    /// Position of the ring up to which it is done with; 0: as it is.
    pub end: u64,
    /// The number that says how much of its share is released, among those of all shares, and what it becomes.
    pub share: Option<(Word, u64)>,
    /// Number of the last record in the journal.
    pub seq: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Memory {
    words: SharedWords,
    targets: TargetId,
    files: [OwnedFd; NAMES.len()],
}

fn length(targets: TargetId) -> usize {
    ROWS + targets as usize * EVENTS.len() * ROW_WORDS
}

fn new_file(name: &str) -> io::Result<OwnedFd> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?)
}

impl Memory {
    /// New memory for so many targets, in which nothing is noted.
    pub fn new(targets: TargetId) -> io::Result<Self> {
        let [memory, first, second] = NAMES;
        let files = [new_file(memory)?, new_file(first)?, new_file(second)?];
        let bytes = (length(targets) * size_of::<u64>()) as u64;
        let file = File::from(files[0].try_clone()?);
        file.set_len(bytes)?;
        let memory = Self { words: SharedWords::writable(&files[0], length(targets))?, targets, files };
        memory.words.store(VERSION, THIS_VERSION);
        Ok(memory)
    }

    /// Takes over memory from the daemon before, which had so many targets.
    pub fn adopt(files: [OwnedFd; NAMES.len()], targets: TargetId) -> io::Result<Self> {
        let size = File::from(files[0].try_clone()?).metadata()?.len();
        if size != (length(targets) * size_of::<u64>()) as u64 {
            return Err(io::Error::other("its counts are of another number of sets of watches"));
        }
        let words = SharedWords::writable(&files[0], length(targets))?;
        if words.load(VERSION) != THIS_VERSION {
            return Err(io::Error::other("its counts are in another form"));
        }
        Ok(Self { words, targets, files })
    }

    /// What can be known of memory whatever its version: the last number that was given, and the document.
    pub fn peek(files: &[OwnedFd; NAMES.len()]) -> io::Result<(u64, Vec<u8>)> {
        let words = SharedWords::writable(&files[0], ROWS.min(512))?;
        Ok((last_given(&words), read_document(&words, files)?))
    }

    /// The last number that a record may have: who cannot go on with the batch under way goes on behind this.
    pub fn last_given(&self) -> u64 {
        last_given(&self.words)
    }

    /// The files, in the order of [`NAMES`].
    pub fn files(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        NAMES.into_iter().zip(self.files.iter().map(AsFd::as_fd))
    }

    /// Where something is counted of an event of a target; nowhere if there is no such target.
    pub fn word(&self, target: TargetId, event: Event, count: Count) -> Word {
        let row = target as usize * EVENTS.len() + event.number();
        if target < self.targets { ROWS + row * ROW_WORDS + count.offset() } else { NOWHERE }
    }

    /// A number.
    pub fn get(&self, word: Word) -> u64 {
        self.words.load(word)
    }

    /// Changes a number.
    pub fn set(&self, word: Word, value: u64) {
        self.words.store(word, value);
    }

    /// Replaces the document. A reader finds the old one or the new one, whole.
    pub fn save_document(&self, document: &[u8]) -> io::Result<()> {
        let next = 1 - self.words.load(DOCUMENT) % 2;
        let index = usize::try_from(next).unwrap_or_default();
        let file = File::from(self.files[1 + index].try_clone()?);
        file.write_all_at(document, 0)?;
        file.set_len(document.len() as u64)?;
        self.words.store(LENGTHS + index, document.len() as u64);
        self.words.store(DOCUMENT, next);
        Ok(())
    }

    /// Begins a batch of these items; it is under way until it is settled.
    ///
    /// The headers of its messages are to be prepared before, so that none of them says that it was sent.
    pub fn begin(&self, items: &[Item]) {
        for (i, item) in items.iter().take(ITEMS).enumerate() {
            let Item { is_message, counter, after, refused, end, share, seq } = *item;
            let (share, released) = share.map_or((0, 0), |(word, released)| (word as u64 + 1, released));
            let words =
                [u64::from(is_message), counter as u64, after, refused as u64, end, share, released, seq];
            for (j, word) in words.into_iter().enumerate() {
                self.words.store(ITEM_TABLE + i * ITEM_WORDS + j, word);
            }
        }
        if let Some(last) = items.last() {
            self.words.store(GIVEN, last.seq);
        }
        self.words.store(REFUSED, 0);
        self.words.store(UNDER_WAY, items.len().min(ITEMS) as u64);
    }

    fn item(&self, index: usize) -> Item {
        let word = |j| self.words.load(ITEM_TABLE + index * ITEM_WORDS + j);
        let place = |j| usize::try_from(word(j)).unwrap_or_default();
        Item {
            is_message: word(0) != 0,
            counter: place(1),
            after: word(2),
            refused: place(3),
            end: word(4),
            share: place(5).checked_sub(1).map(|share| (share, word(6))),
            seq: word(7),
        }
    }

    /// Where the header of a message of the batch is, for so many bytes as a header of the kernel has.
    pub fn message(&self, index: usize) -> std::ptr::NonNull<u64> {
        assert!(index < BATCH);
        self.words.address(MESSAGES + index * MESSAGE_WORDS)
    }

    /// journald refuses this message of the batch for good.
    pub fn refuse(&self, message: usize) {
        let of_message = |i: &usize| self.item(*i).is_message;
        let items = usize::try_from(self.words.load(UNDER_WAY)).unwrap_or_default();
        let Some(index) = (0..items).filter(of_message).nth(message) else { return };
        self.words.store(REFUSED_AFTER, self.words.load(self.item(index).refused) + 1);
        self.words.store(REFUSED, message as u64 + 1);
    }

    /// Settles what has been sent, or refused, of the batch under way; there is none after that. `is_sent` says
    /// whether the kernel has sent a message of it. Returns how many items are settled.
    ///
    /// Begun again after it was broken off anywhere, it comes to the same.
    pub fn settle(&self, ring: &mut Ring, shares: &SharedWords, is_sent: impl Fn(usize) -> bool) -> usize {
        let items = usize::try_from(self.words.load(UNDER_WAY)).unwrap_or_default().min(ITEMS);
        let refused = usize::try_from(self.words.load(REFUSED)).unwrap_or_default();
        let mut settled = 0;
        let mut messages = 0;
        for item in (0..items).map(|i| self.item(i)) {
            let is_refused = item.is_message && refused == messages + 1;
            if item.is_message && !is_refused && !is_sent(messages) {
                break;
            }
            if is_refused {
                self.words.store(item.refused, self.words.load(REFUSED_AFTER));
            } else {
                self.words.store(item.counter, item.after);
                self.words.store(SEQ, item.seq);
            }
            if item.end != 0 {
                ring.release(item.end);
            }
            if let Some((word, released)) = item.share {
                shares.store(word, released);
            }
            settled += 1;
            messages += usize::from(item.is_message);
            if is_refused {
                break;
            }
        }
        self.words.store(UNDER_WAY, 0);
        settled
    }
}

/// Which event of which target is counted somewhere.
pub fn row_of(word: Word) -> Option<(TargetId, Event)> {
    let row = word.checked_sub(ROWS)? / ROW_WORDS;
    let event = Event::from_number(u32::try_from(row % EVENTS.len()).ok()?)?;
    Some((TargetId::try_from(row / EVENTS.len()).ok()?, event))
}

fn last_given(words: &SharedWords) -> u64 {
    words.load(SEQ).max(words.load(GIVEN))
}

fn read_document(words: &SharedWords, files: &[OwnedFd; NAMES.len()]) -> io::Result<Vec<u8>> {
    let index = usize::try_from(words.load(DOCUMENT) % 2).unwrap_or_default();
    let length = usize::try_from(words.load(LENGTHS + index)).map_err(io::Error::other)?;
    let file = File::from(files[1 + index].try_clone()?);
    if file.metadata()?.len() < length as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut document = vec![0; length];
    file.read_exact_at(&mut document, 0)?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        let file = new_file("ring").unwrap();
        File::from(file.try_clone().unwrap()).set_len(1 << 20).unwrap();
        Ring::new(&file, 4096).unwrap()
    }

    fn shares() -> SharedWords {
        let file = new_file("shares").unwrap();
        File::from(file.try_clone().unwrap()).set_len(4096).unwrap();
        SharedWords::writable(&file, 8).unwrap()
    }

    /// What a daemon that is killed leaves, at some moments; `counter` by each of three messages, the second of which
    /// is in two items.
    fn items(memory: &Memory) -> Vec<Item> {
        let word = |event, count| memory.word(1, event, count);
        let item = |event, after, seq| Item {
            is_message: true,
            counter: word(event, Count::Recorded),
            after,
            refused: word(event, Count::Journal),
            end: 100 * seq,
            share: Some((3, 100 * seq)),
            seq,
        };
        let unreadable = Item {
            is_message: false,
            counter: memory.word(0, Event::Open, Count::Decode),
            after: 1,
            refused: NOWHERE,
            end: 150,
            share: None,
            seq: 1,
        };
        vec![item(Event::Open, 1, 1), unreadable, item(Event::Open, 2, 2), item(Event::Exec, 1, 3)]
    }

    fn numbers(memory: &Memory, ring: &Ring) -> [u64; 6] {
        let get = |target, event, count| memory.get(memory.word(target, event, count));
        [
            get(1, Event::Open, Count::Recorded),
            get(1, Event::Exec, Count::Recorded),
            get(1, Event::Open, Count::Journal),
            get(0, Event::Open, Count::Decode),
            memory.get(SEQ),
            ring.consumed(),
        ]
    }

    #[test]
    fn what_was_sent_is_settled_once_however_often_that_is_begun() {
        for (sent, settled, expected) in [
            (0, 0, [0, 0, 0, 0, 0, 0]),
            (1, 2, [1, 0, 0, 1, 1, 150]),
            (2, 3, [2, 0, 0, 1, 2, 200]),
            (3, 4, [2, 1, 0, 1, 3, 300]),
        ] {
            let (memory, mut ring, shares) = (Memory::new(4).unwrap(), ring(), shares());
            memory.begin(&items(&memory));
            for _ in 0..3 {
                assert_eq!(memory.settle(&mut ring, &shares, |message| message < sent), settled);
                assert_eq!(numbers(&memory, &ring), expected);
                assert_eq!(shares.load(3), 100 * expected[4]);
                // Killed before the last step.
                memory.set(UNDER_WAY, 4);
            }
            // Who cannot settle it gives none of its numbers again.
            assert_eq!(memory.last_given(), 3);
            memory.set(UNDER_WAY, 0);
            assert_eq!(memory.settle(&mut ring, &shares, |_| true), 0);
        }
    }

    #[test]
    fn what_is_refused_is_lost_and_what_follows_waits() {
        let (memory, mut ring, shares) = (Memory::new(4).unwrap(), ring(), shares());
        memory.begin(&items(&memory));
        memory.refuse(1);
        for _ in 0..2 {
            assert_eq!(memory.settle(&mut ring, &shares, |message| message < 1), 3);
            assert_eq!(numbers(&memory, &ring), [1, 0, 1, 1, 1, 200]);
            memory.set(UNDER_WAY, 4);
        }
    }

    #[test]
    fn a_document_is_replaced_whole() {
        let memory = Memory::new(4).unwrap();
        let read = || Memory::peek(&memory.files.each_ref().map(|f| f.try_clone().unwrap())).unwrap().1;
        assert_eq!(read(), b"");
        for document in ["first", "a longer one", "x", ""] {
            memory.save_document(document.as_bytes()).unwrap();
            assert_eq!(read(), document.as_bytes());
        }
        let files = memory.files.each_ref().map(|f| f.try_clone().unwrap());
        assert!(Memory::adopt(files, 5).is_err());
        let files = memory.files.each_ref().map(|f| f.try_clone().unwrap());
        memory.set(SEQ, 7);
        assert_eq!(Memory::adopt(files, 4).unwrap().get(SEQ), 7);
    }
}
