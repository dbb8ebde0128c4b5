//! Names of capabilities, of what `bpf` takes, and of the flags of modules.

use std::borrow::Cow;
use std::fmt;

/// Capabilities by their number, include/uapi/linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
/// Commands of `bpf` by their number, include/uapi/linux/bpf.h.
const BPF_COMMANDS: [&str; 39] = [
    "BPF_MAP_CREATE",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_MAP_UPDATE_ELEM",
    "BPF_MAP_DELETE_ELEM",
    "BPF_MAP_GET_NEXT_KEY",
    "BPF_PROG_LOAD",
    "BPF_OBJ_PIN",
    "BPF_OBJ_GET",
    "BPF_PROG_ATTACH",
    "BPF_PROG_DETACH",
    "BPF_PROG_TEST_RUN",
    "BPF_PROG_GET_NEXT_ID",
    "BPF_MAP_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_MAP_GET_FD_BY_ID",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_PROG_QUERY",
    "BPF_RAW_TRACEPOINT_OPEN",
    "BPF_BTF_LOAD",
    "BPF_BTF_GET_FD_BY_ID",
    "BPF_TASK_FD_QUERY",
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
    "BPF_MAP_FREEZE",
    "BPF_BTF_GET_NEXT_ID",
    "BPF_MAP_LOOKUP_BATCH",
    "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
    "BPF_MAP_UPDATE_BATCH",
    "BPF_MAP_DELETE_BATCH",
    "BPF_LINK_CREATE",
    "BPF_LINK_UPDATE",
    "BPF_LINK_GET_FD_BY_ID",
    "BPF_LINK_GET_NEXT_ID",
    "BPF_ENABLE_STATS",
    "BPF_ITER_CREATE",
    "BPF_LINK_DETACH",
    "BPF_PROG_BIND_MAP",
    "BPF_TOKEN_CREATE",
    "BPF_PROG_STREAM_READ_BY_FD",
    "BPF_PROG_ASSOC_STRUCT_OPS",
];
/// Types of BPF maps.
const BPF_MAP_TYPES: [&str; 35] = [
    "BPF_MAP_TYPE_UNSPEC",
    "BPF_MAP_TYPE_HASH",
    "BPF_MAP_TYPE_ARRAY",
    "BPF_MAP_TYPE_PROG_ARRAY",
    "BPF_MAP_TYPE_PERF_EVENT_ARRAY",
    "BPF_MAP_TYPE_PERCPU_HASH",
    "BPF_MAP_TYPE_PERCPU_ARRAY",
    "BPF_MAP_TYPE_STACK_TRACE",
    "BPF_MAP_TYPE_CGROUP_ARRAY",
    "BPF_MAP_TYPE_LRU_HASH",
    "BPF_MAP_TYPE_LRU_PERCPU_HASH",
    "BPF_MAP_TYPE_LPM_TRIE",
    "BPF_MAP_TYPE_ARRAY_OF_MAPS",
    "BPF_MAP_TYPE_HASH_OF_MAPS",
    "BPF_MAP_TYPE_DEVMAP",
    "BPF_MAP_TYPE_SOCKMAP",
    "BPF_MAP_TYPE_CPUMAP",
    "BPF_MAP_TYPE_XSKMAP",
    "BPF_MAP_TYPE_SOCKHASH",
    "BPF_MAP_TYPE_CGROUP_STORAGE",
    "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY",
    "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE",
    "BPF_MAP_TYPE_QUEUE",
    "BPF_MAP_TYPE_STACK",
    "BPF_MAP_TYPE_SK_STORAGE",
    "BPF_MAP_TYPE_DEVMAP_HASH",
    "BPF_MAP_TYPE_STRUCT_OPS",
    "BPF_MAP_TYPE_RINGBUF",
    "BPF_MAP_TYPE_INODE_STORAGE",
    "BPF_MAP_TYPE_TASK_STORAGE",
    "BPF_MAP_TYPE_BLOOM_FILTER",
    "BPF_MAP_TYPE_USER_RINGBUF",
    "BPF_MAP_TYPE_CGRP_STORAGE",
    "BPF_MAP_TYPE_ARENA",
    "BPF_MAP_TYPE_INSN_ARRAY",
];
/// Types of BPF programs.
const BPF_PROG_TYPES: [&str; 33] = [
    "BPF_PROG_TYPE_UNSPEC",
    "BPF_PROG_TYPE_SOCKET_FILTER",
    "BPF_PROG_TYPE_KPROBE",
    "BPF_PROG_TYPE_SCHED_CLS",
    "BPF_PROG_TYPE_SCHED_ACT",
    "BPF_PROG_TYPE_TRACEPOINT",
    "BPF_PROG_TYPE_XDP",
    "BPF_PROG_TYPE_PERF_EVENT",
    "BPF_PROG_TYPE_CGROUP_SKB",
    "BPF_PROG_TYPE_CGROUP_SOCK",
    "BPF_PROG_TYPE_LWT_IN",
    "BPF_PROG_TYPE_LWT_OUT",
    "BPF_PROG_TYPE_LWT_XMIT",
    "BPF_PROG_TYPE_SOCK_OPS",
    "BPF_PROG_TYPE_SK_SKB",
    "BPF_PROG_TYPE_CGROUP_DEVICE",
    "BPF_PROG_TYPE_SK_MSG",
    "BPF_PROG_TYPE_RAW_TRACEPOINT",
    "BPF_PROG_TYPE_CGROUP_SOCK_ADDR",
    "BPF_PROG_TYPE_LWT_SEG6LOCAL",
    "BPF_PROG_TYPE_LIRC_MODE2",
    "BPF_PROG_TYPE_SK_REUSEPORT",
    "BPF_PROG_TYPE_FLOW_DISSECTOR",
    "BPF_PROG_TYPE_CGROUP_SYSCTL",
    "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE",
    "BPF_PROG_TYPE_CGROUP_SOCKOPT",
    "BPF_PROG_TYPE_TRACING",
    "BPF_PROG_TYPE_STRUCT_OPS",
    "BPF_PROG_TYPE_EXT",
    "BPF_PROG_TYPE_LSM",
    "BPF_PROG_TYPE_SK_LOOKUP",
    "BPF_PROG_TYPE_SYSCALL",
    "BPF_PROG_TYPE_NETFILTER",
];
/// Flags of `finit_module`, include/uapi/linux/module.h.
const MODULE_FLAGS: [&str; 3] =
    ["MODULE_INIT_IGNORE_MODVERSIONS", "MODULE_INIT_IGNORE_VERMAGIC", "MODULE_INIT_COMPRESSED_FILE"];

/// Writes the names of bits by their number, joined by `|`; bits without a name as one hexadecimal number, and 0
/// if there are none.
fn write_bits(f: &mut fmt::Formatter<'_>, bits: u64, names: &[&str]) -> fmt::Result {
    let mut rest = bits;
    let mut separator = "";
    for (i, name) in names.iter().enumerate() {
        if rest & (1 << i) != 0 {
            write!(f, "{separator}{name}")?;
            separator = "|";
            rest &= !(1 << i);
        }
    }
    match (rest, separator) {
        (0, "") => f.write_str("0"),
        (0, _) => Ok(()),
        _ => write!(f, "{separator}0x{rest:x}"),
    }
}

/// A set of capabilities, by name.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// True if it has all that there are.
    pub fn all(self) -> bool {
        self.0 == (1 << CAPABILITIES.len()) - 1
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bits(f, self.0, &CAPABILITIES)
    }
}

/// Flags of `finit_module`, by name.
#[derive(Clone, Copy, Debug)]
pub struct ModuleFlags(pub u32);

impl fmt::Display for ModuleFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bits(f, self.0.into(), &MODULE_FLAGS)
    }
}

fn name_or_number(names: &[&'static str], number: u32) -> Cow<'static, str> {
    let name = names.get(number as usize);
    name.map_or_else(|| number.to_string().into(), |name| Cow::Borrowed(*name))
}

/// Name of a command of `bpf`, its number if it has none here.
pub fn bpf_command(command: u32) -> Cow<'static, str> {
    name_or_number(&BPF_COMMANDS, command)
}

/// Name of the type of what a command of `bpf` makes; `None` if it makes neither map nor program.
pub fn bpf_type(command: u32, number: u32) -> Option<Cow<'static, str>> {
    let names: &[_] = match BPF_COMMANDS.get(command as usize) {
        Some(&"BPF_MAP_CREATE") => &BPF_MAP_TYPES,
        Some(&"BPF_PROG_LOAD") => &BPF_PROG_TYPES,
        _ => return None,
    };
    Some(name_or_number(names, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_names() {
        for (set, text) in [
            (0, "0"),
            (1, "CAP_CHOWN"),
            (1 << 21 | 1 << 12, "CAP_NET_ADMIN|CAP_SYS_ADMIN"),
            (1 << 40 | 1 << 63, "CAP_CHECKPOINT_RESTORE|0x8000000000000000"),
            (1 << 62, "0x4000000000000000"),
        ] {
            assert_eq!(Capabilities(set).to_string(), text);
        }
        assert!(Capabilities(0x1ff_ffff_ffff).all());
        assert!(!Capabilities(0xff_ffff_ffff).all());
        assert_eq!(ModuleFlags(3).to_string(), "MODULE_INIT_IGNORE_MODVERSIONS|MODULE_INIT_IGNORE_VERMAGIC");
    }

    #[test]
    fn commands_and_types_have_names() {
        assert_eq!(bpf_command(0), "BPF_MAP_CREATE");
        assert_eq!(bpf_command(10), "BPF_PROG_TEST_RUN");
        assert_eq!(bpf_command(35), "BPF_PROG_BIND_MAP");
        assert_eq!(bpf_command(4711), "4711");
        assert_eq!(bpf_type(0, 27).unwrap(), "BPF_MAP_TYPE_RINGBUF");
        assert_eq!(bpf_type(5, 31).unwrap(), "BPF_PROG_TYPE_SYSCALL");
        assert_eq!(bpf_type(5, 4711).unwrap(), "4711");
        assert_eq!(bpf_type(1, 0), None);
    }
}
