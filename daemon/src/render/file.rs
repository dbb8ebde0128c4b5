//! The events of `@file`, and `module-load`.

use super::{
    Named, Outcome, add_file, add_path, add_path_state, add_string, attributes, entry, message, shown,
};
use crate::constants::{ModuleFlags, OpenFlags};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

const UNSET: u32 = types::limits::NO_NUMBER.0;

pub(super) fn add_open(open: &types::open_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let types::open_record { header, file, flags, mode } = *open;
    let flags = OpenFlags(flags);
    let mut buffer = Vec::new();
    let path = Named::first(&record.strings).resolved(&mut buffer);
    add_path(path, record.strings.path_arg, out);
    add_file(file, out);
    if let Some(fd) = result.0.filter(|r| *r >= 0 && header.flags & types::record_flags::RECORD_NO_FD.0 == 0)
    {
        out.number(name::TRACELEFT_FD, fd);
    }
    out.text(name::TRACELEFT_FLAGS, flags);
    if flags.creates() {
        out.text(name::TRACELEFT_MODE, format_args!("0{mode:03o}"));
    }
    let shown = shown(path, record.strings.path_arg);
    message(record, format_args!("open {shown} {flags}"), result, out);
}

/// Adds what such a record has of its own.
pub(super) fn add(file: &types::file_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let types::file_record {
        header: _,
        file: identity,
        size: _,
        fd,
        mode: _,
        flags,
        uid: _,
        gid: _,
        device_major: _,
        device_minor: _,
        reserved: _,
    } = *file;
    let (mut buffer, mut new_buffer) = (Vec::new(), Vec::new());
    let path = Named::first(&record.strings).resolved(&mut buffer);
    let new_path = Named::second(&record.strings).resolved(&mut new_buffer);
    add_path(path, record.strings.path_arg, out);
    add_string(name::TRACELEFT_NEW_PATH, new_path, out);
    add_string(name::TRACELEFT_NEW_PATH_ARG, record.strings.new_path_arg, out);
    add_path_state(name::TRACELEFT_NEW_PATH_STATE, new_path, out);
    add_file(identity, out);
    if fd >= 0 {
        out.number(name::TRACELEFT_FD, fd);
    }
    let shown = shown(path, record.strings.path_arg);
    let new_shown = super::shown(new_path, record.strings.new_path_arg);
    let given = Readable(record.strings.name.unwrap_or_default().bytes);
    match record.event {
        Event::Mkdir
        | Event::Rmdir
        | Event::Unlink
        | Event::Rename
        | Event::Link
        | Event::Symlink
        | Event::Mknod => entry::add(file, record, &shown, &new_shown, result, out),
        Event::Truncate | Event::Chmod | Event::Chown | Event::Setxattr => {
            attributes::add(file, record, shown, result, out);
        }
        Event::ModuleLoad => {
            add_string(name::TRACELEFT_MODULE, record.strings.name, out);
            let parameters = record.strings.argv.filter(|argv| !argv.bytes.is_empty());
            add_string(name::TRACELEFT_ARGV, parameters, out);
            // init_module has none.
            if flags != UNSET {
                out.text(name::TRACELEFT_FLAGS, ModuleFlags(flags));
            }
            let what = if given.0.is_empty() { "a module".to_owned() } else { given.to_string() };
            let from = if shown.0.is_empty() { "" } else { " from " };
            let parameters = Readable(parameters.unwrap_or_default().bytes);
            let with = if parameters.0.is_empty() { "" } else { " with " };
            message(record, format_args!("module-load {what}{from}{shown}{with}{parameters}"), result, out);
        }
        _ => {
            message(record, format_args!("{} {shown}", record.event), result, out);
        }
    }
}
