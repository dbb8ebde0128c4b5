//! `fork`, `exit`, `kill` and `ptrace`.

use std::fmt;

use super::{Attribution, Outcome, message, until_nul};
use crate::constants::process::{CloneFlags, PtraceRequest, SignalName};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

/// The other process, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Other<'a> {
    pid: Option<i32>,
    tid: Option<i32>,
    fd: Option<i32>,
    comm: &'a [u8],
}

impl Other<'_> {
    fn add(self, out: &mut Entries) {
        let Self { pid, tid, fd, comm } = self;
        if let Some(pid) = pid {
            out.text(name::TRACELEFT_TARGET_PID, pid);
        }
        if let Some(tid) = tid {
            out.text(name::TRACELEFT_TARGET_TID, tid);
        }
        if !comm.is_empty() {
            out.bytes(name::TRACELEFT_TARGET_COMM, comm);
        }
        if let Some(fd) = fd {
            out.number(name::TRACELEFT_FD, fd);
        }
    }
}

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { pid: Some(pid), comm: [], .. } => write!(f, "{pid}"),
            Self { pid: Some(pid), comm, .. } => write!(f, "{}[{pid}]", Readable(comm)),
            Self { tid: Some(tid), .. } => write!(f, "thread {tid}"),
            Self { fd: Some(fd), .. } => write!(f, "descriptor {fd}"),
            _ => f.write_str("nobody"),
        }
    }
}

/// Adds what such a record has of its own.
pub(super) fn add(
    process: &types::process_record,
    record: &Record<'_>,
    result: Outcome,
    to: &Attribution<'_>,
    out: &mut Entries,
) {
    let types::process_record {
        header: _,
        flags,
        other_cgroup: _,
        facts,
        other_pid,
        other_tid,
        fd,
        status,
        signal,
        request,
        reserved: _,
        other_comm,
    } = *process;
    let is = |fact: types::process_facts| facts & fact.0 != 0;
    let other = Other {
        pid: is(types::process_facts::PROCESS_OTHER_PID).then_some(other_pid.cast_signed()),
        tid: is(types::process_facts::PROCESS_OTHER_TID).then_some(other_tid.cast_signed()),
        fd: is(types::process_facts::PROCESS_FD).then_some(fd),
        comm: until_nul(&other_comm),
    };
    if !to.other_unit.is_empty() {
        out.bytes(name::TRACELEFT_TARGET_UNIT, to.other_unit.as_bytes());
    }
    match record.event {
        Event::Fork => {
            let flags = CloneFlags { flags, signal };
            if let Some(pid) = other.pid {
                out.text(name::TRACELEFT_CHILD_PID, pid);
            }
            if is(types::process_facts::PROCESS_FLAGS) {
                out.text(name::TRACELEFT_FLAGS, flags);
                message(record, format_args!("fork {flags}"), result, out);
            } else {
                message(record, "fork", result, out);
            }
        }
        Event::Exit => {
            let dumped = is(types::process_facts::PROCESS_CORE_DUMPED);
            let comm = Readable(until_nul(&record.header.comm));
            let pid = record.header.pid;
            if signal == 0 {
                out.text(name::TRACELEFT_EXIT_STATUS, status);
                out.text(name::MESSAGE, format_args!("{comm}[{pid}]: exit with status {status}"));
            } else {
                add_signal(signal, out);
                if dumped {
                    out.text(name::TRACELEFT_CORE_DUMPED, 1);
                }
                let core = if dumped { ", core dumped" } else { "" };
                let by = SignalName(signal);
                out.text(name::MESSAGE, format_args!("{comm}[{pid}]: exit by {by} ({signal}){core}"));
            }
        }
        Event::Ptrace => {
            let request = PtraceRequest(request);
            out.text(name::TRACELEFT_REQUEST, request);
            other.add(out);
            message(record, format_args!("ptrace {request} {other}"), result, out);
        }
        _ => {
            add_signal(signal, out);
            other.add(out);
            message(record, format_args!("{} {} to {other}", record.event, SignalName(signal)), result, out);
        }
    }
}

fn add_signal(signal: u32, out: &mut Entries) {
    out.text(name::TRACELEFT_SIGNAL, SignalName(signal));
    out.text(name::TRACELEFT_SIGNAL_NUMBER, signal.cast_signed());
}
