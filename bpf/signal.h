/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals that processes send.
 *
 * The system calls are few and rare, so each is seen at its entry, with what it asks for, and at its return. In
 * between check_kill_permission() asks for each process found whether the caller may, and tells audit first: so
 * audit_signal_info() sees whom it concerns. A call that concerns many processes has a record for each, with the
 * answer for that one: kill, which does that, never lacks the room that queued signals need. All else has the
 * call's own result, also what concerned nobody.
 */
#pragma once

#include "process.h"

/* assembly.object */
#define SIGNAL_TO_MANY (1 << 0)	 /* the call may concern many */
#define SIGNAL_FOUND (1 << 1)	 /* a process was found */
#define SIGNAL_ANSWERED (1 << 2) /* whether it may be sent is in the header's result */
#define SIGNAL_NEXT (1 << 3)	 /* it is not the first */

struct signal_arguments {
	__u32 facts;
	__u32 pid;
	__u32 tid;
	__u32 signal;
	int fd;
};

/* What the call asks for; facts are 0 if it is none that sends a signal. */
static __always_inline struct signal_arguments signal_arguments(const struct user_call *call)
{
	struct signal_arguments asked = {};

	switch (call->abi << 16 | call->number) {
	case ABI_X86_64 << 16 | 62:  /* kill(pid, signal) */
	case ABI_X86_64 << 16 | 129: /* rt_sigqueueinfo(pid, signal, info) */
	case ABI_X32 << 16 | 62:
	case ABI_X32 << 16 | 524:
	case ABI_I386 << 16 | 37:
	case ABI_I386 << 16 | 178:
		asked.facts = PROCESS_OTHER_PID;
		asked.pid = call->args[0];
		asked.signal = call->args[1];
		break;
	case ABI_X86_64 << 16 | 200: /* tkill(tid, signal) */
	case ABI_X32 << 16 | 200:
	case ABI_I386 << 16 | 238:
		asked.facts = PROCESS_OTHER_TID;
		asked.tid = call->args[0];
		asked.signal = call->args[1];
		break;
	case ABI_X86_64 << 16 | 234: /* tgkill(pid, tid, signal) */
	case ABI_X86_64 << 16 | 297: /* rt_tgsigqueueinfo(pid, tid, signal, info) */
	case ABI_X32 << 16 | 234:
	case ABI_X32 << 16 | 536:
	case ABI_I386 << 16 | 270:
	case ABI_I386 << 16 | 335:
		asked.facts = PROCESS_OTHER_PID | PROCESS_OTHER_TID;
		asked.pid = call->args[0];
		asked.tid = call->args[1];
		asked.signal = call->args[2];
		break;
	case ABI_X86_64 << 16 | 424: /* pidfd_send_signal(fd, signal, info, flags) */
	case ABI_X32 << 16 | 424:
	case ABI_I386 << 16 | 424:
		asked.facts = PROCESS_FD;
		asked.fd = call->args[0];
		asked.signal = call->args[1];
		break;
	}
	return asked;
}

/* Begins the record of what the current system call does to one process. */
static __always_inline struct assembly *begin_signal(void)
{
	struct process_record *record;
	struct signal_arguments asked;
	struct user_call user;
	struct assembly *a = begin_call(EVENT_KILL, sizeof(*record), &user);

	if (!a)
		return 0;
	asked = signal_arguments(&user);
	if (!asked.facts)
		return 0;
	record = (struct process_record *)a->data;
	record->facts = asked.facts;
	record->other_pid = asked.pid;
	record->other_tid = asked.tid;
	record->signal = asked.signal;
	record->fd = asked.fd;
	a->object = 0;
	if (asked.facts & PROCESS_FD || (asked.facts == PROCESS_OTHER_PID && (int)asked.pid <= 0))
		a->object = SIGNAL_TO_MANY;
	return a;
}

/* Paths are looked up at once: of many that a call concerns, all but the last are sent as they are kept. */
static __always_inline int on_signal_call(void *ctx)
{
	struct assembly *a = begin_signal();

	if (a)
		finish_kept(ctx, a);
	return 0;
}

/* The signal call under way in the current task, to be read and changed where it is kept. */
static __always_inline struct assembly *kept_signal(void)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	return a && ((struct record_header *)a->data)->kind == EVENT_KILL ? a : 0;
}

/* The first process that a call concerns, or the next of many. */
static __always_inline int on_signal_target(void *ctx, struct task_struct *task)
{
	struct assembly *a = kept_signal();
	__u64 next = 0;

	if (a && !(a->object & SIGNAL_FOUND && a->object & SIGNAL_TO_MANY)) {
		/* Found again if it executed at this moment: the kernel looks once more. */
		a->object |= SIGNAL_FOUND;
		note_other((struct process_record *)a->data, task);
		return 0;
	}
	if (a) {
		next = SIGNAL_NEXT;
		if (a->object & SIGNAL_ANSWERED)
			send_kept(bpf_get_current_task(), ((struct record_header *)a->data)->result, 0);
	}
	a = begin_signal();
	if (!a)
		return 0;
	a->object |= SIGNAL_FOUND | next;
	note_other((struct process_record *)a->data, task);
	finish_kept(ctx, a);
	return 0;
}

/* Return of check_kill_permission(). */
static __always_inline int on_signal_answer(int result)
{
	struct assembly *a = kept_signal();

	if (!a || !(a->object & SIGNAL_FOUND))
		return 0;
	a->object |= SIGNAL_ANSWERED;
	((struct record_header *)a->data)->result = result;
	return 0;
}

/* Return of the system call. */
static __always_inline int on_signal_return(void *ctx, int result)
{
	struct assembly *a = kept_signal();

	if (!a)
		return 0;
	if (a->object & SIGNAL_NEXT && a->object & SIGNAL_ANSWERED)
		result = ((struct record_header *)a->data)->result;
	return end_call(ctx, EVENT_KILL, result);
}
