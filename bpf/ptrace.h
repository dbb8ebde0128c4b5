/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes ask of ptrace: each request, from the system call's entry to its return. In between the kernel
 * looks up the thread that it is about.
 */
#pragma once

#include "process.h"

#define PTRACE_TRACEME_REQUEST 0

static __always_inline int on_ptrace(void)
{
	struct process_record *record;
	struct user_call user;
	struct assembly *a = begin_call(EVENT_PTRACE, sizeof(*record), &user);

	if (!a)
		return 0;
	record = (struct process_record *)a->data;
	record->request = user.args[0];
	if (record->request == PTRACE_TRACEME_REQUEST) {
		/* Who becomes the tracer. */
		note_other(record, OF_TASK(real_parent));
	} else {
		record->facts = PROCESS_OTHER_PID | PROCESS_OTHER_TID;
		record->other_pid = user.args[1];
		record->other_tid = user.args[1];
	}
	keep_call(a);
	return 0;
}

/* Return of find_get_task_by_vpid(), which others call as well. */
static __always_inline int on_ptrace_target(__u64 task)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	if (task && a && ((struct record_header *)a->data)->kind == EVENT_PTRACE)
		note_other((struct process_record *)a->data, (struct task_struct *)task);
	return 0;
}
