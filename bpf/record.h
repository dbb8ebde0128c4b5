/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a record begins. */
#pragma once

#include "task.h"

static __always_inline void want_exe(struct assembly *a)
{
	want_path(a, STRING_EXE, OF_TASK(mm, exe_file, f_path.mnt), OF_TASK(mm, exe_file, f_path.dentry));
}

/*
 * By what a call is kept: by its task. What may happen within another call, as a datagram that is sent by
 * write(), has a key of its own: no task lies at an odd address.
 */
static __always_inline __u64 call_key(enum event_kind kind)
{
	return bpf_get_current_task() | (kind == EVENT_UDP_SEND);
}

/*
 * Begins a record with everything about the calling process, of which `slot` is what is kept, or 0. `size` is that of
 * the record's fixed part, which is zeroed.
 */
static __always_inline struct assembly *begin_record_of(const struct task_slot *slot, enum event_kind kind,
							const struct origin *origin, __u32 size)
{
	struct assembly *a = assembly_in(own_workspace());
	__u64 ids = bpf_get_current_pid_tgid();
	__u64 users = bpf_get_current_uid_gid();
	struct record_header *header;

	if (!a) {
		count_lost_state(origin->target, kind);
		return 0;
	}
	header = (struct record_header *)a->data;
	__builtin_memset(a->paths, 0, sizeof(a->paths));
	__builtin_memset(a->data, 0, size);
	a->end = size;
	a->finish = FINISH_SUBMIT;
	a->key = call_key(kind);
	a->counted = 0;
	a->capture = kind == EVENT_READ || kind == EVENT_WRITE ? origin->capture : 0;
	a->undecided = 0;
	a->identified = 0;
	a->finished = 0;
	header->kind = kind;
	header->flags = origin->flags;
	header->timestamp = origin->timestamp;
	header->cgroup_id = origin->cgroup_id;
	header->target = origin->target;
	header->share = origin->share;
	header->pid = ids >> 32;
	header->tid = (__u32)ids;
	header->ppid = OF_TASK(real_parent, tgid);
	header->uid = (__u32)users;
	header->gid = users >> 32;
	header->auid = OF_TASK(loginuid.val);
	header->session = OF_TASK(sessionid);
	header->mnt_ns = OF_TASK(nsproxy, mnt_ns, ns.inum);
	header->syscall = origin->syscall;
	header->abi = origin->abi;
	bpf_get_current_comm(header->comm, COMM_LENGTH);
	copy_invocation(header->invocation, origin->invocation);
	if (!slot || !append_known_exe(a, slot, size))
		want_exe(a);
	return a;
}

static __always_inline struct assembly *begin_record(enum event_kind kind, const struct origin *origin,
						     __u32 size)
{
	return begin_record_of(slot_of(bpf_get_current_task()), kind, origin, size);
}
