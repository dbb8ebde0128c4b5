//! The events of descriptors: `close`, `read`, `write`.

use std::borrow::Cow;

use super::{Outcome, add_file, add_path, add_string, message};
use crate::decode::{Record, Text};
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

/// Adds what such a record has of its own.
pub(super) fn add(file: &types::file_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let types::file_record {
        header: _,
        file: identity,
        size,
        fd,
        mode: _,
        flags: _,
        uid: _,
        gid: _,
        device_major: _,
        device_minor: _,
        reserved: _,
    } = *file;
    let path = record.strings.path;
    let name = path.map(|p| anonymous_name(p, identity.inode));
    let path = path.zip(name.as_deref()).map(|(p, bytes)| Text { bytes, state: p.state });
    add_path(path, None, out);
    add_file(identity, out);
    if fd >= 0 {
        out.number(name::TRACELEFT_FD, fd);
    }
    // Of a bad descriptor there is no more than its number.
    let shown = match path {
        Some(path) => Readable(path.bytes).to_string(),
        None if fd >= 0 => format!("descriptor {fd}"),
        None => "no file".to_owned(),
    };
    let event = record.event;
    if event == Event::Close {
        message(record, format_args!("{event} {shown}"), result, out);
        return;
    }
    add_string(name::TRACELEFT_DATA, record.strings.data, out);
    if size == u64::MAX {
        message(record, format_args!("{event} {shown}"), result, out);
    } else {
        out.text(name::TRACELEFT_REQUESTED, size);
        message(record, format_args!("{event} {shown}, {size} bytes"), result, out);
    }
}

/// The kernel's own names of what has no place in a tree, as `/proc/PID/fd` shows them: `pipe:[7]`,
/// `anon_inode:[eventfd]`.
fn anonymous_name(path: Text<'_>, inode: u64) -> Cow<'_, [u8]> {
    if !path.is(types::string_state::STRING_ANONYMOUS) {
        return path.bytes.into();
    }
    match path.bytes {
        b"pipe:" | b"socket:" => [path.bytes, format!("[{inode}]").as_bytes()].concat().into(),
        [b'/', name @ ..] if name.starts_with(b"[") => [b"anon_inode:", name].concat().into(),
        bytes => bytes.into(),
    }
}
