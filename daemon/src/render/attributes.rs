//! `truncate`, `chmod`, `chown`, `setxattr`.

use super::{Outcome, add_string, message};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::flags::{AT, Flags, XATTR};
use crate::skel::types;

const UNSET: u32 = types::limits::NO_NUMBER.0;

/// Adds what such a record has beside its path.
pub(super) fn add(
    file: &types::file_record,
    record: &Record<'_>,
    path: Readable<'_>,
    result: Outcome,
    out: &mut Entries,
) {
    let types::file_record {
        header: _,
        file: _,
        size,
        fd: _,
        mode,
        flags,
        uid,
        gid,
        device_major: _,
        device_minor: _,
        reserved: _,
    } = *file;
    match record.event {
        Event::Truncate => {
            // What is below zero was asked for as well.
            let size = size.cast_signed();
            out.number(name::TRACELEFT_SIZE, size);
            message(record, format_args!("truncate {path} to {size} bytes"), result, out);
        }
        Event::Chmod => {
            add_flags(&[Flags(flags, AT)], out);
            let mode = mode & 0o7777;
            out.text(name::TRACELEFT_MODE, format_args!("0{mode:03o}"));
            message(record, format_args!("chmod {path} 0{mode:03o}"), result, out);
        }
        Event::Chown => {
            add_flags(&[Flags(flags, AT)], out);
            if uid != UNSET {
                out.text(name::TRACELEFT_OWNER_UID, uid);
            }
            if gid != UNSET {
                out.text(name::TRACELEFT_OWNER_GID, gid);
            }
            let id = |id: u32| if id == UNSET { String::new() } else { id.to_string() };
            message(record, format_args!("chown {path} {}:{}", id(uid), id(gid)), result, out);
        }
        _ => {
            add_flags(&[Flags(mode, AT), Flags(flags, XATTR)], out);
            add_string(name::TRACELEFT_XATTR, record.strings.name, out);
            out.number(name::TRACELEFT_SIZE, size);
            let given = Readable(record.strings.name.unwrap_or_default().bytes);
            message(record, format_args!("{} {path} {given}, {size} bytes", record.event), result, out);
        }
    }
}

/// Those that are set, of all sets in one field; none, no field.
pub(super) fn add_flags(sets: &[Flags], out: &mut Entries) {
    let names: Vec<_> = sets.iter().filter(|f| !f.is_empty()).map(Flags::to_string).collect();
    if !names.is_empty() {
        out.text(name::TRACELEFT_FLAGS, names.join("|"));
    }
}
