/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening files.
 *
 * do_filp_open() is where all ways to open by name meet, io_uring's included: there the watch is decided and
 * the name is the kernel's copy. Success ends in fd_install(), which has both the descriptor and the file:
 * so an open that succeeded needs no return probe. Failure ends in put_unused_fd() while the kernel's copy of
 * the name is still there, and its errno comes with the return of do_sys_openat2(). If that return is missed
 * (all instances of the kretprobe in use, say by openers of FIFOs), the record is written without result.
 */
#pragma once

#include "path.h"

#define O_CLOEXEC_BIT 02000000
#define OPEN_FMODE_EXEC 0x20
#define OPEN_NONBLOCK 04000
/* What open clears in f_flags when it is done with it: O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC. */
#define OPEN_ONCE_FLAGS (0100 | 0200 | 0400 | 01000)
#define EAGAIN_NUMBER 11
#define SYSCALL_OPENAT2 437 /* by all doors */
#define CLOEXEC_UNKNOWN 1

struct open_name {
	__u32 length; /* with its NUL */
	__u8 text[STRING_MAX + 1];
	__u8 padding[3];
};

/* Names of failed opens between put_unused_fd() and the return, a few instructions later. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, struct open_name);
} open_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_name);
} open_name_scratch SEC(".maps");

/* The beginning of struct open_flags, as it is in every kernel until now. */
struct asked_open {
	__u32 flags;
	__u16 mode;
	__u16 reserved;
};

static __always_inline struct asked_open read_asked(const struct open_flags *op)
{
	struct asked_open asked = {};

	if (bpf_core_field_offset(struct open_flags, open_flag) == offsetof(struct asked_open, flags) &&
	    bpf_core_field_offset(struct open_flags, mode) == offsetof(struct asked_open, mode)) {
		bpf_probe_read_kernel(&asked, sizeof(asked), op);
		return asked;
	}
	asked.flags = BPF_CORE_READ(op, open_flag);
	asked.mode = BPF_CORE_READ(op, mode);
	return asked;
}

/* The path argument of an opening system call, and its flags as far as registers have them. */
static __always_inline __u64 open_path_argument(const struct user_call *call, __u32 *flags)
{
	switch (call->abi == ABI_I386 ? call->number | 0x10000 : call->number) {
	case 2: /* open */
	case 0x10000 | 5:
		*flags = call->args[1];
		return call->args[0];
	case 85: /* creat */
	case 0x10000 | 8:
		*flags = 01 | 0100 | 01000;
		return call->args[0];
	case 257: /* openat */
	case 0x10000 | 295:
		*flags = call->args[2];
		return call->args[1];
	case SYSCALL_OPENAT2:
	case 0x10000 | SYSCALL_OPENAT2:
		bpf_probe_read_user(flags, sizeof(*flags), (void *)call->args[2]);
		return call->args[1];
	}
	return 0;
}

/* In a register it is what the kernel uses; what openat2 has in memory may change. */
static __always_inline __u32 cloexec_asked(const struct user_call *user)
{
	__u32 flags;

	if (user->number != SYSCALL_OPENAT2 && open_path_argument(user, &flags))
		return flags & O_CLOEXEC_BIT;
	return CLOEXEC_UNKNOWN;
}

static __always_inline int is_openat(const struct user_call *call)
{
	return call->number == SYSCALL_OPENAT2 || call->number == (call->abi == ABI_I386 ? 295 : 257);
}

/* The open that a task is in. */
static __always_inline struct open_call *call_in(struct task_slot *slot)
{
	return slot && slot->open.progress != OPEN_NONE ? &slot->open : 0;
}

/* Begins the record of an open that failed, or whose result is not known; the name is the last to be had. */
static __always_inline struct assembly *failed_open(const struct task_slot *slot,
						    const struct open_call *call, __u64 task, __u64 user_path,
						    __s32 result, __u32 record_flags)
{
	struct assembly *a = begin_record_of(slot, EVENT_OPEN, &call->origin, sizeof(struct open_record));
	struct open_record *record;
	struct open_name *name;

	if (!a)
		return 0;
	record = (struct open_record *)a->data;
	record->header.flags |= record_flags;
	record->header.result = result;
	record->flags = call->flags;
	record->mode = call->mode;
	want_base(a, STRING_BASE, call->dfd);
	name = call->named ? bpf_map_lookup_elem(&open_names, &task) : 0;
	if (name)
		append_string(a, STRING_PATH_ARG, name->text, 0);
	else
		append_string(a, STRING_PATH_ARG, (void *)user_path, 1);
	return a;
}

static __always_inline void end_open_call(struct task_slot *slot, __u64 task)
{
	if (slot->open.named)
		bpf_map_delete_elem(&open_names, &task);
	rest_task(slot, task);
}

static __always_inline void keep_open_name(struct open_call *call, __u64 task)
{
	struct filename *given = (struct filename *)call->name;
	struct open_name *name;
	__u32 workspace;
	long length;

	if (!given || call->named)
		return;
	workspace = own_workspace();
	name = bpf_map_lookup_elem(&open_name_scratch, &workspace);
	if (!name)
		return;
	length = bpf_probe_read_kernel_str(name->text, sizeof(name->text), BPF_CORE_READ(given, name));
	if (length <= 0)
		return;
	name->length = length;
	if (!bpf_map_update_elem(&open_names, &task, name, BPF_ANY))
		call->named = 1;
}

/* No room to hold the call: the record is written at once, without its result. */
static __always_inline void tell_unheld(void *ctx, struct open_call *call, __u64 task)
{
	struct assembly *a;

	keep_open_name(call, task);
	a = failed_open(0, call, task, 0, 0, RECORD_RESULT_MISSED);
	bpf_map_delete_elem(&open_names, &task);
	if (a)
		finish(ctx, a);
}

static __always_inline void begin_open_call(void *ctx, struct task_slot *slot, struct open_call *call,
					    __u64 task)
{
	if (!slot)
		slot = enter_task(task);
	if (slot)
		slot->open = *call;
	else
		tell_unheld(ctx, call, task);
}

/*
 * A call that was left behind. If it failed, its return was missed: the record is sent, without the paths
 * that only the finisher looks up, since the caller goes on. Opens by the kernel itself end like this unseen.
 */
static __always_inline void settle_open(struct task_slot *slot, __u64 task)
{
	struct open_call *call = call_in(slot);
	struct assembly *a;

	if (!call)
		return;
	if (call->progress == OPEN_FAILED) {
		a = failed_open(slot, call, task, 0, 0, RECORD_RESULT_MISSED);
		if (a)
			submit(a);
	}
	/* It goes on to be the task's. */
	if (call->named)
		bpf_map_delete_elem(&open_names, &task);
	call->progress = OPEN_NONE;
}

/* io_uring does not block at first, for which it adds O_NONBLOCK; and it keeps O_CLOEXEC to itself. */
static __always_inline __u32 asked_of_uring(struct io_open *open, __u32 flags)
{
	__u64 asked;

	if (!bpf_core_field_exists(open->how))
		return flags;
	asked = BPF_CORE_READ(open, how.flags);
	return (flags & ~OPEN_NONBLOCK) | (asked & (OPEN_NONBLOCK | O_CLOEXEC_BIT));
}

static __always_inline int on_filp_open(void *ctx, int dfd, struct filename *name,
					const struct open_flags *op)
{
	struct open_call call = { .progress = OPEN_UNDER_WAY }, *known;
	struct task_slot *slot;
	struct user_call user;
	struct asked_open asked;
	__u64 task;

	if (!watched(EVENT_OPEN, &call.origin))
		return 0;
	asked = read_asked(op);
	if (asked.flags & OPEN_FMODE_EXEC) /* the file of an exec, which is an event of its own */
		return 0;
	task = bpf_get_current_task();
	slot = slot_of(task);
	known = call_in(slot);
	if (known && known->request && !known->name) {
		/* Inside io_uring's open, which began the call. */
		known->name = (__u64)name;
		known->flags = asked_of_uring((struct io_open *)known->request, asked.flags);
		known->mode = asked.mode & 07777;
		known->dfd = dfd;
		keep_open_name(known, task);
		return 0;
	}
	settle_open(slot, task);
	user = user_call();
	call.origin.syscall = user.number;
	call.origin.abi = user.abi;
	call.name = (__u64)name;
	call.flags = asked.flags;
	call.mode = asked.mode & 07777;
	call.dfd = dfd;
	call.cloexec = cloexec_asked(&user);
	begin_open_call(ctx, slot, &call, task);
	return 0;
}

static __always_inline int on_handle_open(void *ctx, int open_flag)
{
	struct open_call call = { .progress = OPEN_UNDER_WAY };
	__u64 task = bpf_get_current_task();
	struct task_slot *slot;
	struct user_call user;

	if (!watched(EVENT_OPEN, &call.origin))
		return 0;
	slot = slot_of(task);
	settle_open(slot, task);
	user = user_call();
	call.origin.syscall = user.number;
	call.origin.abi = user.abi;
	call.flags = open_flag;
	call.cloexec = open_flag & O_CLOEXEC_BIT;
	call.dfd = -1;
	begin_open_call(ctx, slot, &call, task);
	return 0;
}

static __always_inline void end_opened(void *ctx, struct task_slot *slot, __u64 task, __s32 result,
				       __u32 cloexec, struct file *file, __u32 record_flags)
{
	struct open_call *call = &slot->open;
	struct assembly *a = begin_record_of(slot, EVENT_OPEN, &call->origin, sizeof(struct open_record));
	struct filename *given = (struct filename *)call->name;
	struct open_record *record;
	struct file_members members;

	if (!a)
		return;
	read_file(&members, file);
	record = (struct open_record *)a->data;
	record->header.result = result;
	record->header.flags |= record_flags;
	record->flags = (call->flags & OPEN_ONCE_FLAGS) | members.flags | cloexec;
	record->mode = call->mode;
	identify_inode(a, &record->file, members.inode);
	a->paths[STRING_PATH] = members.path;
	if (given)
		append_string(a, STRING_PATH_ARG, BPF_CORE_READ(given, name), 0);
	end_open_call(slot, task);
	finish(ctx, a);
}

/* What became of it. */
static __always_inline __u32 cloexec_of(const struct open_call *call, unsigned int fd)
{
	unsigned long word = 0;

	if (call->cloexec != CLOEXEC_UNKNOWN)
		return call->cloexec;
	/* Not before it is known to be needed. */
	asm volatile("" ::: "memory");
	bpf_probe_read_kernel(&word, sizeof(word), OF_TASK(files, fdt, close_on_exec) + fd / 64);
	return word & (1UL << (fd % 64)) ? O_CLOEXEC_BIT : 0;
}

static __always_inline int on_fd_install(void *ctx, unsigned int fd, struct file *file)
{
	__u64 task = bpf_get_current_task();
	struct task_slot *slot = slot_of(task);
	struct open_call *call = call_in(slot);

	if (!call || call->progress == OPEN_FAILED)
		return 0;
	/* A call left behind by an open of the kernel's own must not take the descriptor of, say, a socket. */
	if (!call->request && user_call().number != call->origin.syscall)
		return 0;
	end_opened(ctx, slot, task, fd, cloexec_of(call, fd), file, 0);
	return 0;
}

/* io_uring puts the file into a table of its own: there is no descriptor. */
static __always_inline int on_fixed_fd_install(void *ctx, struct file *file)
{
	__u64 task = bpf_get_current_task();
	struct task_slot *slot = slot_of(task);
	struct open_call *call = call_in(slot);

	if (!call || !call->request)
		return 0;
	end_opened(ctx, slot, task, 0, 0, file, RECORD_NO_FD);
	return 0;
}

static __always_inline int on_put_unused_fd(void)
{
	__u64 task = bpf_get_current_task();
	struct task_slot *slot = slot_of(task);
	struct open_call *call = call_in(slot);

	if (!call || call->progress == OPEN_FAILED)
		return 0;
	call->progress = OPEN_FAILED;
	keep_open_name(call, task);
	return 0;
}

/* Return of do_sys_openat2() and do_handle_open(): a descriptor, of which all is told, or an error. */
static __always_inline int on_open_return(void *ctx, int result)
{
	struct open_call early = { .dfd = AT_FDCWD_FD }, *call;
	struct task_slot *slot;
	struct user_call user;
	struct assembly *a;
	__u64 task, path;
	__u32 flags = 0;

	if (result >= 0)
		return 0;
	task = bpf_get_current_task();
	user = user_call();
	path = open_path_argument(&user, &flags);
	slot = slot_of(task);
	call = call_in(slot);
	if (call) {
		/* What the lookup was given has no O_CLOEXEC any more. */
		call->flags |= flags & O_CLOEXEC_BIT;
		a = failed_open(slot, call, task, path, result, 0);
		end_open_call(slot, task);
		if (a)
			finish(ctx, a);
		return 0;
	}
	/* Failed before the name was looked up: bad address, too long, no free descriptor. */
	if (!watched(EVENT_OPEN, &early.origin))
		return 0;
	early.origin.syscall = user.number;
	early.origin.abi = user.abi;
	early.flags = flags;
	if (is_openat(&user))
		early.dfd = user.args[0];
	a = failed_open(slot, &early, task, path, result, 0);
	if (a)
		finish(ctx, a);
	return 0;
}

static __always_inline int on_uring_open(void *ctx, struct io_kiocb *request)
{
	struct open_call call = { .progress = OPEN_UNDER_WAY };
	__u64 task = bpf_get_current_task();
	struct task_slot *slot;

	if (!watched(EVENT_OPEN, &call.origin))
		return 0;
	slot = slot_of(task);
	settle_open(slot, task);
	call.origin.syscall = NO_SYSCALL;
	call.origin.abi = ABI_IO_URING;
	call.request = (__u64)request;
	call.cloexec = CLOEXEC_UNKNOWN;
	call.dfd = AT_FDCWD_FD;
	begin_open_call(ctx, slot, &call, task);
	return 0;
}

/* io_uring completes a request: before v5.19 this may be the only place that has the result. */
static __always_inline int on_uring_complete(struct io_kiocb *request, __s32 result)
{
	struct open_call *call;

	if (bpf_core_field_exists(request->cqe))
		return 0;
	call = call_in(slot_of(bpf_get_current_task()));
	if (call && call->request == (__u64)request)
		call->completed = result;
	return 0;
}

static __always_inline __s32 uring_result(struct open_call *call)
{
	struct io_kiocb *request = (struct io_kiocb *)call->request;
	struct io_kiocb___5_18 *old = (void *)request;

	if (bpf_core_field_exists(request->cqe))
		return BPF_CORE_READ(request, cqe.res);
	return call->completed ?: (__s32)BPF_CORE_READ(old, result);
}

/*
 * Return of io_openat2(): the request has the result. -EAGAIN means that it could not be done without
 * blocking and is done again by a worker, which is where it is told.
 */
static __always_inline int on_uring_open_return(void *ctx, int result)
{
	__u64 task = bpf_get_current_task();
	struct task_slot *slot = slot_of(task);
	struct open_call *call = call_in(slot);
	struct assembly *a = 0;

	if (!call || !call->request)
		return 0;
	if (result != -EAGAIN_NUMBER)
		a = failed_open(slot, call, task, 0, uring_result(call), 0);
	end_open_call(slot, task);
	if (a)
		finish(ctx, a);
	return 0;
}
