/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon reads and changes of maps while programs are attached. It has a program do it: while a system call is
 * at a map, the kernel starts no program of a kprobe on that processor (bpf_disable_instrumentation()), neither for
 * what interrupts nor for what preempts the daemon there, and so would lose events.
 */
#pragma once

#include <linux/errno.h>

#include "call.h"
#include "connect.h"
#include "connection.h"
#include "group.h"
#include "peer.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_access);
} map_access SEC(".maps");

static __always_inline int read_value(void *to, const void *value, __u32 size)
{
	if (!value)
		return -ENOENT;
	__builtin_memcpy(to, value, size);
	return 0;
}

static __always_inline int access_names(struct map_access *a)
{
	if (a->operation == ACCESS_READ)
		return read_value(a->value, bpf_map_lookup_elem(&names, a->key), sizeof(struct name_value));
	if (a->operation == ACCESS_SET)
		return bpf_map_update_elem(&names, a->key, a->value, BPF_ANY);
	return bpf_map_delete_elem(&names, a->key);
}

static __always_inline int access_groups(struct map_access *a)
{
	struct group *new = (struct group *)a->value;
	__u64 id = *(__u64 *)a->key;
	struct group *group;

	if (a->operation == ACCESS_REMOVE)
		return remove_group(id);
	group = bpf_map_lookup_elem(&groups, &id);
	if (a->operation == ACCESS_READ)
		return read_value(a->value, group, sizeof(*group));
	/* An invocation id that is noted by the kernel side stays. */
	if (group && group->invocation[0])
		__builtin_memcpy(new->invocation, group->invocation, sizeof(new->invocation));
	return enter_group(id, new);
}

/* 0, or the negative number of an error. Of most maps the daemon only removes. */
static __always_inline int on_map_access(struct map_access *a)
{
	switch (a->map) {
	case ACCESS_NAMES:
		return access_names(a);
	case ACCESS_GROUPS:
		return access_groups(a);
	case ACCESS_REMOVED_GROUPS:
		return take_out(&removed_groups, &removed_filter, *(__u64 *)a->key);
	case ACCESS_LISTENERS:
		return bpf_map_delete_elem(&listeners, a->key);
	case ACCESS_SERVERS:
		return bpf_map_delete_elem(&servers, a->key);
	case ACCESS_CLIENTS:
		return bpf_map_delete_elem(&clients, a->key);
	case ACCESS_CONNECTS:
		return forget_connect(*(__u64 *)a->key);
	case ACCESS_CONNECTIONS:
		return forget_connection(*(__u64 *)a->key);
	case ACCESS_ESTABLISHED:
		return bpf_map_delete_elem(&established, a->key);
	case ACCESS_TASKS:
		return remove_task(*(__u64 *)a->key);
	case ACCESS_CALLS:
		forget_call(*(__u64 *)a->key);
		return 0;
	case ACCESS_MARKS:
		remove_mark(*(__u64 *)a->key);
		return 0;
	}
	return -EINVAL;
}
