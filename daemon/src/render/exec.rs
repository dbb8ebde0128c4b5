//! The event `exec`.

use super::{Named, Outcome, add_file, add_path, add_string, message, shown};
use crate::decode::{Record, Text};
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

pub(super) fn add(exec: &types::exec_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let types::exec_record { header, file, argc, reserved: _ } = *exec;
    let mut strings = record.strings;
    if header.flags & types::record_flags::RECORD_FD_PATH.0 != 0 {
        strings.path_arg = strings.path_arg.map(|arg| Text { bytes: after_fd_path(arg.bytes), ..arg });
    }
    let mut buffer = Vec::new();
    let path = Named::first(&strings).resolved(&mut buffer);
    add_path(path, strings.path_arg, out);
    add_file(file, out);
    // What binfmt_misc or a script's first line names; the path itself where the kernel goes by a descriptor.
    let interpreter =
        strings.interpreter.filter(|i| Some(i.bytes) != record.strings.path_arg.map(|a| a.bytes));
    add_string(name::TRACELEFT_INTERPRETER, interpreter, out);
    let mut arguments = Vec::new();
    if let Some(argv) = strings.argv {
        arguments = quote(argv.bytes);
        add_string(name::TRACELEFT_ARGV, Some(Text { bytes: &arguments, ..argv }), out);
    }
    out.text(name::TRACELEFT_ARGC, argc);
    let shown = shown(path, strings.path_arg);
    let interpreter = Readable(interpreter.unwrap_or_default().bytes);
    let by = if interpreter.0.is_empty() { "" } else { " by " };
    message(record, format_args!("exec {shown}{by}{interpreter} [{}]", Readable(&arguments)), result, out);
}

/// What a program passed to execveat: the kernel puts "/dev/fd/N" before it, and "/" if it is not empty.
fn after_fd_path(path: &[u8]) -> &[u8] {
    let rest = path.strip_prefix(b"/dev/fd/").unwrap_or(path);
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = &rest[digits..];
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Arguments as a shell would take them: joined by spaces, quoted where one needs it.
fn quote(argv: &[u8]) -> Vec<u8> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(b) || !b.is_ascii();
    let mut quoted = Vec::with_capacity(argv.len());
    let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
    for (i, argument) in argv.split(|b| *b == 0).enumerate() {
        if i > 0 {
            quoted.push(b' ');
        }
        if !argument.is_empty() && argument.iter().all(plain) {
            quoted.extend_from_slice(argument);
            continue;
        }
        quoted.push(b'\'');
        for &byte in argument {
            match byte {
                b'\'' => quoted.extend_from_slice(b"'\\''"),
                _ => quoted.push(byte),
            }
        }
        quoted.push(b'\'');
    }
    quoted
}
