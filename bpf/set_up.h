/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What systemd does in a unit's control group before the unit's own program runs: its child there opens, mounts
 * and sets ids. That is not the unit's doing.
 *
 * A child of process 1 is marked when it is made; the mark goes with the first program that it executes, the
 * unit's. Since systemd 254 there is one before, systemd-executor, which does most of the set-up. Nobody but
 * process 1 can make such a child, so no unit can hide behind a mark.
 *
 * Its own children are helpers, and so is what they execute, as PAM's unix_chkpwd. But one in a process namespace
 * of its own goes on in their parent's place: PrivatePIDs= is made so.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

enum set_up {
	SET_UP_NOT,
	SET_UP_FORKED,	  /* still runs what process 1 does */
	SET_UP_EXECUTING, /* is about to run systemd-executor */
	SET_UP_EXECUTED,  /* runs it, or goes on in its place */
	SET_UP_HELPER,	  /* made by one of the above; for good */
};

/* By task. Without room for a mark, what the child does is recorded as the unit's: nothing is hidden. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u32);
} set_up_tasks SEC(".maps");

/* How many there are: mostly none. */
__u64 set_up_count = 0;

static __always_inline void remove_mark(__u64 task)
{
	if (set_up_count && !bpf_map_delete_elem(&set_up_tasks, &task))
		__sync_fetch_and_add(&set_up_count, -1);
}

static __always_inline void mark_task(__u64 task, __u32 state)
{
	__sync_fetch_and_add(&set_up_count, 1);
	/* What is there is of a task before, at the same address. */
	remove_mark(task);
	if (bpf_map_update_elem(&set_up_tasks, &task, &state, BPF_NOEXIST))
		__sync_fetch_and_add(&set_up_count, -1);
}

static __always_inline __u32 *find_mark(__u64 task)
{
	return set_up_count ? bpf_map_lookup_elem(&set_up_tasks, &task) : 0;
}

static __always_inline enum set_up set_up_of(__u64 task)
{
	__u32 *state = find_mark(task);

	return state ? *state : SET_UP_NOT;
}

/* wake_up_new_task(): the parent is at work, the child has not run yet. */
static __always_inline int on_task_made(struct task_struct *made)
{
	struct task_struct *parent = (void *)bpf_get_current_task();
	__u64 task = (__u64)made;
	__u32 state = set_up_of((__u64)parent);

	if (state)
		state = BPF_CORE_READ(made, thread_pid, level) == BPF_CORE_READ(parent, thread_pid, level) ?
				SET_UP_HELPER :
				SET_UP_EXECUTED;
	if (!state && bpf_get_current_pid_tgid() >> 32 == 1 && BPF_CORE_READ(made, tgid) != 1)
		state = SET_UP_FORKED;
	if (state)
		mark_task(task, state);
	return 0;
}

static __always_inline int on_task_gone(void)
{
	__u64 task = bpf_get_current_task();

	remove_mark(task);
	return 0;
}

static __always_inline int starts_with(const void *text, const char *beginning, __u32 size)
{
	char copy[32] = {};

	bpf_probe_read_kernel_str(copy, sizeof(copy), text);
	for (__u32 i = 0; i < size && i < sizeof(copy); i++)
		if (copy[i] != beginning[i])
			return 0;
	return 1;
}

/* Process 1 holds it open and executes it by descriptor, as it does no unit's program. */
static __always_inline int is_executor(struct linux_binprm *bprm)
{
	const char by_descriptor[] = "/proc/self/fd/", executor[] = "systemd-executor";

	/* The second with its NUL: to the end. */
	return starts_with(BPF_CORE_READ(bprm, filename), by_descriptor, sizeof(by_descriptor) - 1) &&
	       starts_with(BPF_CORE_READ(bprm, file, f_path.dentry, d_name.name), executor, sizeof(executor));
}

/* security_bprm_check(): the file is known, and nothing has changed yet. */
static __always_inline void check_set_up(struct linux_binprm *bprm)
{
	__u64 task = bpf_get_current_task();
	__u32 *state = find_mark(task);

	if (!state)
		return;
	if (*state == SET_UP_EXECUTING)
		*state = SET_UP_FORKED; /* an attempt that failed */
	if (*state == SET_UP_FORKED && is_executor(bprm))
		*state = SET_UP_EXECUTING;
}

/* finalize_exec(): true if what was executed is systemd-executor or a helper, and not the unit's program. */
static __always_inline int settle_set_up(void)
{
	__u64 task = bpf_get_current_task();
	__u32 *state = find_mark(task);

	if (!state)
		return 0;
	if (*state == SET_UP_HELPER)
		return 1;
	if (*state == SET_UP_EXECUTING) {
		*state = SET_UP_EXECUTED;
		return 1;
	}
	remove_mark(task);
	return 0;
}
