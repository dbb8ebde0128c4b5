//! The journal's fields: their names, and a buffer that holds entries in the native protocol.

use std::fmt::{self, Write as _};
use std::ops::Range;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* pub const $name: &str = stringify!($name);)+
        /// All of them.
        #[cfg(test)]
        pub const ALL: &[&str] = &[$($name),+];
    };
}

/// Names of the fields of records, in the order of traceleft.fields(7).
pub mod name {
    fields! {
        /// One readable line.
        MESSAGE,
        /// One id an event.
        MESSAGE_ID,
        /// 6; 5 for what failed, 4 for losses.
        PRIORITY,
        /// `traceleft`.
        SYSLOG_IDENTIFIER,
        /// The unit, where a policy asks for `unit-log`.
        OBJECT_SYSTEMD_UNIT,
        /// Name of the event.
        TRACELEFT_EVENT,
        /// Unit.
        TRACELEFT_UNIT,
        /// Invocation id of the unit, at the event.
        TRACELEFT_INVOCATION_ID,
        /// Slice of the unit.
        TRACELEFT_SLICE,
        /// Path of the control group.
        TRACELEFT_CGROUP,
        /// Policy that asks for it; one field each.
        TRACELEFT_POLICY,
        /// Number of the record.
        TRACELEFT_SEQ,
        /// Boot-time ns of the event.
        TRACELEFT_TIMESTAMP,
        /// Process id.
        TRACELEFT_PID,
        /// Thread id.
        TRACELEFT_TID,
        /// Parent's process id.
        TRACELEFT_PPID,
        /// Real user id.
        TRACELEFT_UID,
        /// Real group id.
        TRACELEFT_GID,
        /// Login user id.
        TRACELEFT_AUID,
        /// Audit session.
        TRACELEFT_SESSION,
        /// Name of the task.
        TRACELEFT_COMM,
        /// Executable of the process.
        TRACELEFT_EXE,
        /// Mount namespace.
        TRACELEFT_MNT_NS,
        /// System call.
        TRACELEFT_SYSCALL,
        /// Door into the kernel.
        TRACELEFT_ABI,
        /// What the kernel returned.
        TRACELEFT_RESULT,
        /// Name of the error.
        TRACELEFT_ERRNO,
        /// The result is not known.
        TRACELEFT_RESULT_MISSED,
        /// Fields that were cut; one field each.
        TRACELEFT_TRUNCATED,
        /// Resolved path.
        TRACELEFT_PATH,
        /// Path as passed.
        TRACELEFT_PATH_ARG,
        /// What is peculiar about the path; one field each.
        TRACELEFT_PATH_STATE,
        /// Descriptor.
        TRACELEFT_FD,
        /// Flags.
        TRACELEFT_FLAGS,
        /// Mode asked for.
        TRACELEFT_MODE,
        /// Device of the file.
        TRACELEFT_DEV,
        /// Inode of the file.
        TRACELEFT_INODE,
        /// Resolved second path.
        TRACELEFT_NEW_PATH,
        /// Second path as passed.
        TRACELEFT_NEW_PATH_ARG,
        /// What is peculiar about the second path; one field each.
        TRACELEFT_NEW_PATH_STATE,
        /// What a symbolic link says.
        TRACELEFT_LINK_TARGET,
        /// Device that a node stands for.
        TRACELEFT_RDEV,
        /// Kind of file that was made.
        TRACELEFT_FILE_TYPE,
        /// Length asked for.
        TRACELEFT_SIZE,
        /// Owner asked for.
        TRACELEFT_OWNER_UID,
        /// Group asked for.
        TRACELEFT_OWNER_GID,
        /// Name of an extended attribute.
        TRACELEFT_XATTR,
        /// What is mounted.
        TRACELEFT_SOURCE,
        /// Type of the file system.
        TRACELEFT_FSTYPE,
        /// Bytes asked for.
        TRACELEFT_REQUESTED,
        /// The first bytes read or written.
        TRACELEFT_DATA,
        /// Interpreter of a script.
        TRACELEFT_INTERPRETER,
        /// Arguments.
        TRACELEFT_ARGV,
        /// Number of arguments.
        TRACELEFT_ARGC,
        /// Process that was made.
        TRACELEFT_CHILD_PID,
        /// What the process passed to `exit`.
        TRACELEFT_EXIT_STATUS,
        /// Signal, by name.
        TRACELEFT_SIGNAL,
        /// Signal, as a number.
        TRACELEFT_SIGNAL_NUMBER,
        /// The memory of the process was dumped.
        TRACELEFT_CORE_DUMPED,
        /// Process that it is done to.
        TRACELEFT_TARGET_PID,
        /// Thread that it is done to.
        TRACELEFT_TARGET_TID,
        /// Name of the task that it is done to.
        TRACELEFT_TARGET_COMM,
        /// Unit that it is done to.
        TRACELEFT_TARGET_UNIT,
        /// Request of ptrace.
        TRACELEFT_REQUEST,
        /// Real id afterwards.
        TRACELEFT_NEW_UID,
        /// Effective id afterwards.
        TRACELEFT_NEW_EUID,
        /// Saved id afterwards.
        TRACELEFT_NEW_SUID,
        /// File-system id afterwards.
        TRACELEFT_NEW_FSUID,
        /// Real id afterwards.
        TRACELEFT_NEW_GID,
        /// Effective id afterwards.
        TRACELEFT_NEW_EGID,
        /// Saved id afterwards.
        TRACELEFT_NEW_SGID,
        /// File-system id afterwards.
        TRACELEFT_NEW_FSGID,
        /// Effective capabilities afterwards.
        TRACELEFT_CAP_EFFECTIVE,
        /// Permitted capabilities afterwards.
        TRACELEFT_CAP_PERMITTED,
        /// Inheritable capabilities afterwards.
        TRACELEFT_CAP_INHERITABLE,
        /// Command of `bpf`.
        TRACELEFT_BPF_COMMAND,
        /// Type of a BPF program or map.
        TRACELEFT_BPF_TYPE,
        /// Name of a BPF program or map.
        TRACELEFT_BPF_NAME,
        /// Name of a kernel module.
        TRACELEFT_MODULE,
        /// Done by systemd before the unit's own program ran.
        TRACELEFT_SETUP,
        /// Address family.
        TRACELEFT_FAMILY,
        /// Source address.
        TRACELEFT_SADDR,
        /// Source port.
        TRACELEFT_SPORT,
        /// Destination address.
        TRACELEFT_DADDR,
        /// Destination port.
        TRACELEFT_DPORT,
        /// Network namespace.
        TRACELEFT_NET_NS,
        /// The connection was made after the call had returned.
        TRACELEFT_ASYNC,
        /// Type of the socket.
        TRACELEFT_SOCKET_TYPE,
        /// Name of a unix socket that is no path.
        TRACELEFT_ABSTRACT,
        /// Connections that may wait.
        TRACELEFT_BACKLOG,
        /// Bytes received.
        TRACELEFT_BYTES_IN,
        /// Bytes sent.
        TRACELEFT_BYTES_OUT,
        /// ns from the connection to its end.
        TRACELEFT_DURATION,
        /// Unit at the other end.
        TRACELEFT_PEER_UNIT,
        /// Process at the other end.
        TRACELEFT_PEER_PID,
        /// Cause of a loss.
        TRACELEFT_CAUSE,
        /// Event that was lost.
        TRACELEFT_LOST_EVENT,
        /// How many were lost.
        TRACELEFT_COUNT,
        /// Numbers that records had which journald took and did not write.
        TRACELEFT_NUMBERS,
        /// Boot-time ns before which none of them was lost.
        TRACELEFT_SPAN_BEGIN,
        /// Boot-time ns after which none of them was lost.
        TRACELEFT_SPAN_END,
        /// Object path of a watch.
        TRACELEFT_WATCH,
        /// Unit, template or pattern of a watch; not `TRACELEFT_UNIT`, since it did nothing.
        TRACELEFT_TARGET,
        /// Events of a watch.
        TRACELEFT_EVENTS,
        /// Who added or removed a watch: user id.
        TRACELEFT_CALLER_UID,
        /// Who added or removed a watch: process id.
        TRACELEFT_CALLER_PID,
        /// Who added or removed a watch: login user id.
        TRACELEFT_CALLER_AUID,
        /// Who added or removed a watch: unit.
        TRACELEFT_CALLER_UNIT,
    }
}

/// Entries one after the other, in one buffer that is reused.
#[derive(Debug, Default)]
pub struct Entries {
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl Entries {
    /// Forgets all entries; keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.ends.clear();
    }

    /// Number of entries that are ended.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Ends the entry whose fields were added last.
    pub fn end(&mut self) {
        self.ends.push(self.buffer.len());
    }

    /// Each entry's bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let range = |i: usize| -> Range<usize> { (if i == 0 { 0 } else { self.ends[i - 1] })..self.ends[i] };
        (0..self.len()).map(move |i| &self.buffer[range(i)])
    }

    /// Adds a field of any bytes. What has a newline is framed by its length: it can forge no field.
    pub fn bytes(&mut self, name: &str, value: &[u8]) {
        self.buffer.extend_from_slice(name.as_bytes());
        if memchr::memchr(b'\n', value).is_some() {
            self.buffer.push(b'\n');
            self.buffer.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.buffer.push(b'=');
        }
        self.buffer.extend_from_slice(value);
        self.buffer.push(b'\n');
    }

    /// Adds a field of text of our own, which has no newline: addresses, flags, sentences.
    pub fn text(&mut self, name: &str, value: impl fmt::Display) {
        self.begin(name);
        // Writing to memory cannot fail.
        let _ = write!(Ascii(&mut self.buffer), "{value}");
        self.buffer.push(b'\n');
    }

    /// Adds a name of our own, or of systemd's: what has no newline.
    pub fn word(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.buffer.extend_from_slice(value.as_bytes());
        self.buffer.push(b'\n');
    }

    /// Adds a number, decimal: most fields are one, and formats take several times as long.
    pub fn number(&mut self, name: &str, value: impl itoa::Integer) {
        self.begin(name);
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.buffer.push(b'\n');
    }

    fn begin(&mut self, name: &str) {
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.push(b'=');
    }
}

struct Ascii<'a>(&'a mut Vec<u8>);

impl fmt::Write for Ascii<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Bytes as one readable line: what is not printable, or not UTF-8, as `\n`, `\x1b`, `\xff`.
#[derive(Clone, Copy, Debug)]
pub struct Readable<'a>(pub &'a [u8]);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |b: &u8| matches!(b, b' '..=b'~') && *b != b'\\';
        if self.0.iter().all(plain)
            && let Ok(text) = std::str::from_utf8(self.0)
        {
            return f.write_str(text);
        }
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    c if c.is_control() && c.is_ascii() => write!(f, "\\x{:02x}", c as u32)?,
                    c if c.is_control() => write!(f, "\\u{{{:x}}}", c as u32)?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newlines_are_framed() {
        let mut entries = Entries::default();
        entries.bytes(name::TRACELEFT_PATH, b"/a\nTRACELEFT_UNIT=evil");
        entries.bytes(name::TRACELEFT_COMM, b"\xff\x01");
        entries.end();
        entries.text(name::TRACELEFT_PID, 7);
        entries.end();
        let all: Vec<_> = entries.iter().collect();
        assert_eq!(
            all[0],
            b"TRACELEFT_PATH\n\x16\0\0\0\0\0\0\0/a\nTRACELEFT_UNIT=evil\nTRACELEFT_COMM=\xff\x01\n"
        );
        assert_eq!(all[1], b"TRACELEFT_PID=7\n");
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn messages_are_readable_whatever_the_bytes() {
        let line = Readable(b"/a\n\x1b[1m\xff\\\xc3\xa4\xc2\x85").to_string();
        assert_eq!(line, "/a\\n\\x1b[1m\\xff\\\\\u{e4}\\u{85}");
    }

    /// journald takes names of at most 64 capital letters, digits and underscores, no underscore first.
    #[test]
    fn names_are_valid_and_in_the_manual() {
        let page = include_str!("../../man/traceleft.fields.7").replace("\\-", "-");
        for name in name::ALL {
            assert!(name.len() <= 64 && !name.starts_with('_'), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{name}");
            assert!(page.contains(&format!("{name}=")), "{name} is not in traceleft.fields(7)");
        }
    }
}
