/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes, as they begin and end.
 *
 * All ways to make one pass kernel_clone(); that it is made is seen in wake_up_new_task(), in the parent and
 * before the child can run, so no return is needed, which for vfork comes late. That a process ends is seen in
 * acct_collect(), which each thread passes on its way out while it still has its memory and its directories.
 */
#pragma once

#include "call.h"

/* Kernel constants that no header of ours gives. */
#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004
#define CLONE_THREAD_FLAG 0x00010000
#define USER32_CS 0x23
#define SYSCALL_CLONE3 435 /* by all doors */

#define SYSCALL_EXIT 60
#define SYSCALL_EXIT_GROUP 231
#define SYSCALL_EXIT_I386 1
#define SYSCALL_EXIT_GROUP_I386 252

/* What the system call clone3 takes, as far as we read it; include/uapi/linux/sched.h. */
struct clone3_arguments {
	__u64 flags;
	__u64 pidfd;
	__u64 child_tid;
	__u64 parent_tid;
	__u64 exit_signal;
};

static __always_inline __u64 cgroup_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

/* Fills in whom it is done to. */
static __always_inline void note_other(struct process_record *record, struct task_struct *task)
{
	record->facts |= PROCESS_OTHER_PID | PROCESS_OTHER_TID | PROCESS_OTHER_FOUND;
	record->other_pid = BPF_CORE_READ(task, tgid);
	record->other_tid = BPF_CORE_READ(task, pid);
	record->other_cgroup = cgroup_of(task);
	bpf_core_read(record->other_comm, COMM_LENGTH, &task->comm);
}

/* A process's id as the current task sees it. */
static __always_inline int id_in_namespace(struct task_struct *task)
{
	unsigned int level = OF_TASK(thread_pid, level);
	struct upid *number =
		(void *)BPF_CORE_READ(task, thread_pid) + bpf_core_field_offset(struct pid, numbers);

	number = (void *)number + level * bpf_core_type_size(struct upid);
	return BPF_CORE_READ(number, nr);
}

static __always_inline struct assembly *begin_fork(__u64 flags, __u32 signal, struct user_call *user)
{
	struct assembly *a = begin_call(EVENT_FORK, sizeof(struct process_record), user);
	struct process_record *record;

	if (!a)
		return 0;
	record = (struct process_record *)a->data;
	record->facts = PROCESS_FLAGS;
	record->flags = flags;
	record->signal = signal;
	return a;
}

static __always_inline int on_fork(struct kernel_clone_args *args)
{
	__u64 flags = BPF_CORE_READ(args, flags);
	struct user_call user;
	struct assembly *a;

	if (flags & CLONE_THREAD_FLAG || OF_TASK(flags) & PF_KTHREAD)
		return 0;
	a = begin_fork(flags, BPF_CORE_READ(args, exit_signal), &user);
	if (a)
		keep_call(a);
	return 0;
}

/* Threads, also those that io_uring makes for itself, come here as well. */
static __always_inline int on_new_task(void *ctx, struct task_struct *task)
{
	int pid = BPF_CORE_READ(task, tgid);
	struct process_record *record;
	struct assembly *a;

	if (pid != BPF_CORE_READ(task, pid))
		return 0;
	a = resume_call(EVENT_FORK);
	if (!a)
		return 0;
	drop_call(bpf_get_current_task());
	record = (struct process_record *)a->data;
	record->facts |= PROCESS_OTHER_PID | PROCESS_OTHER_FOUND;
	record->other_pid = pid;
	record->header.result = id_in_namespace(task);
	/* Only where CLONE_INTO_CGROUP put it elsewhere. */
	if (cgroup_of(task) != record->header.cgroup_id)
		record->other_cgroup = cgroup_of(task);
	a->finish = FINISH_SUBMIT;
	finish(ctx, a);
	return 0;
}

/* Return of kernel_clone(). That of clone3 comes a little later, and says of all its failures. */
static __always_inline int on_fork_return(void *ctx, int result)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	if (!a || ((struct record_header *)a->data)->syscall == SYSCALL_CLONE3)
		return 0;
	return end_call(ctx, EVENT_FORK, result);
}

/* What failed before kernel_clone() has no call under way: what it asked for is in the caller's memory. */
static __always_inline int on_clone3_return(void *ctx, int result)
{
	struct assembly *a = kept_call(bpf_get_current_task());
	struct clone3_arguments arguments = {};
	struct user_call user;
	int unread;

	if (result >= 0)
		return 0;
	if (a && ((struct record_header *)a->data)->kind == EVENT_FORK)
		return end_call(ctx, EVENT_FORK, result);
	user = user_call();
	unread = bpf_probe_read_user(&arguments, sizeof(arguments), (void *)user.args[0]);
	if (!unread && arguments.flags & CLONE_THREAD_FLAG)
		return 0;
	a = begin_fork(arguments.flags, arguments.exit_signal, &user);
	if (!a)
		return 0;
	if (unread)
		((struct process_record *)a->data)->facts = 0;
	((struct record_header *)a->data)->result = result;
	finish(ctx, a);
	return 0;
}

/*
 * What wait() says of the process. If not all threads ended together, that is the exit code of the first thread;
 * kernels that have synchronize_group_exit() make the last thread's the group's.
 */
static __always_inline int exit_code_of(struct task_struct *task, int code)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(task, signal, group_exit_code);
	return leader == task ? code : BPF_CORE_READ(leader, exit_code);
}

/*
 * The call that ended the process. Its last thread need not have made it: exit_group ends the others like a
 * signal does, wherever they are.
 */
static __always_inline void note_exit_call(struct record_header *header, int by_signal)
{
	struct user_registers registers = {};
	int is_exit =
		header->abi == ABI_I386 ?
			header->syscall == SYSCALL_EXIT_I386 || header->syscall == SYSCALL_EXIT_GROUP_I386 :
			header->syscall == SYSCALL_EXIT || header->syscall == SYSCALL_EXIT_GROUP;

	if (is_exit && !by_signal && header->abi != ABI_IO_URING)
		return;
	read_user_registers(&registers);
	header->abi = registers.cs == USER32_CS ? ABI_I386 : ABI_X86_64;
	if (by_signal)
		header->syscall = NO_SYSCALL;
	else
		header->syscall = header->abi == ABI_I386 ? SYSCALL_EXIT_GROUP_I386 : SYSCALL_EXIT_GROUP;
}

static __always_inline int on_thread_end(void *ctx, long code, int is_last)
{
	struct task_struct *task = current_task();
	struct process_record *record;
	struct user_call user;
	struct assembly *a;
	int exit_code;

	if (!is_last || OF_TASK(flags) & PF_KTHREAD)
		return 0;
	a = begin_call(EVENT_EXIT, sizeof(*record), &user);
	if (!a)
		return 0;
	record = (struct process_record *)a->data;
	exit_code = exit_code_of(task, code);
	record->status = exit_code >> 8 & 0xff;
	record->signal = exit_code & 0x7f;
	if (exit_code & 0x80)
		record->facts = PROCESS_CORE_DUMPED;
	note_exit_call(&record->header, record->signal);
	finish(ctx, a);
	return 0;
}
