/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that the kernel side and the daemon share: records, map keys and values. This is their only
 * definition; the daemon's Rust types are made from it at build time through the object's BTF.
 *
 * Rules: explicit widths, no bool, no size_t, no hidden padding, lengths beside what they measure.
 */
#pragma once

#include <linux/types.h>

/* The order is that of EVENTS in daemon/src/event.rs; a test there compares the two. */
enum event_kind {
	EVENT_OPEN,
	EVENT_EXEC,
	EVENT_TCP_CONNECT,
	EVENT_COUNT,
};

enum limits {
	/* Longest string in a record, its NUL not counted; PATH_MAX of the kernel. */
	STRING_MAX = 4096,
	/* Longest executable path that is kept while a connection is being made. */
	KEPT_EXE_MAX = 512,
	COMM_LENGTH = 16,
	INVOCATION_LENGTH = 32,
	/* Longest unit name and its NUL, UNIT_NAME_MAX of systemd. */
	UNIT_NAME_LENGTH = 256,
	/* What a control group's path may have: the tracepoint's own buffer. */
	CGROUP_PATH_MAX = 1024,
	/* No system call number is known: a kernel thread, or a task of io_uring. */
	NO_SYSCALL = 0xffffffff,
};

/* The door through which the call came. */
enum abi {
	ABI_X86_64,
	ABI_I386,
	ABI_X32,
	ABI_IO_URING,
};

/* The strings that may follow a record's fixed part, wherever its header says. */
enum string_slot {
	STRING_EXE,	    /* executable of the process */
	STRING_PATH,	    /* resolved path */
	STRING_PATH_ARG,    /* path as the program passed it, as the kernel copied it */
	STRING_BASE,	    /* directory from which a relative PATH_ARG was to be resolved */
	STRING_INTERPRETER, /* interpreter of a script */
	STRING_ARGV,	    /* arguments, each with its NUL */
	STRING_COUNT,
};

enum string_state {
	STRING_TRUNCATED = 1 << 0,
	/* Names of files: */
	STRING_DELETED = 1 << 1,     /* the file has no link any more */
	STRING_UNREACHABLE = 1 << 2, /* not below the process's root */
	STRING_ANONYMOUS = 1 << 3,   /* no place in any tree: pipe, socket, memfd */
};

enum record_flags {
	RECORD_RESULT_MISSED = 1 << 0,
	/* The socket does not block, so the call returned EINPROGRESS; the result is that of the connection. */
	RECORD_ASYNC = 1 << 1,
	/* PATH_ARG has "/dev/fd/N" before what the program passed. */
	RECORD_FD_PATH = 1 << 2,
	/* Opened into a table of io_uring: the result is no descriptor. */
	RECORD_NO_FD = 1 << 3,
};

/* What every record begins with. The strings follow the fixed part of its kind, in any order. */
struct record_header {
	__u32 kind; /* enum event_kind */
	__u32 flags;
	__u64 timestamp; /* CLOCK_BOOTTIME, ns */
	__u64 cgroup_id;
	__u32 target;
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u32 auid;
	__u32 session;
	__u32 mnt_ns;
	__u32 syscall;
	__u32 abi;
	__s32 result; /* what the kernel returned; nothing if RECORD_RESULT_MISSED */
	__u8 comm[COMM_LENGTH];
	__u8 invocation[INVOCATION_LENGTH];
	__u16 string_offset[STRING_COUNT]; /* from the record's beginning */
	__u16 string_length[STRING_COUNT];
	__u16 string_state[STRING_COUNT];
	__u32 reserved;
};

/* What is said of a file that was found. */
struct file_identity {
	__u64 inode;
	__u32 major;
	__u32 minor;
};

struct open_record {
	struct record_header header;
	struct file_identity file;
	__u32 flags; /* O_*, as the kernel used them */
	__u32 mode;  /* permission bits asked for */
};

struct exec_record {
	struct record_header header;
	struct file_identity file;
	__u32 argc;
	__u32 reserved;
};

struct tcp_connect_record {
	struct record_header header;
	__u8 source[16]; /* network order; IPv4 in the first four */
	__u8 destination[16];
	__u16 source_port; /* host order */
	__u16 destination_port;
	__u32 family; /* AF_INET, AF_INET6 */
	__u32 net_ns;
	__u32 reserved;
};

/* Map `groups`: control-group id to what is watched in it. */
struct group {
	__u64 events; /* bit n: the event of number n */
	__u32 target; /* index into `counters`, and the daemon's table of watches */
	__u32 reserved;
	__u8 invocation[INVOCATION_LENGTH];
};

/* Map `names`: which target a new group of this name gets below a group of that target. */
struct name_key {
	__u32 parent_target; /* NO_TARGET where the parent is not watched */
	__u8 name[UNIT_NAME_LENGTH];
};

enum targets {
	NO_TARGET = 0,
};

struct name_value {
	__u64 events;
	__u32 target;
	__u32 reserved;
};

/* Map `counters`, per CPU, at target * EVENT_COUNT + event. */
struct counters {
	__u64 seen;
	__u64 lost_ring;
	__u64 lost_state;
	__u64 results_missed;
};

/* Ring `group_ring`: how the daemon hears of control groups. */
enum group_change {
	GROUP_ADDED,
	GROUP_REMOVED,
	GROUP_NOT_ADDED, /* no room in `groups` */
};

struct group_record {
	__u64 cgroup_id;
	__u32 change; /* enum group_change */
	__u32 target;
	__u32 path_length; /* path follows; none for GROUP_REMOVED */
	__u32 reserved;
};
