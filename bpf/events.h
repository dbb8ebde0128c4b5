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
	EVENT_EXEC,
	EVENT_FORK,
	EVENT_EXIT,
	EVENT_OPEN,
	EVENT_CLOSE,
	EVENT_READ,
	EVENT_WRITE,
	EVENT_MKDIR,
	EVENT_RMDIR,
	EVENT_UNLINK,
	EVENT_RENAME,
	EVENT_LINK,
	EVENT_SYMLINK,
	EVENT_MKNOD,
	EVENT_TRUNCATE,
	EVENT_CHMOD,
	EVENT_CHOWN,
	EVENT_SETXATTR,
	EVENT_MOUNT,
	EVENT_UMOUNT,
	EVENT_TCP_CONNECT,
	EVENT_TCP_ACCEPT,
	EVENT_TCP_CLOSE,
	EVENT_LISTEN,
	EVENT_BIND,
	EVENT_UDP_SEND,
	EVENT_UNIX_CONNECT,
	EVENT_SETUID,
	EVENT_SETGID,
	EVENT_CAPSET,
	EVENT_PTRACE,
	EVENT_KILL,
	EVENT_BPF,
	EVENT_MODULE_LOAD,
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
	/* No id, descriptor or process: what calls take as -1, too. */
	NO_NUMBER = 0xffffffff,
	/* The most bytes of data that a policy may ask for. */
	CAPTURE_MAX = 4096,
	/* Units whose groups' ids leave the same rest have a share of the ring together. */
	SHARES = 1 << 14,
	/* One for the programs of kprobes, and for as many as are under way on a processor of those of trampolines. */
	WORKSPACES = 5,
	/* States of all patterns together. */
	PATTERN_STATES = 1 << 12,
	/* The state in which the automaton begins. */
	PATTERN_START = 1,
	/* Names of units are ASCII. */
	NAME_BYTES = 128,
	/* A unit's records may take so many times what is left free. */
	SHARE_OF_FREE = 2,
	/* From the high-water mark of the ring on its reader is woken so many times until there is twice as much. */
	HIGH_WATER_STEPS = 16,
	/* What a record takes of the ring is a multiple of this, and has this much before it. */
	RECORD_ALIGNMENT = 8,
};

/* The door through which the call came. */
enum abi {
	ABI_X86_64,
	ABI_I386,
	ABI_X32,
	ABI_IO_URING,
};

/*
 * The strings that may follow a record's fixed part, wherever its header says. Those that are looked up from a
 * place in the kernel's tree of files come first.
 */
enum string_slot {
	STRING_EXE,	 /* executable of the process */
	STRING_PATH,	 /* resolved path */
	STRING_BASE,	 /* directory from which a relative PATH_ARG was to be resolved */
	STRING_NEW_PATH, /* the same of a call's second path */
	STRING_NEW_BASE,
	PATH_SLOTS,
	STRING_PATH_ARG = PATH_SLOTS, /* path as the program passed it, as the kernel copied it */
	STRING_NEW_PATH_ARG,
	STRING_INTERPRETER, /* interpreter of a script */
	STRING_ARGV,	    /* arguments, each with its NUL */
	STRING_NAME,	    /* what the event names that is no path: attribute, file system, module, socket */
	STRING_DATA,	    /* bytes read or written */
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
	/* Done by systemd before the unit's own program runs. */
	RECORD_SET_UP = 1 << 4,
	/* NAME is a name in the abstract namespace of unix sockets. */
	RECORD_ABSTRACT = 1 << 5,
	/* What was asked for could not be read. */
	RECORD_NOT_READ = 1 << 6,
	/* The call knows no error: its result is a number without sign. */
	RECORD_UNSIGNED = 1 << 7,
	/* The address that an event of @network is about is not known. */
	RECORD_NO_ADDRESS = 1 << 8,
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
	__u16 share; /* index into `shares` */
	__u16 reserved[2];
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

/* All events of @file but open; what a member says depends on the event, and is 0 where it says nothing. */
struct file_record {
	struct record_header header;
	struct file_identity file;
	__u64 size; /* truncate: length asked for; read, write: bytes asked for; setxattr: bytes of the value */
	__s32 fd;   /* NO_NUMBER: the call has none */
	/* mkdir, mknod, chmod: as asked for, type included; setxattr: AT_*; mount: MOUNT_ATTR_* to be set */
	__u32 mode;
	__u32 flags;
	__u32 uid; /* chown: owner asked for, NO_NUMBER to leave it */
	__u32 gid;
	__u32 device_major; /* mknod; mount: MOUNT_ATTR_* to be cleared */
	__u32 device_minor; /* mknod; mount: kind of propagation to be set, MS_* */
	__u32 reserved;
};

/* What a process_record has. */
enum process_facts {
	PROCESS_FLAGS = 1 << 0,
	PROCESS_OTHER_PID = 1 << 1,
	PROCESS_OTHER_TID = 1 << 2,
	PROCESS_OTHER_FOUND =
		1 << 3, /* the other process is there; else its ids are those that were passed */
	PROCESS_FD = 1 << 4,
	PROCESS_CORE_DUMPED = 1 << 5,
};

/* fork, exit, kill, ptrace */
struct process_record {
	struct record_header header;
	__u64 flags;	    /* fork: CLONE_* */
	__u64 other_cgroup; /* control group of the other process; 0 if there is none */
	__u32 facts;	    /* enum process_facts */
	__u32 other_pid;    /* fork: child; kill, ptrace: whom it is done to */
	__u32 other_tid;
	__s32 fd;      /* kill: that names the process */
	__u32 status;  /* exit: what was passed to exit() */
	__u32 signal;  /* exit: that ended it; kill: that was sent; fork: that tells of the child's end */
	__u32 request; /* ptrace: PTRACE_* */
	__u32 reserved;
	__u8 other_comm[COMM_LENGTH];
};

/* setuid, setgid, capset: what the process has afterwards, or asked for if it failed */
struct credentials_record {
	struct record_header header;
	__u64 effective; /* capabilities */
	__u64 permitted;
	__u64 inheritable;
	__u32 id; /* real; NO_NUMBER to leave it */
	__u32 effective_id;
	__u32 saved_id;
	__u32 file_system_id;
};

/* All events of @network */
struct socket_record {
	struct record_header header;
	__u64 bytes_in; /* tcp-close */
	__u64 bytes_out;
	__u64 duration;	   /* tcp-close: since it was established, ns; 0 if that was not seen */
	__u64 peer_cgroup; /* control group of the other end, if that is on this machine */
	__u32 peer_pid;
	__u32 peer_reserved;
	__u8 source[16]; /* network order; IPv4 in the first four */
	__u8 destination[16];
	__u16 source_port; /* host order */
	__u16 destination_port;
	__u32 family; /* AF_* */
	__u32 type;   /* SOCK_* */
	__u32 net_ns;
	__s32 fd;
	__s32 backlog;		   /* listen */
	struct file_identity file; /* of a unix socket with a path */
};

/* bpf */
struct bpf_record {
	struct record_header header;
	__u32 command; /* BPF_* of enum bpf_cmd */
	__u32 type;    /* of the program or map */
};

/* Map `groups`: control-group id to what is watched in it. */
struct group {
	__u64 events;  /* bit n: the event of number n */
	__u32 target;  /* index into `counters`, and the daemon's table of watches */
	__u16 capture; /* bytes of data that read and write records have */
	__u16 set_up;  /* 1: what systemd does before the unit's program runs is recorded, too */
	__u16 share;   /* index into `shares`, by the id of the unit's own group: all below have it, too */
	__u16 reserved[3];
	__u8 invocation[INVOCATION_LENGTH];
};

/*
 * Map `names`: which target a new group of this name gets below a group of that target. The name is a unit's; or a
 * template's, for its instances which match these patterns; or none, for any other unit which matches them.
 */
struct name_key {
	__u32 parent_target; /* NO_TARGET where the parent is not watched */
	__u32 patterns;	     /* `matched` of the state that the name of the unit leads to */
	__u8 name[UNIT_NAME_LENGTH];
};

enum targets {
	NO_TARGET = 0,
};

/* Map `patterns`: a state of the automaton of all watched patterns; state 0 is the one from which nothing matches. */
struct pattern_state {
	__u32 matched; /* number of the set of patterns that match a name which ends here; 0 is none */
	__u32 reserved;
	__u16 next[NAME_BYTES]; /* the state after each byte */
};

struct name_value {
	__u64 events;
	__u32 target;
	__u16 capture;
	__u16 set_up;
};

/* Map `map_access`: what the daemon has the program access_map do. */
enum accessed_map {
	ACCESS_NAMES,
	ACCESS_GROUPS,
	/* Of these it only removes. */
	ACCESS_REMOVED_GROUPS,
	ACCESS_LISTENERS,
	ACCESS_SERVERS,
	ACCESS_CLIENTS,
	ACCESS_CONNECTS,
	ACCESS_CONNECTIONS,
	ACCESS_ESTABLISHED,
	ACCESS_TASKS,
	ACCESS_CALLS,
	ACCESS_MARKS,
};

enum map_operation {
	ACCESS_READ,
	ACCESS_SET,
	ACCESS_REMOVE,
};

struct map_access {
	__u32 map;	 /* enum accessed_map */
	__u32 operation; /* enum map_operation */
	__u8 key[sizeof(struct name_key)];
	__u8 value[sizeof(struct group)];
};

/* Map `counters`, per CPU, by target. */
struct counters {
	__u64 seen;
	__u64 lost_ring;
	__u64 lost_state;
	__u64 results_missed;
};

struct target_counters {
	struct counters events[EVENT_COUNT];
};

/* Map `shares`: what the records of a unit take of the ring, in bytes. Neither number ever goes back. */
struct share {
	__u64 written;	/* by the kernel side */
	__u64 released; /* by the daemon */
};

/* Ring `group_ring`: how the daemon hears of control groups. */
enum group_change {
	GROUP_ADDED,
	GROUP_REMOVED,
	GROUP_NOT_ADDED, /* no room in `groups` */
	GROUP_UNWATCHED, /* a new one, in which nothing is watched */
};

struct group_record {
	__u64 cgroup_id;
	__u32 change; /* enum group_change */
	__u32 target;
	__u32 path_length; /* path follows */
	__u32 reserved;
};
