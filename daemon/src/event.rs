//! The events: one table that gives each its name, group, message id and version.
//!
//! The order is that of `enum event_kind` in `bpf/events.h`; a test holds the two together.

use std::fmt;

/// Something a process does that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Event {
    /// A program was executed.
    Exec,
    /// A process was made.
    Fork,
    /// A process ended.
    Exit,
    /// A file was opened.
    Open,
    /// A descriptor was closed.
    Close,
    /// Bytes were read.
    Read,
    /// Bytes were written.
    Write,
    /// A directory was made.
    Mkdir,
    /// A directory was removed.
    Rmdir,
    /// A name of a file was removed.
    Unlink,
    /// A name of a file was changed.
    Rename,
    /// A file got another name.
    Link,
    /// A symbolic link was made.
    Symlink,
    /// A device node, FIFO, socket or file was made by mknod.
    Mknod,
    /// A file was cut or extended.
    Truncate,
    /// The mode of a file was changed.
    Chmod,
    /// The owner or group of a file was changed.
    Chown,
    /// An extended attribute of a file was set.
    Setxattr,
    /// A file system was mounted, a mount was moved or its attributes changed.
    Mount,
    /// A file system was unmounted.
    Umount,
    /// A TCP connection was made.
    TcpConnect,
    /// A TCP connection was accepted.
    TcpAccept,
    /// A TCP connection ended.
    TcpClose,
    /// A socket began to listen.
    Listen,
    /// A socket got an address.
    Bind,
    /// A UDP socket sent its first datagram to a destination.
    UdpSend,
    /// A unix socket was connected.
    UnixConnect,
    /// User ids of a process were changed.
    Setuid,
    /// Group ids of a process were changed.
    Setgid,
    /// Capabilities of a process were changed.
    Capset,
    /// Something was asked of another process by ptrace.
    Ptrace,
    /// A signal was sent.
    Kill,
    /// A BPF program or map was made, or another command of bpf given.
    Bpf,
    /// A kernel module was loaded.
    ModuleLoad,
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

const fn row(event: Event, name: &'static str, group: &'static str, message_id: &'static str) -> Description {
    Description { event, name, group, message_id, since: "0.1" }
}

/// All events, in the order of their numbers.
pub const EVENTS: [Description; 34] = [
    row(Event::Exec, "exec", "process", "120b3dd5026542c881c230789224f1c2"),
    row(Event::Fork, "fork", "process", "f3c95789ace14954ac5d6baed2eac902"),
    row(Event::Exit, "exit", "process", "cbf27734ac1045258b66402800e03d2c"),
    row(Event::Open, "open", "file", "e477b9fa49db4c28a8c117b7972542df"),
    row(Event::Close, "close", "file", "e0a3a91f23464c13bc27ed12b10877a9"),
    row(Event::Read, "read", "file", "f1260ebc7d564b56b714dc919b27dbdf"),
    row(Event::Write, "write", "file", "6caf76a5703548ae8280ad3729a6f2e7"),
    row(Event::Mkdir, "mkdir", "file", "3f0c9931918c40bf9670c342c6cce996"),
    row(Event::Rmdir, "rmdir", "file", "004498f4b98747c18c9c26a813678d7a"),
    row(Event::Unlink, "unlink", "file", "0ecaf828e2f745538fcc69d79561a0d1"),
    row(Event::Rename, "rename", "file", "73f80e52a36948b5a4414c46f147ecf9"),
    row(Event::Link, "link", "file", "c1af446506f142fca1010f154a9f2968"),
    row(Event::Symlink, "symlink", "file", "b459071afb8a4f9ebf72c46dca8fbe35"),
    row(Event::Mknod, "mknod", "file", "5a3c1fbdf9da4bf3a81696a68afe2312"),
    row(Event::Truncate, "truncate", "file", "135d63cf1293424c802a2e8f96fc5ce8"),
    row(Event::Chmod, "chmod", "file", "a4ea3938d4294c52810915b0875b0b21"),
    row(Event::Chown, "chown", "file", "bdfaef428c7d4431b331dab129ea3a7b"),
    row(Event::Setxattr, "setxattr", "file", "4260ce86ca964d78ba569ee452a5d423"),
    row(Event::Mount, "mount", "file", "44e767f743bb4898ac59157196f119be"),
    row(Event::Umount, "umount", "file", "23cc390c935440e38e1f39485d23d1f3"),
    row(Event::TcpConnect, "tcp-connect", "network", "85f33c583752481d8954d5960bcfe974"),
    row(Event::TcpAccept, "tcp-accept", "network", "4d1dd7de07c1437b95d0c57b811008b7"),
    row(Event::TcpClose, "tcp-close", "network", "06f3179fec434ae0a6e144cf0b4152c8"),
    row(Event::Listen, "listen", "network", "c78165de8458420c88ba29b1f8223c08"),
    row(Event::Bind, "bind", "network", "7aa1caa066de4e968867119277832f1d"),
    row(Event::UdpSend, "udp-send", "network", "83f11b2d9bbc4685bcc3323c673940a8"),
    row(Event::UnixConnect, "unix-connect", "network", "510adc2735aa450aad7af233a7ffb088"),
    row(Event::Setuid, "setuid", "privilege", "d9a3ce9ecbc14674b12d1e51dd71029e"),
    row(Event::Setgid, "setgid", "privilege", "d4e9fa63331343f09fa057702e2677a6"),
    row(Event::Capset, "capset", "privilege", "65ae2ffda43641f3bdcb161ad81d3a39"),
    row(Event::Ptrace, "ptrace", "privilege", "138b0edce0124388bda40df5317bbb14"),
    row(Event::Kill, "kill", "privilege", "98067601e5374aeaaaa60f386a9bb2c4"),
    row(Event::Bpf, "bpf", "privilege", "7cefd5c563854768ae5deaa1ef2cd05a"),
    row(Event::ModuleLoad, "module-load", "privilege", "7b9ea66e083b4317b614c6aa1bfc22ea"),
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
    fn the_manual_page_has_every_event() {
        let page = crate::expect::ManualPage::read("traceleft.events.7");
        let rows: Vec<_> = page.text().lines().filter(|l| l.contains("|@")).collect();
        let expected = |d: &Description| format!("{}|@{}|{}|{}|T{{", d.name, d.group, d.message_id, d.since);
        assert_eq!(rows, EVENTS.iter().map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn names_and_groups_are_understood() {
        let mut set = EventSet::default();
        set.insert_named("@network").unwrap();
        set.insert_named("open").unwrap();
        assert!(set.contains(Event::Open) && set.contains(Event::Bind) && !set.contains(Event::Exec));
        let error = set.insert_named("openat").unwrap_err().to_string();
        assert!(error.contains("\"openat\"") && error.contains("tcp-connect"), "{error}");
        assert!(error.contains("@file, @network, @privilege, @process"), "{error}");
    }
}
