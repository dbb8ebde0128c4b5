//! The events: one table that gives each its name, group, message id and version.
//!
//! The order is that of `enum event_kind` in `bpf/events.h`; a test holds the two together.

use std::fmt;

/// Something a process does that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Event {
    /// A file was opened, or an attempt to open it failed.
    Open,
    /// A program was executed, or an attempt to execute it failed.
    Exec,
    /// A TCP connection was made, or an attempt failed.
    TcpConnect,
}

/// What is said of an event to people and to the journal.
#[derive(Debug)]
pub struct Description {
    /// The event.
    pub event: Event,
    /// Name in policies, on the bus and in `TRACELEFT_EVENT=`.
    pub name: &'static str,
    /// Group that includes it, without the `@`.
    pub group: &'static str,
    /// `MESSAGE_ID=` of its records; the catalog has an entry for it.
    pub message_id: &'static str,
    /// First version of traceleft that has it; the manual pages are held to it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests of the manual pages read it"))]
    pub since: &'static str,
}

/// All events, in the order of their numbers.
pub const EVENTS: [Description; 3] = [
    Description {
        event: Event::Open,
        name: "open",
        group: "file",
        message_id: "e477b9fa49db4c28a8c117b7972542df",
        since: "0.1",
    },
    Description {
        event: Event::Exec,
        name: "exec",
        group: "process",
        message_id: "120b3dd5026542c881c230789224f1c2",
        since: "0.1",
    },
    Description {
        event: Event::TcpConnect,
        name: "tcp-connect",
        group: "network",
        message_id: "85f33c583752481d8954d5960bcfe974",
        since: "0.1",
    },
];

/// `MESSAGE_ID=` of the record that tells of lost events.
pub const LOST_MESSAGE_ID: &str = "664a10c6a7a146c6be49ba8d1c898c4c";
/// Name in `TRACELEFT_EVENT=` of the record that tells of lost events.
pub const LOST_NAME: &str = "lost";
/// `MESSAGE_ID=` of the record that tells who added or removed a watch.
pub const WATCH_MESSAGE_ID: &str = "d33cfe1005b942fca90e2dd2bcbb0f3e";
/// Name in `TRACELEFT_EVENT=` of the record that says that a watch was added.
pub const WATCH_ADDED_NAME: &str = "watch-added";
/// Name in `TRACELEFT_EVENT=` of the record that says that a watch was removed.
pub const WATCH_REMOVED_NAME: &str = "watch-removed";

impl Event {
    /// All events.
    pub fn all() -> impl Iterator<Item = Self> {
        EVENTS.iter().map(|d| d.event)
    }

    /// The event of this number, as `bpf/events.h` numbers them.
    pub fn from_number(number: u32) -> Option<Self> {
        EVENTS.get(usize::try_from(number).ok()?).map(|d| d.event)
    }

    /// Its number, that of `enum event_kind`.
    pub fn number(self) -> usize {
        self as usize
    }

    /// What the table says of it.
    pub fn describe(self) -> &'static Description {
        &EVENTS[self.number()]
    }

    /// Name in policies, on the bus and in the journal.
    pub fn name(self) -> &'static str {
        self.describe().name
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventSet(u64);

impl EventSet {
    /// The set as the kernel side takes it: bit *n* is the event of number *n*.
    pub fn mask(self) -> u64 {
        self.0
    }

    /// True if no event is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds an event.
    pub fn insert(&mut self, event: Event) {
        self.0 |= 1 << event.number();
    }

    /// True if the event is in it.
    pub fn contains(self, event: Event) -> bool {
        self.0 & (1 << event.number()) != 0
    }

    /// The events of both sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Its events, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Event> {
        Event::all().filter(move |e| self.contains(*e))
    }

    /// Adds what a name stands for: one event (`open`) or a group (`@file`).
    ///
    /// # Errors
    /// [`UnknownEvent`] if there is neither.
    pub fn insert_named(&mut self, name: &str) -> Result<(), UnknownEvent> {
        let before = *self;
        let mut known = false;
        for d in &EVENTS {
            if d.name == name || name.strip_prefix('@') == Some(d.group) {
                self.insert(d.event);
                known = true;
            }
        }
        if known {
            Ok(())
        } else {
            *self = before;
            Err(UnknownEvent(name.to_owned()))
        }
    }
}

impl FromIterator<Event> for EventSet {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        let mut set = Self::default();
        events.into_iter().for_each(|e| set.insert(e));
        set
    }
}

/// A name that is neither an event nor a group of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEvent(pub String);

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown event {:?}; known are ", self.0)?;
        let mut groups: Vec<_> = EVENTS.iter().map(|d| d.group).collect();
        groups.sort_unstable();
        groups.dedup();
        for d in &EVENTS {
            write!(f, "{}, ", d.name)?;
        }
        write!(f, "and the groups @{}", groups.join(", @"))
    }
}

impl std::error::Error for UnknownEvent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_numbers() {
        for (n, d) in EVENTS.iter().enumerate() {
            assert_eq!(d.event.number(), n);
        }
    }

    #[test]
    fn message_ids_are_128_bit_and_differ() {
        let mut ids: Vec<_> = EVENTS.iter().map(|d| d.message_id).collect();
        ids.extend([LOST_MESSAGE_ID, WATCH_MESSAGE_ID]);
        for id in &ids {
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), EVENTS.len() + 2);
    }

    #[test]
    fn names_and_groups_are_understood() {
        let mut set = EventSet::default();
        set.insert_named("@network").unwrap();
        set.insert_named("open").unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Event::Open, Event::TcpConnect]);
        let error = set.insert_named("openat").unwrap_err().to_string();
        assert!(error.contains("\"openat\"") && error.contains("tcp-connect"), "{error}");
        assert!(error.contains("@file, @network, @process"), "{error}");
    }
}
