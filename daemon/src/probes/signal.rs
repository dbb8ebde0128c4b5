//! The hooks of `kill` and `ptrace`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const KILL: &[Event] = &[Event::Kill];
const PTRACE: &[Event] = &[Event::Ptrace];

pub const PROBES: &[Probe] = &[
    exit("return_ptrace", &["__x64_sys_ptrace"], PTRACE),
    optional(exit("return_ptrace", &["__ia32_compat_sys_ptrace"], PTRACE)),
    exit("return_task_by_pid", &["find_get_task_by_vpid"], PTRACE),
    entry("probe_ptrace", &["__x64_sys_ptrace"], PTRACE),
    optional(entry("probe_ptrace", &["__ia32_compat_sys_ptrace"], PTRACE)),
    exit("return_signal_call", &["__x64_sys_kill"], KILL),
    exit("return_signal_call", &["__x64_sys_tkill"], KILL),
    exit("return_signal_call", &["__x64_sys_tgkill"], KILL),
    exit("return_signal_call", &["__x64_sys_rt_sigqueueinfo"], KILL),
    exit("return_signal_call", &["__x64_sys_rt_tgsigqueueinfo"], KILL),
    exit("return_signal_call", &["__x64_sys_pidfd_send_signal"], KILL),
    optional(exit("return_signal_call", &["__ia32_sys_kill"], KILL)),
    optional(exit("return_signal_call", &["__ia32_sys_tkill"], KILL)),
    optional(exit("return_signal_call", &["__ia32_sys_tgkill"], KILL)),
    optional(exit("return_signal_call", &["__ia32_compat_sys_rt_sigqueueinfo"], KILL)),
    optional(exit("return_signal_call", &["__ia32_compat_sys_rt_tgsigqueueinfo"], KILL)),
    optional(exit("return_signal_call", &["__ia32_sys_pidfd_send_signal"], KILL)),
    optional(exit("return_signal_answer", &["check_kill_permission"], KILL)),
    entry("probe_signal_target", &["audit_signal_info"], KILL),
    entry("probe_signal_call", &["__x64_sys_kill"], KILL),
    entry("probe_signal_call", &["__x64_sys_tkill"], KILL),
    entry("probe_signal_call", &["__x64_sys_tgkill"], KILL),
    entry("probe_signal_call", &["__x64_sys_rt_sigqueueinfo"], KILL),
    entry("probe_signal_call", &["__x64_sys_rt_tgsigqueueinfo"], KILL),
    entry("probe_signal_call", &["__x64_sys_pidfd_send_signal"], KILL),
    optional(entry("probe_signal_call", &["__ia32_sys_kill"], KILL)),
    optional(entry("probe_signal_call", &["__ia32_sys_tkill"], KILL)),
    optional(entry("probe_signal_call", &["__ia32_sys_tgkill"], KILL)),
    optional(entry("probe_signal_call", &["__ia32_compat_sys_rt_sigqueueinfo"], KILL)),
    optional(entry("probe_signal_call", &["__ia32_compat_sys_rt_tgsigqueueinfo"], KILL)),
    optional(entry("probe_signal_call", &["__ia32_sys_pidfd_send_signal"], KILL)),
];
