//! The hooks of `@process`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const EXEC: &[Event] = &[Event::Exec];

pub const PROBES: &[Probe] = &[
    exit("return_exec_call", &["__x64_sys_execve"], EXEC),
    exit("return_exec_call", &["__x64_sys_execveat"], EXEC),
    optional(exit("return_exec_call", &["__ia32_compat_sys_execve"], EXEC)),
    optional(exit("return_exec_call", &["__ia32_compat_sys_execveat"], EXEC)),
    exit("return_exec", &["bprm_execve"], EXEC),
    optional(exit("return_exec_alloc", &["alloc_bprm"], EXEC)),
    entry("probe_exec", &["bprm_execve"], EXEC),
    optional(entry("probe_exec_alloc", &["alloc_bprm"], EXEC)),
];
