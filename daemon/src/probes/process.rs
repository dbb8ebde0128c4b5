//! The hooks of `@process`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const EXEC: &[Event] = &[Event::Exec];
const FORK: &[Event] = &[Event::Fork];
const EXIT: &[Event] = &[Event::Exit];

pub const PROBES: &[Probe] = &[
    exit("return_exec_call", &["__x64_sys_execve"], EXEC),
    exit("return_exec_call", &["__x64_sys_execveat"], EXEC),
    optional(exit("return_exec_call", &["__ia32_compat_sys_execve"], EXEC)),
    optional(exit("return_exec_call", &["__ia32_compat_sys_execveat"], EXEC)),
    exit("return_exec", &["bprm_execve"], EXEC),
    optional(exit("return_exec_alloc", &["alloc_bprm"], EXEC)),
    entry("probe_exec", &["bprm_execve"], EXEC),
    optional(entry("probe_exec_alloc", &["alloc_bprm"], EXEC)),
    exit("return_clone3", &["__x64_sys_clone3"], FORK),
    optional(exit("return_clone3", &["__ia32_sys_clone3"], FORK)),
    exit("return_fork", &["kernel_clone"], FORK),
    entry("probe_new_task", &["wake_up_new_task"], FORK),
    entry("probe_fork", &["kernel_clone"], FORK),
    entry("probe_thread_end", &["acct_collect"], EXIT),
];
