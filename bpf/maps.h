/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps, and the few values that the daemon sets or reads beside them. Sizes are set before loading. */
#pragma once

#include <bpf/bpf_helpers.h>

#include "events.h"

/* Records on their way to the journal. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

/* News of control groups: a ring of their own, so that a flood of records cannot drown them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} group_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct group);
} groups SEC(".maps");

/* What was in `groups` of those that are removed: their connections may end after them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct group);
} removed_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct name_key);
	__type(value, struct name_value);
} names SEC(".maps");

/* By number of the state. As many as the patterns need; the daemon replaces all at once. */
struct pattern_states {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pattern_state);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct pattern_states);
} patterns SEC(".maps");

/* How many processors there may be. */
const volatile __u32 processors = 1;

/* By target and processor; read where it is mapped, see access.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct target_counters);
} counters SEC(".maps");

/* See has_room() in common.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARES);
	__type(key, __u32);
	__type(value, struct share);
} shares SEC(".maps");

/* Bytes that the ring has. */
const volatile __u64 ring_size = 8 << 20;

/* Bytes in the ring at which its reader is woken at once. */
const volatile __u64 high_water = 1 << 20;

/*
 * Set by the reader before it sleeps without a timer; the first record then wakes it. While it is 0 the
 * reader looks at the ring by itself every flush interval, and waking it would be wasted work.
 */
__u64 reader_sleeps = 0;

/*
 * News of control groups that found no room, so that the daemon looks at all of them anew. The kernel makes and
 * releases one group at a time, so it is simply added to.
 */
__u64 group_news_lost = 0;

/*
 * Whose work is not recorded, see watched_of(): threads as bpf_get_current_pid_tgid() has them, 0 is none. First the
 * daemon's event loop, set by the daemon while it waits for records, reads and sends them.
 */
__u64 own_thread = 0;

/* journald's main thread, while it handles what the daemon has sent, and its process: see journald.h. */
__u64 handling_thread = 0;
__u64 handling_process = 0;

/* The daemon's process, and that of the daemon before, of which something may still wait in journald's socket. */
__u64 own_process = 0;
__u64 former_process = 0;

/* Keeps the record types in the object's BTF, from which the daemon's types are made. */
struct record_types {
	struct open_record open;
	struct exec_record exec;
	struct file_record file;
	struct process_record process;
	struct credentials_record credentials;
	struct socket_record socket;
	struct bpf_record bpf;
	struct group_record group;
	struct pattern_state pattern;
	enum event_kind kind;
	enum limits limits;
	enum abi abi;
	enum string_slot slot;
	enum string_state state;
	enum record_flags flags;
	enum process_facts facts;
	enum targets targets;
	enum group_change change;
	enum accessed_map accessed;
	enum map_operation operation;
};
const volatile struct record_types *record_types_in_btf = 0;
