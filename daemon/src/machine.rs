//! What the daemon needs of a machine, asked for before anything is begun.

use std::fmt;
use std::fs;
use std::path::Path;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::sys::utsname::uname;
use nix::unistd::Uid;

use crate::tracefs::Tracefs;

/// Where the control groups are, below the root directory.
pub const HIERARCHY: &str = "sys/fs/cgroup";
const BTF: &str = "sys/kernel/btf/vmlinux";
const LOCKDOWN: &str = "sys/kernel/security/lockdown";
const PREEMPTION: &str = "sys/kernel/debug/sched/preempt";
const SYSTEMD: &str = "run/systemd/system";

/// What the machine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Not root.
    Root,
    /// systemd is not the service manager.
    Systemd,
    /// No control groups of version 2 where systemd has them.
    Cgroup2,
    /// No description of the kernel's types.
    Btf,
    /// No tracefs, or no kprobes in it.
    Kprobes,
    /// Locked down so far that BPF programs may not read the kernel's memory.
    Lockdown,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "traceleftd must run as root: start it with \"systemctl start traceleftd\"",
            Self::Systemd => {
                "systemd is not this machine's service manager (there is no /run/systemd/system): traceleftd \
                 audits units of systemd, and finds them nowhere else"
            }
            Self::Cgroup2 => {
                "no control group v2 hierarchy is mounted on /sys/fs/cgroup: boot with \
                 systemd.unified_cgroup_hierarchy=1"
            }
            Self::Btf => {
                "the kernel does not describe its types (there is no /sys/kernel/btf/vmlinux): use a kernel with \
                 CONFIG_DEBUG_INFO_BTF=y"
            }
            Self::Kprobes => {
                "there are no kprobes: tracefs has no /sys/kernel/tracing/kprobe_events; mount it there, or use a kernel with \
                 CONFIG_KPROBE_EVENTS=y"
            }
            Self::Lockdown => {
                "the kernel is locked down for confidentiality (see /sys/kernel/security/lockdown): BPF programs \
                 may not read its memory, and so cannot see what is audited; boot with lockdown=integrity or none"
            }
        })
    }
}

/// Finds what is lacking below `root`, or tracefs.
pub fn examine(root: &Path) -> Result<Tracefs, Lack> {
    if !Uid::effective().is_root() {
        return Err(Lack::Root);
    }
    if !root.join(SYSTEMD).is_dir() {
        return Err(Lack::Systemd);
    }
    if !statfs(&root.join(HIERARCHY)).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC) {
        return Err(Lack::Cgroup2);
    }
    if !root.join(BTF).metadata().is_ok_and(|m| m.is_file() && m.len() > 0) {
        return Err(Lack::Btf);
    }
    // Of the modes in the file, the one in force is in brackets. No file: no lockdown.
    if fs::read_to_string(root.join(LOCKDOWN)).is_ok_and(|modes| modes.contains("[confidentiality]")) {
        return Err(Lack::Lockdown);
    }
    Tracefs::find(root).ok_or(Lack::Kprobes)
}

/// Whether the kernel preempts tasks that are in it; also where that is not known, as without debugfs.
pub fn preempts_itself(root: &Path) -> bool {
    match fs::read_to_string(root.join(PREEMPTION)) {
        // Of the models, the one in force is in parentheses.
        Ok(models) => !models.contains("(none)") && !models.contains("(voluntary)"),
        Err(_) => !uname().is_ok_and(|names| !names.version().to_string_lossy().contains("PREEMPT")),
    }
}
