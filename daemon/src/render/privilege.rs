//! `setuid`, `setgid`, `capset` and `bpf`.

use std::fmt;

use super::{Outcome, UNSET, add_string, message};
use crate::constants::{Capabilities, bpf_command, bpf_type};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

/// Adds what a record of `setuid`, `setgid` or `capset` has of its own.
pub(super) fn add_credentials(
    credentials: &types::credentials_record,
    record: &Record<'_>,
    result: Outcome,
    out: &mut Entries,
) {
    let types::credentials_record {
        header,
        effective,
        permitted,
        inheritable,
        id,
        effective_id,
        saved_id,
        file_system_id,
    } = *credentials;
    let names = match record.event {
        Event::Capset if header.flags & types::record_flags::RECORD_NOT_READ.0 != 0 => {
            return message(record, record.event, result, out);
        }
        Event::Capset => {
            let sets = [effective, permitted, inheritable].map(Capabilities);
            return add_capabilities(sets, record, result, out);
        }
        Event::Setgid => [
            name::TRACELEFT_NEW_GID,
            name::TRACELEFT_NEW_EGID,
            name::TRACELEFT_NEW_SGID,
            name::TRACELEFT_NEW_FSGID,
        ],
        _ => [
            name::TRACELEFT_NEW_UID,
            name::TRACELEFT_NEW_EUID,
            name::TRACELEFT_NEW_SUID,
            name::TRACELEFT_NEW_FSUID,
        ],
    };
    let ids = [id, effective_id, saved_id, file_system_id];
    for (name, id) in names.into_iter().zip(ids) {
        if id != UNSET {
            out.text(name, id);
        }
    }
    message(record, format_args!("{}{}", record.event, Ids(ids)), result, out);
}

/// Ids of a process, those that are known, each with what it is.
struct Ids([u32; 4]);

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, id) in ["real", "effective", "saved", "file-system"].into_iter().zip(self.0) {
            if id != UNSET {
                write!(f, " {what} {id}")?;
            }
        }
        Ok(())
    }
}

fn add_capabilities(sets: [Capabilities; 3], record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let [effective, permitted, inheritable] = sets;
    out.text(name::TRACELEFT_CAP_EFFECTIVE, effective);
    out.text(name::TRACELEFT_CAP_PERMITTED, permitted);
    out.text(name::TRACELEFT_CAP_INHERITABLE, inheritable);
    // A line with all names would be read by nobody.
    let short = |set: Capabilities| if set.all() { "all".to_owned() } else { set.to_string() };
    let [effective, permitted, inheritable] = sets.map(short);
    message(
        record,
        format_args!("capset effective {effective} permitted {permitted} inheritable {inheritable}"),
        result,
        out,
    );
}

/// Adds what a record of `bpf` has of its own.
pub(super) fn add_bpf(bpf: &types::bpf_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let types::bpf_record { header: _, command, r#type } = *bpf;
    let kind = if r#type == UNSET { None } else { bpf_type(command, r#type) };
    let command = bpf_command(command);
    out.text(name::TRACELEFT_BPF_COMMAND, &command);
    if let Some(kind) = &kind {
        out.text(name::TRACELEFT_BPF_TYPE, kind);
    }
    add_string(name::TRACELEFT_BPF_NAME, record.strings.name, out);
    let words =
        [kind.as_deref().unwrap_or_default().as_bytes(), record.strings.name.unwrap_or_default().bytes];
    let line = words.into_iter().filter(|w| !w.is_empty()).fold(Vec::new(), |mut line, word| {
        line.push(b' ');
        line.extend_from_slice(word);
        line
    });
    message(record, format_args!("bpf {command}{}", Readable(&line)), result, out);
}
