/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing by io_uring.
 *
 * io_read() and io_write() may be called several times for a request: -EAGAIN means that it is done again later,
 * by a worker or when the file is ready. So the record of an attempt that ends like this is dropped. A result
 * comes from whichever is first: the return, io_complete_rw() for errors and for what the device completes, or,
 * before v5.19, io_req_complete_post().
 */
#pragma once

#include "io.h"
#include "open.h"

#define URING_READV 1
#define URING_WRITEV 2
#define URING_READ_MULTISHOT 49
/* Bits of a request's flags, the same since v5.15. */
#define URING_FIXED_FILE (1 << 0)
#define URING_NOWAIT (1 << 11)
/* Before v5.19: the request keeps its result. */
#define URING_COMPLETE_INLINE (1 << 16)
/* Of the kernel's own numbers: the request is completed later. */
#define EIOCBQUEUED_NUMBER 529

struct uring_descriptor {
	__u64 file;
	__s32 fd;
	__u32 reserved;
};

/* Descriptors of requests that are done again, since a request forgets its own when it begins. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct uring_descriptor);
} uring_descriptors SEC(".maps");

/* Which request a task is at. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} uring_requests SEC(".maps");

/* A request can be done whenever its task enters the kernel: no system call tells of that. */
static __always_inline void of_uring(struct assembly *a)
{
	struct record_header *header = (struct record_header *)a->data;

	header->syscall = NO_SYSCALL;
	header->abi = ABI_IO_URING;
}

/* Until v5.19 (commit cef216fc32d7) a request does not keep its descriptor; later until it begins. */
static __always_inline __s32 uring_fd(struct io_kiocb *request, struct file *file)
{
	__u64 key = (__u64)request;
	struct uring_descriptor *known;
	__s32 fd;

	if (!bpf_core_field_exists(request->cqe) || BPF_CORE_READ(request, flags) & URING_FIXED_FILE)
		return NO_NUMBER;
	known = bpf_map_lookup_elem(&uring_descriptors, &key);
	if (known && known->file == (__u64)file)
		return known->fd;
	fd = BPF_CORE_READ(request, cqe.fd);
	return file_of(fd) == file ? fd : (__s32)NO_NUMBER;
}

static __always_inline struct data_source uring_source(struct io_kiocb *request)
{
	struct io_rw *rw = (void *)request;
	__u8 opcode = BPF_CORE_READ(request, opcode);
	struct data_source from = { .address = BPF_CORE_READ(rw, addr) };

	if (opcode == URING_READV || opcode == URING_WRITEV) {
		from.segments = BPF_CORE_READ(rw, len);
		from.vector = 1;
	}
	return from;
}

/* How many bytes are asked for; of a vector, if it is not longer than what is followed. */
static __always_inline __u64 uring_size(struct io_kiocb *request)
{
	struct io_rw *rw = (void *)request;
	struct data_source from = uring_source(request);
	__u64 size = 0;

	if (!from.vector)
		return BPF_CORE_READ(rw, len);
	if (from.segments > DATA_SEGMENTS)
		return SIZE_UNKNOWN;
	for (__u32 n = 0; n < DATA_SEGMENTS; n++) {
		if (n >= from.segments)
			break;
		size += segment_of(&from, n).length;
	}
	return size;
}

static __always_inline int on_uring_io(void *ctx, enum event_kind kind, struct io_kiocb *request)
{
	__u64 key = (__u64)request, task = bpf_get_current_task();
	struct file *file = BPF_CORE_READ(request, file);
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_kept(key, kind, sizeof(*record), &user);

	if (!a)
		return 0;
	/* A request of this address whose end was not seen. */
	settle_call(key);
	bpf_map_update_elem(&uring_requests, &task, &key, BPF_ANY);
	of_uring(a);
	record = (struct file_record *)a->data;
	record->fd = uring_fd(request, file);
	record->size = uring_size(request);
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

/* It is done again: the descriptor is remembered for then. */
static __always_inline void drop_attempt(__u64 request)
{
	struct assembly *a = kept_call(request);
	struct uring_descriptor descriptor = {};

	if (!a)
		return;
	descriptor.file = (__u64)BPF_CORE_READ((struct io_kiocb *)request, file);
	descriptor.fd = ((struct file_record *)a->data)->fd;
	if (descriptor.fd != (__s32)NO_NUMBER)
		bpf_map_update_elem(&uring_descriptors, &request, &descriptor, BPF_ANY);
	drop_call(request);
}

static __always_inline int is_done_again(__u64 request, __s32 result)
{
	return result == -EAGAIN_NUMBER && !(BPF_CORE_READ((struct io_kiocb *)request, flags) & URING_NOWAIT);
}

static __always_inline int end_uring_io(void *ctx, __u64 request, enum event_kind kind, __s32 result)
{
	struct data_source from;

	bpf_map_delete_elem(&uring_descriptors, &request);
	if (end_complete(request, kind, result))
		return 0;
	from = uring_source((struct io_kiocb *)request);
	return end_io(ctx, request, kind, result, &from);
}

static __always_inline int on_uring_io_return(void *ctx, enum event_kind kind, int result)
{
	__u64 task = bpf_get_current_task(), request;
	__u64 *at = bpf_map_lookup_elem(&uring_requests, &task);
	struct io_kiocb___5_18 *old;

	if (!at)
		return 0;
	request = *at;
	bpf_map_delete_elem(&uring_requests, &task);
	if (is_done_again(request, result)) {
		drop_attempt(request);
		return 0;
	}
	if (result == -EIOCBQUEUED_NUMBER)
		return 0;
	old = (void *)request;
	if (bpf_core_field_exists(struct io_kiocb, cqe)) {
		if (!result)
			result = BPF_CORE_READ((struct io_kiocb *)request, cqe.res);
	} else if (!result) {
		/* Else it is completed later, or has been. */
		if (!(BPF_CORE_READ((struct io_kiocb *)request, flags) & URING_COMPLETE_INLINE))
			return 0;
		result = BPF_CORE_READ(old, result);
	}
	return end_uring_io(ctx, request, kind, result);
}

/* Return of __io_read(): of a read that is repeated until it is cancelled, each is a record. */
static __always_inline int on_uring_multishot_return(void *ctx, int result)
{
	__u64 task = bpf_get_current_task(), request;
	__u64 *at = bpf_map_lookup_elem(&uring_requests, &task);

	if (!at)
		return 0;
	request = *at;
	if (BPF_CORE_READ((struct io_kiocb *)request, opcode) != URING_READ_MULTISHOT)
		return 0;
	bpf_map_delete_elem(&uring_requests, &task);
	if (result == -EAGAIN_NUMBER) {
		drop_attempt(request);
		return 0;
	}
	return end_side(ctx, request, EVENT_READ, result);
}

/* io_complete_rw(), which is given the beginning of the request; in whatever task, or none. */
static __always_inline int on_uring_rw_complete(__u64 request, __s32 result)
{
	struct assembly *a = kept_call(request);

	if (!a)
		return 0;
	if (is_done_again(request, result)) {
		drop_attempt(request);
		return 0;
	}
	bpf_map_delete_elem(&uring_descriptors, &request);
	send_kept(request, result, 0);
	return 0;
}

static __always_inline int on_uring_post(void *ctx, struct io_kiocb *request, __s32 result)
{
	struct assembly *a;

	if (bpf_core_field_exists(request->cqe))
		return 0;
	a = kept_call((__u64)request);
	if (!a)
		return 0;
	return end_uring_io(ctx, (__u64)request, ((struct record_header *)a->data)->kind, result);
}

/* do_splice() for io_uring, which always has a worker do it. A bad descriptor is found out before. */
static __always_inline int on_uring_splice(void *ctx, enum event_kind kind, struct file *file, __u64 size)
{
	__u64 key = side_key(kind);
	struct file_record *record;
	struct user_call user;
	struct assembly *a;

	if (!(OF_TASK(flags) & PF_IO_WORKER))
		return 0;
	a = begin_kept(key, kind, sizeof(*record), &user);
	if (!a)
		return 0;
	settle_call(key);
	of_uring(a);
	record = (struct file_record *)a->data;
	record->fd = NO_NUMBER;
	record->size = size;
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline int on_uring_splice_return(void *ctx, enum event_kind kind, __s32 result)
{
	if (!(OF_TASK(flags) & PF_IO_WORKER))
		return 0;
	return on_side_return(ctx, kind, result);
}
