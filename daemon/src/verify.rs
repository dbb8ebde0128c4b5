//! `traceleftd --verify`: proves from the numbers of the records that a stretch of the journal is complete, or
//! names what is missing.
//!
//! Only the numbers are looked at, as merged ranges: so memory grows with the holes, not with the records, and
//! the order in which the journal has them is of no matter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::ops::RangeInclusive;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::event::LOST_NAME;
use crate::fields::name;
use crate::ledger::CAUSES;
use crate::names::RECORD_IDENTIFIER;

/// What is asked of each entry. journalctl adds by itself what begins with two underscores, and the boot.
const FIELDS: [&str; 5] = [
    name::TRACELEFT_SEQ,
    name::TRACELEFT_EVENT,
    name::TRACELEFT_COUNT,
    name::TRACELEFT_CAUSE,
    name::TRACELEFT_NUMBERS,
];
/// So many of the entries that cannot be read are named; there is no bound to how many there are.
const NAMED: usize = 100;

/// Reads the journal with journalctl and these options of it; without any, the current boot.
///
/// # Errors
/// Why nothing can be said of the journal; journalctl has then said more on standard error.
pub fn run(options: &[OsString]) -> Result<Report, String> {
    let cannot_run = |e: io::Error| format!("cannot run journalctl: {e}");
    let mut command = Command::new("journalctl");
    command
        .args(["-q", "--no-pager", "--all", "-o", "json"])
        .arg(format!("--output-fields={}", FIELDS.join(",")))
        .arg(format!("{}={RECORD_IDENTIFIER}", name::SYSLOG_IDENTIFIER))
        // Anyone may send entries with any name, but journald itself says whose they are.
        .arg("_UID=0")
        .args(options);
    if options.is_empty() {
        command.arg("-b");
    }
    // Or JSON may come in colour, terminal or not.
    command.env("SYSTEMD_COLORS", "0").stdout(Stdio::piped());
    let mut child = command.spawn().map_err(cannot_run)?;
    let mut report = Report::default();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).map_err(|e| format!("cannot read from journalctl: {e}"))?
            > 0
        {
            report.add(&line);
            line.clear();
        }
    }
    let status = child.wait().map_err(cannot_run)?;
    // What it gave before it failed may be any part of the stretch.
    if status.success() { Ok(report) } else { Err(format!("journalctl failed: {status}")) }
}

/// What the numbers of records say, of each boot for itself, and in it from each start of auditing: there they begin
/// anew.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they came.
    boots: Vec<Boot>,
    /// The first of the entries that could not be read.
    unreadable: Vec<Unreadable>,
    /// How many more of these there were.
    unreadable_more: u64,
}

impl Report {
    /// Adds an entry, one line of journalctl's JSON.
    pub fn add(&mut self, line: &[u8]) {
        match read(line) {
            Ok(entry) => self.boot(entry.boot, &entry.record).add(&entry.record),
            Err(unreadable) if self.unreadable.len() < NAMED => self.unreadable.push(unreadable),
            Err(_) => self.unreadable_more += 1,
        }
    }

    fn boot(&mut self, id: Cow<'_, str>, record: &Record) -> &mut Boot {
        // It is the last one but where journals of several machines are read. Where auditing was stopped and begun
        // again, the numbers begin anew.
        let anew = |boot: &Boot| record.number == 1 && boot.taken.0.contains_key(&1);
        let known = self.boots.iter().rposition(|boot| boot.id == id);
        let known = known.filter(|index| !anew(&self.boots[*index]));
        let index = known.unwrap_or_else(|| {
            self.boots.push(Boot { id: id.into_owned(), ..Boot::default() });
            self.boots.len() - 1
        });
        &mut self.boots[index]
    }

    /// True if there are records, none is missing between the first and the last of each boot without having
    /// been told of, none is there twice, and all could be read.
    pub fn is_complete(&self) -> bool {
        !self.boots.is_empty() && self.unreadable.is_empty() && self.boots.iter().all(Boot::is_complete)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.boots.is_empty() {
            writeln!(f, "no record found, so there is nothing to say.")?;
        }
        for boot in &self.boots {
            write!(f, "{boot}")?;
        }
        if self.unreadable.is_empty() {
            return Ok(());
        }
        let all = self.unreadable.len() as u64 + self.unreadable_more;
        writeln!(f, "{} cannot be read:", Count(all, "entry", "entries"))?;
        for unreadable in &self.unreadable {
            writeln!(f, "  {unreadable}")?;
        }
        if self.unreadable_more > 0 {
            writeln!(f, "  and {} more", self.unreadable_more)?;
        }
        Ok(())
    }
}

/// The records of one boot, or of a part of it.
#[derive(Debug, Default)]
struct Boot {
    id: String,
    records: u64,
    /// Events that records tell are lost, by cause; those of another cause than [`CAUSES`] come last.
    lost: [u64; CAUSES.len() + 1],
    /// Numbers of records, and of the events that they tell are lost.
    taken: Spans,
    /// Those taken more than once.
    again: Spans,
}

impl Boot {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        if let Some(Lost { cause, count }) = &record.lost {
            self.lost[*cause] = self.lost[*cause].saturating_add(*count);
        }
        for numbers in [record.numbers()].into_iter().chain(record.former.iter().cloned()) {
            for numbers in self.taken.add(numbers, record.time) {
                self.again.add(numbers, record.time);
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.taken.0.len() == 1 && self.again.0.is_empty()
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, records, lost, taken, again } = self;
        let first = taken.0.keys().next().copied().unwrap_or_default();
        let last = taken.0.values().next_back().map_or(0, |span| span.last);
        let noun = if first == last { "number" } else { "numbers" };
        write!(f, "boot {id}: {noun} {}: ", Numbers(&(first..=last)))?;
        let holes = taken.0.len() as u64 - 1;
        let twice = again.0.iter().map(|(first, span)| span.last - first + 1).fold(0, u64::saturating_add);
        let mut wrong = Vec::new();
        if holes > 0 {
            wrong.push(Count(holes, "hole", "holes").to_string());
        }
        if twice > 0 {
            wrong.push(format!("{} more than once", Count(twice, "number", "numbers")));
        }
        let verdict = if wrong.is_empty() { "complete".to_owned() } else { wrong.join(", ") };
        write!(f, "{verdict}; {}, ", Count(*records, "record", "records"))?;
        let sum = lost.iter().copied().fold(0, u64::saturating_add);
        if sum == 0 {
            write!(f, "no event lost")?;
        } else {
            let causes = CAUSES.into_iter().chain(["other"]).zip(lost).filter(|(_, n)| **n > 0);
            let causes: Vec<_> = causes.map(|(cause, n)| format!("{cause} {n}")).collect();
            write!(f, "{} lost and told of ({})", Count(sum, "event", "events"), causes.join(", "))?;
        }
        writeln!(f, "{}", if wrong.is_empty() { "." } else { ":" })?;
        for ((_, before), (after_first, after)) in taken.0.iter().zip(taken.0.iter().skip(1)) {
            let missing = before.last + 1..=after_first - 1;
            let n = missing.end() - missing.start() + 1;
            let (from, to) = (before.end, after.begin);
            writeln!(f, "  {} missing ({n}), between {from} and {to}", Numbers(&missing))?;
        }
        for (first, span) in &again.0 {
            writeln!(f, "  {} more than once, at {}", Numbers(&(*first..=span.last)), span.begin)?;
        }
        Ok(())
    }
}

/// Sets of numbers as ranges that neither overlap nor touch, by the first of each.
#[derive(Debug, Default)]
struct Spans(BTreeMap<u64, Span>);

#[derive(Debug)]
struct Span {
    last: u64,
    /// When the entry with the first number came, and that with the last.
    begin: Time,
    end: Time,
}

impl Spans {
    /// Adds numbers; returns those that were there already.
    fn add(&mut self, numbers: RangeInclusive<u64>, time: Time) -> Vec<RangeInclusive<u64>> {
        let mut already = Vec::new();
        let mut first = *numbers.start();
        let mut new = Span { last: *numbers.end(), begin: time, end: time };
        // The ranges that overlap or touch, from the last one on: each is gone afterwards.
        let behind = numbers.end().saturating_add(1);
        while let Some((&old_first, old)) = self.0.range(..=behind).next_back()
            && old.last >= numbers.start() - 1
            && let Some(old) = self.0.remove(&old_first)
        {
            let overlap = old_first.max(*numbers.start())..=old.last.min(*numbers.end());
            if !overlap.is_empty() {
                already.push(overlap);
            }
            if old_first <= first {
                first = old_first;
                new.begin = old.begin;
            }
            if old.last >= new.last {
                new.last = old.last;
                new.end = old.end;
            }
        }
        self.0.insert(first, new);
        already
    }
}

/// What matters of an entry.
#[derive(Debug)]
struct Entry<'a> {
    boot: Cow<'a, str>,
    record: Record,
}

#[derive(Debug)]
struct Record {
    /// From 1 on.
    number: u64,
    lost: Option<Lost>,
    /// Numbers that records had which it stands for, as journald did not write them.
    former: Vec<RangeInclusive<u64>>,
    time: Time,
}

impl Record {
    /// Those that it takes: its own, and before it those of the events that it tells are lost and that had none.
    fn numbers(&self) -> RangeInclusive<u64> {
        let former = self.former.iter().map(|n| n.end() - n.start() + 1).fold(0, u64::saturating_add);
        let lost = self.lost.as_ref().map_or(0, |lost| lost.count);
        self.number - lost.saturating_sub(former)..=self.number
    }
}

#[derive(Debug)]
struct Lost {
    /// Index into [`CAUSES`], or their number.
    cause: usize,
    /// Less than the number of the record, which comes behind those of the events.
    count: u64,
}

/// A line of journalctl.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(rename = "__CURSOR", borrow, default)]
    cursor: Field<'a>,
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow, default)]
    time: Field<'a>,
    #[serde(rename = "_BOOT_ID", borrow, default)]
    boot: Field<'a>,
    #[serde(rename = "TRACELEFT_SEQ", borrow, default)]
    seq: Field<'a>,
    #[serde(rename = "TRACELEFT_EVENT", borrow, default)]
    event: Field<'a>,
    #[serde(rename = "TRACELEFT_COUNT", borrow, default)]
    count: Field<'a>,
    #[serde(rename = "TRACELEFT_CAUSE", borrow, default)]
    cause: Field<'a>,
    #[serde(rename = "TRACELEFT_NUMBERS", borrow, default)]
    numbers: Field<'a>,
}

/// What has bytes that are no text comes as an array of numbers, several values as an array of them, and what
/// is too long as null. None of this does the daemon write in these fields.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Field<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
    #[default]
    #[serde(skip)]
    Absent,
}

impl<'a> Field<'a> {
    fn text(self, name: &str) -> Result<Cow<'a, str>, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Other(IgnoredAny) => Err(format!("{name}= is not one text")),
            Self::Absent => Err(format!("it has no {name}=")),
        }
    }

    fn number(self, name: &str) -> Result<u64, String> {
        self.text(name)?.parse().map_err(|_| format!("{name}= is not a number"))
    }

    /// Ranges of numbers, `51-53 60`; none if it is not there.
    fn ranges(self, name: &str) -> Result<Vec<RangeInclusive<u64>>, String> {
        let text = if matches!(self, Self::Absent) { Cow::default() } else { self.text(name)? };
        let range = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let range = first.parse().ok()?..=last.parse().ok()?;
            (range.start() <= range.end() && *range.start() > 0).then_some(range)
        };
        let ranges = text.split_ascii_whitespace().map(range).collect::<Option<_>>();
        ranges.ok_or_else(|| format!("{name}= is not numbers"))
    }
}

fn read(line: &[u8]) -> Result<Entry<'_>, Unreadable> {
    let Line { cursor, time, boot, seq, event, count, cause, numbers } = serde_json::from_slice(line)
        .map_err(|e| Unreadable {
            why: format!("journalctl gave no JSON object: {e}"),
            time: None,
            cursor: None,
        })?;
    let time = time.number("__REALTIME_TIMESTAMP").map(Time);
    let as_is = time.clone().ok();
    let read = move || {
        let boot = boot.text("_BOOT_ID")?;
        let number = seq.number(name::TRACELEFT_SEQ)?;
        let lost = if event.text(name::TRACELEFT_EVENT)? == LOST_NAME {
            let cause = cause.text(name::TRACELEFT_CAUSE)?;
            Some(Lost {
                cause: CAUSES.iter().position(|known| *known == cause).unwrap_or(CAUSES.len()),
                count: count.number(name::TRACELEFT_COUNT)?,
            })
        } else {
            None
        };
        let former = numbers.ranges(name::TRACELEFT_NUMBERS)?;
        if former.is_empty() && lost.as_ref().map_or(0, |lost| lost.count) >= number {
            return Err("the numbers that it takes begin before 1".to_owned());
        }
        Ok(Entry { boot, record: Record { number, lost, former, time: time? } })
    };
    read().map_err(|why| Unreadable { why, time: as_is, cursor: cursor.text("__CURSOR").ok().map(Cow::into) })
}

/// An entry that could not be read, and how it can be found.
#[derive(Debug)]
struct Unreadable {
    why: String,
    time: Option<Time>,
    cursor: Option<String>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.time {
            write!(f, "{time}: ")?;
        }
        write!(f, "{}", self.why)?;
        if let Some(cursor) = &self.cursor {
            write!(f, "; its cursor is {cursor}")?;
        }
        Ok(())
    }
}

/// How many of what: one, or several.
struct Count(u64, &'static str, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, one, several) = self;
        write!(f, "{n} {}", if *n == 1 { one } else { several })
    }
}

/// Numbers from the first to the last, as people say it.
struct Numbers<'a>(&'a RangeInclusive<u64>);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}

/// Microseconds since 1970, when journald had the entry. Shown in the form that journalctl takes for `--since`.
#[derive(Clone, Copy, Debug)]
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (days, second) = (seconds / 86400, seconds % 86400);
        // Years are counted from March on, so that a leap day is the last of its year; 400 of them have 146097
        // days. 719468 days are from 0000-03-01 to 1970-01-01.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Of five months in a row, beginning with March or August, three have 31 days: 153 in all.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) =
            if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) };
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect;

    #[derive(Deserialize)]
    struct Case {
        /// What journalctl prints.
        journal: String,
    }

    fn report<'a>(lines: impl IntoIterator<Item = &'a str>) -> Report {
        let mut report = Report::default();
        for line in lines {
            report.add(line.as_bytes());
        }
        report
    }

    fn record(number: u64) -> String {
        format!(
            r#"{{"_BOOT_ID":"b","__REALTIME_TIMESTAMP":"5","TRACELEFT_SEQ":"{number}","TRACELEFT_EVENT":"open"}}"#
        )
    }

    #[test]
    fn cases() {
        expect::cases("verify", |_, case| {
            let case: Case = toml::from_str(case).unwrap();
            let report = report(case.journal.lines());
            format!(
                "{report}{}\n",
                if report.is_complete() { "it is complete" } else { "it is not complete" }
            )
        });
    }

    /// The order is of no matter, and nothing is kept of a number that has its place.
    #[test]
    fn any_order_gives_the_same_and_memory_is_that_of_the_holes() {
        let size = 1009;
        // Each step is prime to the size, so every number comes once.
        for step in [1, 2, 10, 500, 1008] {
            let mut report = Report::default();
            for i in 0..size {
                report.add(record(1 + i * step % size).as_bytes());
            }
            assert!(report.is_complete(), "{report}");
            assert_eq!(report.boots[0].taken.0.len(), 1);
            report.add(record(size + 2).as_bytes());
            assert!(!report.is_complete());
            assert_eq!(report.boots[0].taken.0.len(), 2);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_up_to_a_bound() {
        let lines = vec!["{}"; NAMED + 7];
        let text = report(lines).to_string();
        assert!(text.contains("\n107 entries cannot be read:\n"), "{text}");
        assert!(text.ends_with("\n  and 7 more\n"), "{text}");
        assert_eq!(text.lines().count(), NAMED + 3);
    }

    #[test]
    fn the_greatest_numbers_overflow_nothing() {
        let max = u64::MAX;
        let mut report = Report::default();
        let lost = format!(
            r#"{{"_BOOT_ID":"b","__REALTIME_TIMESTAMP":"{max}","TRACELEFT_SEQ":"{max}",
                "TRACELEFT_EVENT":"lost","TRACELEFT_CAUSE":"ring","TRACELEFT_COUNT":"{}"}}"#,
            max - 1
        );
        for line in [&record(1), &record(max), &lost, &lost] {
            report.add(line.as_bytes());
        }
        let text = report.to_string();
        assert!(text.contains(&format!("{max} numbers more than once")), "{text}");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_795_705_445, "2026-11-26 15:04:05"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(Time(seconds * 1_000_000 + 42).to_string(), format!("{text}.000042 UTC"));
        }
    }
}
