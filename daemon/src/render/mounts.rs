//! `mount`, `umount`.

use super::attributes::add_flags;
use super::{Named, Outcome, add_file, add_path, add_string, message, shown};
use crate::constants::syscall_name;
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::flags::{AT, FSMOUNT, Flags, MOUNT_ATTR, MOVE_MOUNT, MS, OPEN_TREE, UMOUNT, without_magic};
use crate::skel::types;

/// Adds what such a record has of its own.
pub(super) fn add(file: &types::file_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let types::file_record {
        header,
        file: identity,
        size: _,
        fd,
        mode: set,
        flags,
        uid: _,
        gid: _,
        device_major: cleared,
        device_minor: propagation,
        reserved: _,
    } = *file;
    let (mut buffer, mut source_buffer) = (Vec::new(), Vec::new());
    let path = Named::first(&record.strings).resolved(&mut buffer);
    let argument = record.strings.path_arg;
    add_path(path, argument, out);
    add_file(identity, out);
    if fd >= 0 {
        out.number(name::TRACELEFT_FD, fd);
    }
    let shown = shown(path, argument);
    if record.event == Event::Umount {
        add_flags(&[Flags(flags, UMOUNT)], out);
        return message(record, format_args!("umount {shown}"), result, out);
    }
    let call = syscall_name(header.abi, header.syscall).unwrap_or_default();
    let flags = match &*call {
        "mount" => Flags(without_magic(flags), MS),
        "move_mount" => Flags(flags, MOVE_MOUNT),
        "fsmount" => Flags(flags, FSMOUNT),
        "open_tree" | "open_tree_attr" => Flags(flags, OPEN_TREE),
        _ => Flags(flags, AT),
    };
    let cleared = Cleared(Flags(cleared, MOUNT_ATTR)).to_string();
    let mut names: Vec<_> = [flags, Flags(set, MOUNT_ATTR), Flags(propagation, MS)]
        .iter()
        .filter(|f| !f.is_empty())
        .map(Flags::to_string)
        .collect();
    if !cleared.is_empty() {
        names.push(cleared);
    }
    let names = names.join("|");
    if !names.is_empty() {
        out.text(name::TRACELEFT_FLAGS, &names);
    }
    // As it was passed, but for a mount that was in a place before.
    let source = Named::second(&record.strings).resolved(&mut source_buffer).or(record.strings.new_path_arg);
    let kind = record.strings.name;
    add_string(name::TRACELEFT_SOURCE, source, out);
    add_string(name::TRACELEFT_FSTYPE, kind, out);
    let words = [
        ("", Some(record.event.to_string())),
        ("", source.map(|t| Readable(t.bytes).to_string())),
        ("on ", Some(shown.to_string())),
        ("type ", kind.map(|t| Readable(t.bytes).to_string())),
        ("", Some(names)),
    ];
    let what: Vec<_> = words
        .into_iter()
        .filter_map(|(before, word)| Some(format!("{before}{}", word.filter(|w| !w.is_empty())?)))
        .collect();
    message(record, what.join(" "), result, out);
}

/// Attributes that are taken away: each with a `~`.
struct Cleared(Flags);

impl std::fmt::Display for Cleared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "~{}", self.0.to_string().replace('|', "|~"))
    }
}
