/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closing descriptors.
 *
 * filp_close() has the file when its descriptor is gone already; close() calls only a part of it, filp_flush(),
 * since v6.6 (commit 021a160abf62). Which descriptor it was is an argument of the system call. What a process
 * leaves open at its end or when it executes another program passes there, too, and is not recorded.
 *
 * Files of most kinds have nothing to flush, and are closed without fail: then no return is needed.
 */
#pragma once

#include "call.h"
#include "io.h"
#include "uring.h"

#define PF_EXITING 0x00000004
#define EBADF_NUMBER 9

/* Which call closes. */
enum closer {
	CLOSER_NONE,
	CLOSER_CLOSE,
	CLOSER_DUP,
	CLOSER_RANGE,
	CLOSER_URING,
};

static __always_inline enum closer closer_of(const struct user_call *call)
{
	if (OF_TASK(flags) & PF_EXITING)
		return CLOSER_NONE;
	if (call->abi == ABI_IO_URING)
		return CLOSER_URING;
	switch (call->abi == ABI_I386 ? call->number | 0x10000 : call->number) {
	case 3:
	case 0x10000 | 6:
		return CLOSER_CLOSE;
	case 33:  /* dup2 */
	case 292: /* dup3 */
	case 0x10000 | 63:
	case 0x10000 | 330:
		return CLOSER_DUP;
	case 436:
	case 0x10000 | 436:
		return CLOSER_RANGE;
	}
	return CLOSER_NONE;
}

static __always_inline struct assembly *begin_close(__u64 key, struct user_call *user, int fd)
{
	struct assembly *a = begin_kept(key, EVENT_CLOSE, sizeof(struct file_record), user);

	if (a)
		((struct file_record *)a->data)->fd = fd;
	return a;
}

/*
 * close() looks for its descriptor. One that is open is told of where its file is seen; of one that is not,
 * nothing else is.
 */
static __always_inline int on_close(unsigned int fd)
{
	__u64 task = bpf_get_current_task();
	struct user_call user;
	struct assembly *a;

	if (!group_with(EVENT_CLOSE) || file_of(fd))
		return 0;
	user = user_call();
	if (closer_of(&user) != CLOSER_CLOSE)
		return 0;
	a = begin_close(task, &user, fd);
	if (!a)
		return 0;
	settle_call(task);
	keep_call(a);
	return 0;
}

/*
 * It has found none: file_close_fd() returns no file, close_fd() an error. Else the descriptor has been opened
 * since it was looked at, and its file is told of.
 */
static __always_inline int on_close_return(void *ctx, long result)
{
	__u64 task = bpf_get_current_task();
	struct assembly *a = kept_call(task);
	struct record_header *header;

	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	if (header->kind != EVENT_CLOSE || header->string_offset[STRING_PATH])
		return 0;
	if (!result || (int)result == -EBADF_NUMBER)
		return end_call(ctx, EVENT_CLOSE, -EBADF_NUMBER);
	drop_call(task);
	return 0;
}

/* filp_flush(), or filp_close() where there is none: the file is closed for its descriptor. */
static __always_inline int on_flush(void *ctx, struct file *file)
{
	__u64 task = bpf_get_current_task();
	int fd = NO_NUMBER;
	struct assembly *a, *range;
	struct user_call user;

	if (!group_with(EVENT_CLOSE))
		return 0;
	user = user_call();
	switch (closer_of(&user)) {
	case CLOSER_CLOSE:
		fd = user.args[0];
		break;
	case CLOSER_DUP:
		fd = user.args[1];
		break;
	case CLOSER_RANGE:
		range = kept_call(second_side(task));
		if (range)
			fd = range->object;
		break;
	case CLOSER_URING:
		a = resume_call(EVENT_CLOSE);
		if (!a)
			break;
		note_file(a, &((struct file_record *)a->data)->file, file);
		finish_kept(ctx, a);
		return 0;
	default:
		return 0;
	}
	a = begin_close(task, &user, fd);
	if (!a)
		return 0;
	settle_call(task);
	note_file(a, &((struct file_record *)a->data)->file, file);
	if (BPF_CORE_READ(file, f_op, flush))
		finish_kept(ctx, a);
	else
		finish(ctx, a);
	return 0;
}

/* Return of the same: what came of the flush. */
static __always_inline int on_flush_return(void *ctx, int result)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	if (!a || !((struct record_header *)a->data)->string_offset[STRING_PATH])
		return 0;
	return end_call(ctx, EVENT_CLOSE, result);
}

/*
 * close_range() closes many descriptors, each of which is a record. What is kept of the call itself tells which
 * descriptor it is at, and becomes a record only if the call fails.
 */
static __always_inline int on_close_range(void)
{
	__u64 key = second_side(bpf_get_current_task());
	struct user_call user;
	struct assembly *a = begin_close(key, &user, NO_NUMBER);

	if (!a)
		return 0;
	settle_call(key);
	a->object = NO_NUMBER;
	keep_call(a);
	return 0;
}

/* file_close_fd_locked(), formerly pick_file(), takes a file out of the table. */
static __always_inline int on_pick(unsigned int fd)
{
	struct assembly *a;

	if (!group_with(EVENT_CLOSE))
		return 0;
	a = kept_call(second_side(bpf_get_current_task()));
	if (a && ((struct record_header *)a->data)->kind == EVENT_CLOSE)
		a->object = fd;
	return 0;
}

static __always_inline int on_close_range_return(void *ctx, int result)
{
	__u64 key = second_side(bpf_get_current_task());
	struct assembly *a = kept_call(key);

	if (!a || ((struct record_header *)a->data)->kind != EVENT_CLOSE)
		return 0;
	if (result < 0)
		return end_kept(ctx, key, EVENT_CLOSE, result);
	drop_call(key);
	return 0;
}

static __always_inline int on_uring_close(struct io_kiocb *request)
{
	struct io_close *close = (void *)request;
	__u64 task = bpf_get_current_task();
	struct user_call user;
	struct assembly *a;

	/* A place in a table of io_uring's own is no descriptor. */
	if (bpf_core_field_exists(close->file_slot) && BPF_CORE_READ(close, file_slot))
		return 0;
	a = begin_close(task, &user, BPF_CORE_READ(close, fd));
	if (!a)
		return 0;
	settle_call(task);
	of_uring(a);
	a->object = (__u64)request;
	keep_call(a);
	return 0;
}

/* -EAGAIN: a worker does it, since flushing may block. */
static __always_inline int on_uring_close_return(void *ctx, int result)
{
	__u64 task = bpf_get_current_task();
	struct assembly *a = kept_call(task);
	struct io_kiocb *request;

	if (!a || ((struct record_header *)a->data)->kind != EVENT_CLOSE)
		return 0;
	request = (struct io_kiocb *)a->object;
	if (result == -EAGAIN_NUMBER) {
		drop_call(task);
		return 0;
	}
	if (!result && bpf_core_field_exists(request->cqe))
		result = BPF_CORE_READ(request, cqe.res);
	else if (!result)
		result = BPF_CORE_READ((struct io_kiocb___5_18 *)request, result);
	return end_call(ctx, EVENT_CLOSE, result);
}
