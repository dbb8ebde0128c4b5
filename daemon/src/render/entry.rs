//! What makes, moves and removes names in directories.

use std::fmt::Display;

use super::{Outcome, add_string, message};
use crate::constants::{Flags, file_type};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

/// Adds what such a record has beside its paths.
pub(super) fn add(
    file: &types::file_record,
    record: &Record<'_>,
    path: &dyn Display,
    new_path: &dyn Display,
    result: Outcome,
    out: &mut Entries,
) {
    let (event, mode, flags) = (record.event, file.mode, file.flags);
    // Flags, and a blank before them, if there are any.
    let given = match event {
        Event::Rename => Flags::rename(flags),
        _ => Flags::at(flags),
    };
    let flags = if flags == 0 { String::new() } else { format!(" {given}") };
    if !flags.is_empty() {
        out.text(name::TRACELEFT_FLAGS, given);
    }
    let permissions = mode & 0o7777;
    match event {
        Event::Mkdir => {
            out.text(name::TRACELEFT_MODE, format_args!("0{permissions:03o}"));
            message(record, format_args!("mkdir {path} 0{permissions:03o}"), result, out);
        }
        Event::Mknod => {
            let kind = file_type(mode);
            let device = matches!(kind, Some("character" | "block"))
                .then(|| format!("{}:{}", file.device_major, file.device_minor));
            out.text(name::TRACELEFT_MODE, format_args!("0{permissions:03o}"));
            if let Some(kind) = kind {
                out.text(name::TRACELEFT_FILE_TYPE, kind);
            }
            if let Some(device) = &device {
                out.text(name::TRACELEFT_RDEV, device);
            }
            let mode = format!("0{permissions:03o}");
            let words: Vec<_> = kind.into_iter().chain(device.as_deref()).chain([mode.as_str()]).collect();
            message(record, format_args!("mknod {path} {}", words.join(" ")), result, out);
        }
        Event::Symlink => {
            let target = Readable(record.strings.name.unwrap_or_default().bytes);
            add_string(name::TRACELEFT_LINK_TARGET, record.strings.name, out);
            message(record, format_args!("symlink {path} to {target}"), result, out);
        }
        Event::Rename | Event::Link => {
            message(record, format_args!("{event} {path} to {new_path}{flags}"), result, out);
        }
        _ => message(record, format_args!("{event} {path}{flags}"), result, out),
    }
}
