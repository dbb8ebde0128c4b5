//! From the bytes of a record to what they say. Pure, total, and silent about what it cannot read: the caller
//! counts that.

use crate::event::Event;
use crate::skel::types;
use crate::wire;

/// A string of a record: bytes as the kernel had them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    /// The bytes, without NUL at the end.
    pub bytes: &'a [u8],
    /// What is peculiar about it: flags of `enum string_state`.
    pub state: u32,
}

impl Text<'_> {
    /// True if the flag is set.
    pub fn is(self, flag: types::string_state) -> bool {
        self.state & flag.0 != 0
    }
}

/// The strings of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strings<'a> {
    /// Executable of the process.
    pub exe: Option<Text<'a>>,
    /// Resolved path.
    pub path: Option<Text<'a>>,
    /// Path as the program passed it.
    pub path_arg: Option<Text<'a>>,
    /// Directory from which a relative `path_arg` was to be resolved.
    pub base: Option<Text<'a>>,
    /// Interpreter of a script.
    pub interpreter: Option<Text<'a>>,
    /// Arguments, each with its NUL.
    pub argv: Option<Text<'a>>,
    /// Resolved second path.
    pub new_path: Option<Text<'a>>,
    /// Second path as the program passed it.
    pub new_path_arg: Option<Text<'a>>,
    /// Directory from which a relative `new_path_arg` was to be resolved.
    pub new_base: Option<Text<'a>>,
    /// What the event names that is no path.
    pub name: Option<Text<'a>>,
    /// Bytes read or written.
    pub data: Option<Text<'a>>,
}

/// What kind of record it is, with the fixed part of that kind.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// `open`
    Open(types::open_record),
    /// `exec`
    Exec(types::exec_record),
    /// The events of `@file` but `open`, and `module-load`
    File(types::file_record),
    /// `fork`, `exit`, `kill`, `ptrace`
    Process(types::process_record),
    /// `setuid`, `setgid`, `capset`
    Credentials(types::credentials_record),
    /// The events of `@network`
    Socket(types::socket_record),
    /// `bpf`
    Bpf(types::bpf_record),
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What it tells of.
    pub event: Event,
    /// What every record has.
    pub header: types::record_header,
    /// Its fixed part.
    pub body: Body,
    /// Its strings.
    pub strings: Strings<'a>,
}

/// Reads a record; `None` if the bytes are none.
pub fn decode(data: &[u8]) -> Option<Record<'_>> {
    let header: types::record_header = wire::read(data)?;
    let event = Event::from_number(header.kind)?;
    let body = match event {
        Event::Open => Body::Open(wire::read(data)?),
        Event::Exec => Body::Exec(wire::read(data)?),
        Event::Close
        | Event::Read
        | Event::Write
        | Event::Mkdir
        | Event::Rmdir
        | Event::Unlink
        | Event::Rename
        | Event::Link
        | Event::Symlink
        | Event::Mknod
        | Event::Truncate
        | Event::Chmod
        | Event::Chown
        | Event::Setxattr
        | Event::Mount
        | Event::Umount
        | Event::ModuleLoad => Body::File(wire::read(data)?),
        Event::Fork | Event::Exit | Event::Kill | Event::Ptrace => Body::Process(wire::read(data)?),
        Event::Setuid | Event::Setgid | Event::Capset => Body::Credentials(wire::read(data)?),
        Event::TcpConnect
        | Event::TcpAccept
        | Event::TcpClose
        | Event::Listen
        | Event::Bind
        | Event::UdpSend
        | Event::UnixConnect => Body::Socket(wire::read(data)?),
        Event::Bpf => Body::Bpf(wire::read(data)?),
    };
    let string = |slot: types::string_slot| string(data, &header, slot);
    let strings = Strings {
        exe: string(types::string_slot::STRING_EXE)?,
        path: string(types::string_slot::STRING_PATH)?,
        path_arg: string(types::string_slot::STRING_PATH_ARG)?,
        base: string(types::string_slot::STRING_BASE)?,
        interpreter: string(types::string_slot::STRING_INTERPRETER)?,
        argv: string(types::string_slot::STRING_ARGV)?,
        new_path: string(types::string_slot::STRING_NEW_PATH)?,
        new_path_arg: string(types::string_slot::STRING_NEW_PATH_ARG)?,
        new_base: string(types::string_slot::STRING_NEW_BASE)?,
        name: string(types::string_slot::STRING_NAME)?,
        data: string(types::string_slot::STRING_DATA)?,
    };
    Some(Record { event, header, body, strings })
}

/// The outer `None`: the header points outside of the record. The inner one: there is no such string.
#[allow(clippy::option_option)]
fn string<'a>(
    data: &'a [u8],
    header: &types::record_header,
    slot: types::string_slot,
) -> Option<Option<Text<'a>>> {
    let slot = usize::try_from(slot.0).ok()?;
    let offset = usize::from(*header.string_offset.get(slot)?);
    if offset == 0 {
        return Some(None);
    }
    let length = usize::from(*header.string_length.get(slot)?);
    let state = u32::from(*header.string_state.get(slot)?);
    Some(Some(Text { bytes: data.get(offset..offset + length)?, state }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes of a record with these strings, as the kernel side would lay them out.
    pub(crate) fn encode(fixed: &[u8], strings: &[(types::string_slot, &[u8], u32)]) -> Vec<u8> {
        let mut header: types::record_header = wire::read(fixed).unwrap();
        let mut data = fixed.to_vec();
        for (slot, bytes, state) in strings {
            let slot = slot.0 as usize;
            header.string_offset[slot] = u16::try_from(data.len()).unwrap();
            header.string_length[slot] = u16::try_from(bytes.len()).unwrap();
            header.string_state[slot] = u16::try_from(*state).unwrap();
            data.extend_from_slice(bytes);
        }
        let header = wire::bytes(&header);
        data[..header.len()].copy_from_slice(header);
        data
    }

    fn open_record() -> Vec<u8> {
        let kind = types::event_kind::EVENT_OPEN.0;
        let header = types::record_header { kind, ..Default::default() };
        let record = types::open_record { header, ..Default::default() };
        encode(
            wire::bytes(&record),
            &[
                (types::string_slot::STRING_PATH, b"/a\nb", types::string_state::STRING_DELETED.0),
                (types::string_slot::STRING_EXE, b"/bin/x", 0),
            ],
        )
    }

    #[test]
    fn strings_come_back_whatever_their_order() {
        let data = open_record();
        let record = decode(&data).unwrap();
        assert!(matches!(record.body, Body::Open(_)));
        let path = record.strings.path.unwrap();
        assert_eq!((path.bytes, path.state), (&b"/a\nb"[..], types::string_state::STRING_DELETED.0));
        assert_eq!(record.strings.exe.unwrap().bytes, b"/bin/x");
        assert_eq!(record.strings.argv, None);
    }

    /// `EVENT_TCP_CONNECT` of the kernel side is `tcp-connect`, and so on in this order.
    #[test]
    fn every_number_of_the_kernel_side_is_an_event() {
        let header = include_str!("../../bpf/events.h");
        let kinds: Vec<_> = header.lines().filter_map(|l| l.trim().strip_prefix("EVENT_")).collect();
        let constant = |e: Event| format!("{},", e.name().to_uppercase().replace('-', "_"));
        assert_eq!(kinds, Event::all().map(constant).chain(["COUNT,".to_owned()]).collect::<Vec<_>>());
        assert!(Event::from_number(types::event_kind::EVENT_COUNT.0).is_none());
    }

    /// Every prefix, and every single byte changed: an answer or none, never a panic, and no string from
    /// outside of the record.
    #[test]
    fn bad_bytes_are_refused_or_harmless() {
        let data = open_record();
        for length in 0..data.len() {
            assert!(decode(&data[..length]).is_none(), "{length}");
        }
        for at in 0..data.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = data.clone();
                changed[at] = value;
                let _ = decode(&changed);
            }
        }
    }
}
