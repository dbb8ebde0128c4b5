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
}

/// What kind of record it is, with the fixed part of that kind.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// `open`
    Open(types::open_record),
    /// `exec`
    Exec(types::exec_record),
    /// `tcp-connect`
    TcpConnect(types::tcp_connect_record),
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
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
    let body = match Event::from_number(header.kind)? {
        Event::Open => Body::Open(wire::read(data)?),
        Event::Exec => Body::Exec(wire::read(data)?),
        Event::TcpConnect => Body::TcpConnect(wire::read(data)?),
    };
    let string = |slot: types::string_slot| string(data, &header, slot);
    let strings = Strings {
        exe: string(types::string_slot::STRING_EXE)?,
        path: string(types::string_slot::STRING_PATH)?,
        path_arg: string(types::string_slot::STRING_PATH_ARG)?,
        base: string(types::string_slot::STRING_BASE)?,
        interpreter: string(types::string_slot::STRING_INTERPRETER)?,
        argv: string(types::string_slot::STRING_ARGV)?,
    };
    Some(Record { header, body, strings })
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
        let record = types::open_record::default();
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

    #[test]
    fn every_number_of_the_kernel_side_is_an_event() {
        let kinds = types::event_kind::EVENT_COUNT.0;
        assert_eq!(kinds as usize, crate::event::EVENTS.len());
        assert_eq!(Event::Open.number(), types::event_kind::EVENT_OPEN.0 as usize);
        assert_eq!(Event::Exec.number(), types::event_kind::EVENT_EXEC.0 as usize);
        assert_eq!(Event::TcpConnect.number(), types::event_kind::EVENT_TCP_CONNECT.0 as usize);
        assert!(Event::from_number(kinds).is_none());
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
