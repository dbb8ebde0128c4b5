//! Whether journald has written what it took.
//!
//! It may take a record and lose it: killed while it writes, stopped together with its socket, or without room on its
//! disk. It tells nobody. So where that may have happened, the last records are looked for in the journal itself.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use crate::fields::name;
use crate::groups::exported_invocation;
use crate::journal;
use crate::memory::Word;
use crate::names::RECORD_IDENTIFIER;
use crate::notice::Notice;

/// How many records are remembered, and looked for, at most.
const REMEMBERED: usize = 8192;
/// For how long a record is remembered: much longer than it takes to notice that something is wrong.
const AGE: Duration = Duration::from_secs(30);
/// How many more than are looked for are read from the journal: those that have come meanwhile.
const MORE: usize = 1024;
/// Below so many free bytes journald may soon not be able to write: it makes its files larger in steps of 8 MiB.
const SCARCE: u64 = 32 << 20;
/// The unit that journald runs in.
const JOURNALD: &str = "systemd-journald.service";
/// Where journald writes, below the root directory.
const PLACES: [&str; 2] = ["var/log/journal", "run/log/journal"];

/// Something that journald took.
#[derive(Debug)]
pub struct Taken {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// What it stands for.
    pub what: What,
}

/// What a record stands for.
#[derive(Debug)]
pub enum What {
    /// An event, which counts as recorded in the row that begins here.
    Event(Word),
    /// One of the daemon's own, with the first of the numbers that it took.
    Notice(Notice, u64),
}

/// Numbers of records, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// Adds numbers that are not there.
    pub fn add(&mut self, first: u64, last: u64) {
        let at = self.0.partition_point(|(begin, _)| *begin < first);
        match at.checked_sub(1).map(|before| &mut self.0[before]) {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.0.insert(at, (first, last)),
        }
    }

    /// Adds all of others.
    pub fn extend(&mut self, others: &Self) {
        others.0.iter().for_each(|(first, last)| self.add(*first, *last));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }
}

impl std::fmt::Display for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let blank = if i == 0 { "" } else { " " };
            if first == last {
                write!(f, "{blank}{first}")?;
            } else {
                write!(f, "{blank}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// What journald took and did not write.
#[derive(Debug, Default)]
pub struct Missing {
    /// Numbers of records of events, by row.
    pub events: BTreeMap<Word, Numbers>,
    /// The daemon's own, each with the first and the last number that it took.
    pub notices: Vec<(Notice, u64, u64)>,
}

/// What journald took last.
#[derive(Debug)]
pub struct Confirmation {
    root: PathBuf,
    taken: VecDeque<Taken>,
    invocation: Option<String>,
    /// There was little room on the disk.
    scarce: bool,
    suspicious: bool,
    /// The journal is being asked.
    asking: bool,
}

impl Confirmation {
    /// Begins with nothing, for the journald of the system below `root`.
    pub fn new(root: &Path) -> Self {
        let mut new = Self {
            root: root.to_owned(),
            taken: VecDeque::new(),
            invocation: None,
            scarce: false,
            suspicious: false,
            asking: false,
        };
        new.invocation = new.present_invocation();
        new
    }

    fn present_invocation(&self) -> Option<String> {
        exported_invocation(&self.root, JOURNALD)
    }

    /// Remembers what journald took, in the order of the numbers.
    pub fn remember(&mut self, taken: Taken) {
        let too_old = |t: &Taken| taken.at.duration_since(t.at) > AGE;
        let needed = self.suspicious || self.asking;
        while self.taken.len() >= REMEMBERED || !needed && self.taken.front().is_some_and(too_old) {
            self.taken.pop_front();
        }
        self.taken.push_back(taken);
    }

    /// journald's socket was gone: what was in it may be, too.
    pub fn suspect(&mut self) {
        self.suspicious |= !self.taken.is_empty();
    }

    /// Looks whether journald may have lost something, and says so.
    pub fn look(&mut self) -> bool {
        let present = self.present_invocation();
        if present.is_some() && present != self.invocation {
            self.invocation = present;
            self.suspect();
        }
        let free = |place| statvfs(&self.root.join(place)).map(|s| s.blocks_available() * s.fragment_size());
        let scarce = PLACES.into_iter().any(|place| free(place).is_ok_and(|free| free < SCARCE));
        // When there is room again, too: for what was taken until then.
        if scarce || self.scarce {
            self.suspect();
        }
        self.scarce = scarce;
        self.suspicious
    }

    /// True if it is not known whether all is in the journal.
    pub fn is_suspicious(&self) -> bool {
        self.suspicious
    }

    /// Takes in which numbers the journal has of those up to `asked`. The others are missing.
    pub fn confirm(&mut self, asked: u64, found: &HashSet<u64>) -> Missing {
        let mut missing = Missing::default();
        // What is older than the oldest that was found may just not have been asked for.
        let oldest = found.iter().min().copied().unwrap_or_default();
        while self.taken.front().is_some_and(|t| t.number <= asked) {
            let Some(Taken { number, at: _, what }) = self.taken.pop_front() else { break };
            if number < oldest || found.contains(&number) {
                continue;
            }
            match what {
                What::Event(row) => missing.events.entry(row).or_default().add(number, number),
                What::Notice(notice, first) => missing.notices.push((notice, first, number)),
            }
        }
        self.asking = false;
        missing
    }

    /// Begins to ask the journal. What is suspicious from now on is to be asked about again. Returns how many numbers
    /// are to be read to know of all that is remembered.
    pub fn ask(&mut self) -> usize {
        self.suspicious = false;
        self.asking = true;
        self.taken.len() + MORE
    }

    /// The journal gave no answer.
    pub fn ask_again(&mut self) {
        self.asking = false;
        self.suspect();
    }
}

/// Numbers of so many of the last records that the journal has, when journald has written all that it took before.
/// May wait for journald.
pub fn written(count: usize) -> io::Result<HashSet<u64>> {
    journal::synchronize()?;
    let output = Command::new("journalctl")
        .args(["-q", "-b", "-o", "cat", "-t", RECORD_IDENTIFIER, "_UID=0", "-n"])
        .arg(count.to_string())
        .arg(format!("--output-fields={}", name::TRACELEFT_SEQ))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("journalctl failed: {why}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn confirmation(numbers: impl IntoIterator<Item = (u64, Word)>) -> Confirmation {
        let mut confirmation = Confirmation::new(Path::new("/none"));
        for (number, row) in numbers {
            confirmation.remember(Taken { number, at: Instant::now(), what: What::Event(row) });
        }
        confirmation
    }

    #[test]
    fn what_is_not_in_the_journal_is_missing() {
        let mut confirmation =
            confirmation([(1, 7), (2, 7), (3, 7), (4, 8), (5, 7), (6, 8), (9, 7), (10, 7)]);
        confirmation.suspect();
        assert!(confirmation.is_suspicious());
        assert_eq!(confirmation.ask(), 8 + MORE);
        assert!(!confirmation.is_suspicious());
        // Something else happens meanwhile.
        confirmation.suspect();
        // 1 is older than what was asked for; 10 was sent after that.
        let missing = confirmation.confirm(9, &HashSet::from([2, 5]));
        let texts: Vec<_> = missing.events.iter().map(|(row, n)| (*row, n.to_string(), n.count())).collect();
        assert_eq!(texts, [(7, "3 9".to_owned(), 2), (8, "4 6".to_owned(), 2)]);
        assert!(confirmation.is_suspicious());
        confirmation.ask();
        assert!(confirmation.confirm(10, &HashSet::from([10])).events.is_empty());
    }

    #[test]
    fn an_empty_journal_has_none() {
        let missing = confirmation((1..=3).map(|n| (n, 7))).confirm(3, &HashSet::new());
        assert_eq!(missing.events[&7].to_string(), "1-3");
    }

    #[test]
    fn another_journald_is_suspicious() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("run/systemd/units/invocation:systemd-journald.service");
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("1", &link).unwrap();
        let mut confirmation = Confirmation::new(root.path());
        assert!(!confirmation.look());
        confirmation.remember(Taken { number: 1, at: Instant::now(), what: What::Event(7) });
        assert!(!confirmation.look());
        fs::remove_file(&link).unwrap();
        assert!(!confirmation.look());
        std::os::unix::fs::symlink("2", &link).unwrap();
        assert!(confirmation.look());
    }
}
