//! From a decoded record to a journal entry. Pure.

mod attributes;
mod entry;
mod exec;
mod file;
mod io;
mod mounts;
mod network;
mod privilege;
mod process;
mod socket;

use std::fmt;

use crate::constants::{ErrorName, abi_name, syscall_name};
use crate::decode::{Body, Record, Strings, Text};
use crate::event::{Description, Event};
use crate::fields::{Entries, Readable, name};
use crate::names::RECORD_IDENTIFIER;
use crate::skel::types;

/// To whom an event belongs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attribution<'a> {
    /// Unit; empty if it is not known.
    pub unit: &'a str,
    /// Its slice; empty if it is not known.
    pub slice: &'a str,
    /// Path of the control group; empty if it is not known.
    pub control_group: &'a str,
    /// Names of the policies that ask for the event; `run-time` for a watch made on the bus.
    pub policies: &'a [&'a str],
    /// Show the entry among those of the unit.
    pub unit_log: bool,
    /// Unit of the other process, or the other end of a connection; empty if it is not known.
    pub other_unit: &'a str,
}

/// `loginuid` and `sessionid` that were never set.
const UNSET: u32 = u32::MAX;

/// Adds the entry of one record.
pub fn render(record: &Record<'_>, to: &Attribution<'_>, seq: u64, out: &mut Entries) {
    let result = Outcome::of(&record.header);
    begin(record.event.describe(), if result.failed() { 5 } else { 6 }, seq, out);
    attribute(to, out);
    process(&record.header, &record.strings, out);
    if record.header.flags & types::record_flags::RECORD_SET_UP.0 != 0 {
        out.number(name::TRACELEFT_SETUP, 1);
    }
    result.add(out);
    match &record.body {
        Body::Open(open) => file::add_open(open, record, result, out),
        Body::Exec(exec) => exec::add(exec, record, result, out),
        Body::File(file) if [Event::Mount, Event::Umount].contains(&record.event) => {
            mounts::add(file, record, result, out);
        }
        Body::File(file) if [Event::Close, Event::Read, Event::Write].contains(&record.event) => {
            io::add(file, record, result, out);
        }
        Body::File(file) => file::add(file, record, result, out),
        Body::Process(process) => process::add(process, record, result, to, out),
        Body::Credentials(credentials) => privilege::add_credentials(credentials, record, result, out),
        Body::Socket(socket) => network::add(socket, record, result, to, out),
        Body::Bpf(bpf) => privilege::add_bpf(bpf, record, result, out),
    }
    out.end();
}

fn begin(event: &Description, priority: u8, seq: u64, out: &mut Entries) {
    let Description { name: event_name, message_id, .. } = event;
    out.word(name::SYSLOG_IDENTIFIER, RECORD_IDENTIFIER);
    out.word(name::MESSAGE_ID, message_id);
    out.number(name::PRIORITY, priority);
    out.word(name::TRACELEFT_EVENT, event_name);
    out.number(name::TRACELEFT_SEQ, seq);
}

/// Adds unit, slice, control group and policies, as far as they are known.
pub fn attribute(to: &Attribution<'_>, out: &mut Entries) {
    let Attribution { unit, slice, control_group, policies, unit_log, other_unit: _ } = to;
    if !unit.is_empty() {
        out.bytes(name::TRACELEFT_UNIT, unit.as_bytes());
        if *unit_log {
            out.bytes(name::OBJECT_SYSTEMD_UNIT, unit.as_bytes());
        }
    }
    if !slice.is_empty() {
        out.bytes(name::TRACELEFT_SLICE, slice.as_bytes());
    }
    if !control_group.is_empty() {
        out.bytes(name::TRACELEFT_CGROUP, control_group.as_bytes());
    }
    for policy in *policies {
        out.bytes(name::TRACELEFT_POLICY, policy.as_bytes());
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

fn process(header: &types::record_header, strings: &Strings<'_>, out: &mut Entries) {
    let types::record_header {
        kind: _,
        flags: _,
        timestamp,
        cgroup_id: _,
        target: _,
        pid,
        tid,
        ppid,
        uid,
        gid,
        auid,
        session,
        mnt_ns,
        syscall,
        abi,
        result: _,
        comm,
        invocation,
        string_offset: _,
        string_length: _,
        string_state: _,
        share: _,
        reserved: _,
    } = *header;
    out.number(name::TRACELEFT_TIMESTAMP, timestamp);
    let invocation = until_nul(&invocation);
    if !invocation.is_empty() {
        out.bytes(name::TRACELEFT_INVOCATION_ID, invocation);
    }
    // The end of a connection that no process made or closed where it could be seen.
    if pid == 0 {
        return;
    }
    out.number(name::TRACELEFT_PID, pid);
    out.number(name::TRACELEFT_TID, tid);
    out.number(name::TRACELEFT_PPID, ppid);
    out.number(name::TRACELEFT_UID, uid);
    out.number(name::TRACELEFT_GID, gid);
    if auid != UNSET {
        out.number(name::TRACELEFT_AUID, auid);
    }
    if session != UNSET {
        out.number(name::TRACELEFT_SESSION, session);
    }
    out.bytes(name::TRACELEFT_COMM, until_nul(&comm));
    out.number(name::TRACELEFT_MNT_NS, mnt_ns);
    if let Some(call) = syscall_name(abi, syscall) {
        out.word(name::TRACELEFT_SYSCALL, &call);
    }
    out.word(name::TRACELEFT_ABI, abi_name(abi));
    add_string(name::TRACELEFT_EXE, strings.exe, out);
}

fn add_string(name: &str, text: Option<Text<'_>>, out: &mut Entries) {
    if let Some(text) = text {
        out.bytes(name, text.bytes);
        if text.is(types::string_state::STRING_TRUNCATED) {
            out.text(name::TRACELEFT_TRUNCATED, name);
        }
    }
}

/// What is known of the result.
#[derive(Clone, Copy, Debug)]
struct Outcome(Option<i64>);

impl Outcome {
    fn of(header: &types::record_header) -> Self {
        let is = |flag: types::record_flags| header.flags & flag.0 != 0;
        let result = if is(types::record_flags::RECORD_UNSIGNED) {
            header.result.cast_unsigned().into()
        } else {
            header.result.into()
        };
        Self((!is(types::record_flags::RECORD_RESULT_MISSED)).then_some(result))
    }

    fn failed(self) -> bool {
        self.0.is_some_and(|r| r < 0)
    }

    fn error(self) -> Option<ErrorName> {
        self.0.filter(|r| *r < 0).and_then(|r| i32::try_from(r).ok()).map(ErrorName)
    }

    fn add(self, out: &mut Entries) {
        match self.0 {
            Some(result) => {
                out.number(name::TRACELEFT_RESULT, result);
                if let Some(error) = self.error() {
                    out.text(name::TRACELEFT_ERRNO, error);
                }
            }
            None => out.number(name::TRACELEFT_RESULT_MISSED, 1),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.error(), self.0) {
            (Some(error), _) => error.fmt(f),
            (None, Some(result)) => write!(f, "{result}"),
            (None, None) => f.write_str("result missed"),
        }
    }
}

/// The line that `journalctl` shows: who did what to what, and what came of it.
fn message(record: &Record<'_>, what: impl fmt::Display, result: Outcome, out: &mut Entries) {
    if record.header.pid == 0 {
        out.text(name::MESSAGE, format_args!("{what} = {result}"));
        return;
    }
    let comm = Readable(until_nul(&record.header.comm));
    out.text(name::MESSAGE, format_args!("{comm}[{}]: {what} = {result}", record.header.pid));
}

/// A path as it was passed, from where, and what it was resolved to.
#[derive(Clone, Copy, Debug, Default)]
struct Named<'a> {
    path: Option<Text<'a>>,
    arg: Option<Text<'a>>,
    base: Option<Text<'a>>,
}

impl<'a> Named<'a> {
    fn first(strings: &Strings<'a>) -> Self {
        Self { path: strings.path, arg: strings.path_arg, base: strings.base }
    }

    fn second(strings: &Strings<'a>) -> Self {
        Self { path: strings.new_path, arg: strings.new_path_arg, base: strings.new_base }
    }

    /// The resolved path where there is one; of a call that failed, as far as it can be told from what it passed.
    fn resolved(self, buffer: &'a mut Vec<u8>) -> Option<Text<'a>> {
        if let Some(path) = self.path {
            return Some(path);
        }
        let arg = self.arg?;
        if arg.bytes.starts_with(b"/") {
            return Some(arg);
        }
        let base = self.base?;
        buffer.extend_from_slice(base.bytes);
        if !arg.bytes.is_empty() {
            if base.bytes != b"/" {
                buffer.push(b'/');
            }
            buffer.extend_from_slice(arg.bytes);
        }
        Some(Text { bytes: buffer, state: base.state | arg.state })
    }
}

/// What a message says of a path: as resolved, else as passed.
fn shown<'a>(path: Option<Text<'a>>, arg: Option<Text<'a>>) -> Readable<'a> {
    Readable(path.or(arg).unwrap_or_default().bytes)
}

fn add_path(path: Option<Text<'_>>, arg: Option<Text<'_>>, out: &mut Entries) {
    add_string(name::TRACELEFT_PATH, path, out);
    add_string(name::TRACELEFT_PATH_ARG, arg, out);
    add_path_state(name::TRACELEFT_PATH_STATE, path, out);
}

fn add_path_state(name: &str, path: Option<Text<'_>>, out: &mut Entries) {
    for (flag, state) in [
        (types::string_state::STRING_DELETED, "deleted"),
        (types::string_state::STRING_UNREACHABLE, "unreachable"),
        (types::string_state::STRING_ANONYMOUS, "anonymous"),
    ] {
        if path.is_some_and(|p| p.is(flag)) {
            out.text(name, state);
        }
    }
}

fn add_file(file: types::file_identity, out: &mut Entries) {
    let types::file_identity { inode, major, minor } = file;
    if inode != 0 {
        out.text(name::TRACELEFT_DEV, format_args!("{major}:{minor}"));
        out.number(name::TRACELEFT_INODE, inode);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use toml::{Table, Value};

    use super::*;
    use crate::decode::decode;
    use crate::decode::tests::encode;
    use crate::expect;
    use crate::wire;

    fn number(table: &Table, key: &str) -> i64 {
        table.get(key).map_or(0, |v| v.as_integer().unwrap())
    }

    fn small(table: &Table, key: &str) -> u32 {
        u32::try_from(number(table, key)).unwrap()
    }

    fn text<'a>(table: &'a Table, key: &str) -> &'a str {
        table.get(key).map_or("", |v| v.as_str().unwrap())
    }

    /// `\xNN` in a case is that byte, so that bytes that are no UTF-8 can be written down.
    fn bytes(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\\x") {
            bytes.extend_from_slice(before.as_bytes());
            bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
            rest = &after[2..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    fn array<const N: usize>(text: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        array[..text.len()].copy_from_slice(text);
        array
    }

    fn address(text: &str) -> [u8; 16] {
        match text.parse() {
            Ok(IpAddr::V4(v4)) => array(&v4.octets()),
            Ok(IpAddr::V6(v6)) => v6.octets(),
            Err(_) => [0; 16],
        }
    }

    /// Its fixed part.
    fn fixed(event: Event, header: types::record_header, case: &Table) -> Vec<u8> {
        let file = types::file_identity { inode: small(case, "inode").into(), major: 254, minor: 1 };
        match event {
            Event::Open => {
                let (flags, mode) = (small(case, "flags"), small(case, "mode"));
                wire::bytes(&types::open_record { header, file, flags, mode }).to_vec()
            }
            Event::Exec => {
                let argc = small(case, "argc");
                wire::bytes(&types::exec_record { header, file, argc, reserved: 0 }).to_vec()
            }
            event if event.describe().group == "network" => wire::bytes(&types::socket_record {
                header,
                bytes_in: small(case, "bytes-in").into(),
                bytes_out: small(case, "bytes-out").into(),
                duration: small(case, "duration").into(),
                peer_pid: small(case, "peer-pid"),
                source: address(text(case, "source")),
                destination: address(text(case, "destination")),
                source_port: 40000,
                destination_port: 443,
                family: small(case, "family"),
                r#type: small(case, "type"),
                net_ns: 4_026_531_840,
                fd: i32::try_from(number(case, "fd")).unwrap(),
                backlog: i32::try_from(number(case, "backlog")).unwrap(),
                file,
                ..Default::default()
            })
            .to_vec(),
            Event::Fork | Event::Exit | Event::Kill | Event::Ptrace => wire::bytes(&types::process_record {
                header,
                flags: small(case, "flags").into(),
                other_cgroup: 0,
                facts: small(case, "facts"),
                other_pid: small(case, "other-pid"),
                other_tid: small(case, "other-tid"),
                fd: i32::try_from(number(case, "fd")).unwrap(),
                status: small(case, "status"),
                signal: small(case, "signal"),
                request: small(case, "request"),
                reserved: 0,
                other_comm: array(&bytes(text(case, "other-comm"))),
            })
            .to_vec(),
            Event::Setuid | Event::Setgid | Event::Capset => wire::bytes(&types::credentials_record {
                header,
                effective: u64::try_from(number(case, "effective")).unwrap(),
                permitted: u64::try_from(number(case, "permitted")).unwrap(),
                inheritable: u64::try_from(number(case, "inheritable")).unwrap(),
                id: small(case, "id"),
                effective_id: small(case, "effective-id"),
                saved_id: small(case, "saved-id"),
                file_system_id: small(case, "file-system-id"),
            })
            .to_vec(),
            Event::Bpf => {
                let (command, r#type) = (small(case, "command"), small(case, "type"));
                wire::bytes(&types::bpf_record { header, command, r#type }).to_vec()
            }
            _ => wire::bytes(&types::file_record {
                header,
                file,
                size: u64::from_ne_bytes(number(case, "size").to_ne_bytes()),
                fd: i32::try_from(number(case, "fd")).unwrap(),
                mode: small(case, "mode"),
                flags: small(case, "flags"),
                uid: small(case, "uid"),
                gid: small(case, "gid"),
                device_major: small(case, "device-major"),
                device_minor: small(case, "device-minor"),
                reserved: 0,
            })
            .to_vec(),
        }
    }

    /// The record that a case describes, as the kernel side would send it.
    fn record(case: &Table) -> Vec<u8> {
        let event = Event::all().find(|e| e.name() == text(case, "event")).unwrap();
        let header = types::record_header {
            kind: u32::try_from(event.number()).unwrap(),
            flags: small(case, "record-flags"),
            timestamp: 1_000_000_007,
            pid: 12,
            tid: 13,
            ppid: 1,
            uid: 33,
            gid: 34,
            auid: case.get("auid").map_or(UNSET, |_| small(case, "auid")),
            session: UNSET,
            mnt_ns: 4_026_531_841,
            syscall: small(case, "syscall"),
            abi: small(case, "abi"),
            result: i32::try_from(number(case, "result")).unwrap(),
            comm: array(&bytes(text(case, "comm"))),
            invocation: array(text(case, "invocation").as_bytes()),
            ..Default::default()
        };
        let fixed = fixed(event, header, case);
        let slots = [
            ("exe", types::string_slot::STRING_EXE),
            ("path", types::string_slot::STRING_PATH),
            ("path-arg", types::string_slot::STRING_PATH_ARG),
            ("base", types::string_slot::STRING_BASE),
            ("interpreter", types::string_slot::STRING_INTERPRETER),
            ("argv", types::string_slot::STRING_ARGV),
            ("new-path", types::string_slot::STRING_NEW_PATH),
            ("new-path-arg", types::string_slot::STRING_NEW_PATH_ARG),
            ("new-base", types::string_slot::STRING_NEW_BASE),
            ("name", types::string_slot::STRING_NAME),
            ("data", types::string_slot::STRING_DATA),
        ];
        let strings: Vec<_> = slots
            .iter()
            .filter(|(key, _)| case.contains_key(*key))
            .map(|(key, slot)| (*slot, bytes(text(case, key)), small(case, &format!("{key}-state"))))
            .collect();
        let strings: Vec<_> = strings.iter().map(|(slot, b, state)| (*slot, b.as_slice(), *state)).collect();
        encode(&fixed, &strings)
    }

    #[test]
    fn cases() {
        expect::cases("render", |_, case| {
            let case: Table = case.parse().unwrap();
            let data = record(&case);
            let policies: Vec<_> = case
                .get("policies")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let to = Attribution {
                unit: text(&case, "unit"),
                slice: text(&case, "slice"),
                control_group: text(&case, "control-group"),
                policies: &policies,
                unit_log: case.get("unit-log").is_some(),
                other_unit: text(&case, "other-unit"),
            };
            let mut out = Entries::default();
            render(&decode(&data).unwrap(), &to, 5, &mut out);
            let entry = out.iter().next().unwrap();
            entry
                .split_inclusive(|b| *b == b'\n')
                .map(|line| line.escape_ascii().to_string() + "\n")
                .collect()
        });
    }

    /// Under a profiler it says what a record costs: see CONTRIBUTING.md.
    #[test]
    fn many_records_use_one_buffer() {
        let case: Table = include_str!("../../../tests/data/render/open.toml").parse().unwrap();
        let data = record(&case);
        let to = Attribution {
            unit: "nginx.service",
            slice: "system.slice",
            control_group: "/system.slice/nginx.service",
            policies: &["50-web"],
            unit_log: false,
            other_unit: "",
        };
        let mut out = Entries::default();
        let mut places = std::collections::HashSet::new();
        for seq in 1..=10_000 {
            out.clear();
            render(&decode(&data).unwrap(), &to, seq + 100_000, &mut out);
            places.insert(out.iter().next().unwrap().as_ptr());
        }
        assert_eq!(places.len(), 1);
    }
}
