/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing.
 *
 * A record is begun in the innermost function that all calls of its kind pass before the descriptor is looked
 * up, so that a bad one is recorded as well: ksys_read(), do_readv() and the like. Its file is noted in
 * rw_verify_area(), which has the one that is used; another thread may have given the descriptor to another
 * file meanwhile. Only what a system call or a request of io_uring began is a record: what the kernel reads
 * and writes on its way (a program to execute, the upper file of an overlay) is none.
 *
 * sendfile, splice and copy_file_range read one file and write another. Each side is a record of its own, with
 * programs of its own, because a program can look up the paths of one record only.
 */
#pragma once

#include "call.h"

/* Followed in a vector when data is captured. */
#define DATA_SEGMENTS 8
/* How many bytes were asked for is not known. */
#define SIZE_UNKNOWN (~0ULL)

/* Where the bytes of a call are in its process. */
struct data_source {
	__u64 address; /* of the bytes, or of the vector; 0: nowhere */
	__u32 segments;
	__u32 vector; /* 1: of vectors as 64-bit programs have them, 2: as 32-bit programs do */
};

struct io_segment {
	__u64 address;
	__u64 length;
};

/* The first thing that a hook asks: so an unwatched process pays for one look-up. */
static __always_inline struct group *group_with(enum event_kind kind)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();
	struct group *group = watched_group(cgroup_id);

	return group && group->events & (1ULL << kind) ? group : 0;
}

static __always_inline struct io_segment segment_of(const struct data_source *from, __u32 n)
{
	struct io_segment segment = {};
	__u32 small[2] = {};

	if (from->vector == 2) {
		bpf_probe_read_user(small, sizeof(small), (void *)(from->address + n * sizeof(small)));
		segment.address = small[0];
		segment.length = small[1];
	} else {
		bpf_probe_read_user(&segment, sizeof(segment), (void *)(from->address + n * sizeof(segment)));
	}
	return segment;
}

/* Appends at most so many bytes to the data. What was added so far is in the record, not in a variable: see `end`. */
static __always_inline void append_segment(struct assembly *a, __u64 address, __u64 length, __u32 wanted)
{
	struct record_header *header = (struct record_header *)a->data;
	__u32 room = wanted - header->string_length[STRING_DATA];
	__u8 *to = string_end(a);

	if (!to || room > CAPTURE_MAX)
		return;
	if (length > room)
		length = room;
	/* The compiler must not prove what the verifier cannot follow. */
	asm volatile("" : "+r"(length));
	if (!length || length > CAPTURE_MAX)
		return;
	if (bpf_probe_read_user(to, length, (void *)address))
		return;
	header->string_length[STRING_DATA] += length;
	a->end += length;
}

/* Appends the first of the bytes that were read or written; flagged if some that are wanted were not to be had. */
static __always_inline void append_data(struct assembly *a, const struct data_source *from, __u32 wanted)
{
	struct record_header *header = (struct record_header *)a->data;

	note_string(a, STRING_DATA, 0, 0);
	if (!from->vector) {
		append_segment(a, from->address, wanted, wanted);
	} else {
		for (__u32 n = 0; n < DATA_SEGMENTS; n++) {
			struct io_segment segment;

			if (n >= from->segments || header->string_length[STRING_DATA] >= wanted)
				break;
			segment = segment_of(from, n);
			append_segment(a, segment.address, segment.length, wanted);
		}
	}
	if (header->string_length[STRING_DATA] < wanted)
		header->string_state[STRING_DATA] |= STRING_TRUNCATED;
}

/*
 * The end of a call that is not complete. Where its file was not seen, since it failed before or had nothing to do, it
 * is what the descriptor stands for.
 */
static __always_inline int end_io(void *ctx, __u64 key, enum event_kind kind, __s32 result,
				  const struct data_source *from)
{
	struct assembly *a = resume_kept(key, kind);
	struct record_header *header;
	struct file_record *record;
	struct file *file;

	if (!a)
		return 0;
	drop_call(key);
	header = (struct record_header *)a->data;
	record = (struct file_record *)a->data;
	header->result = result;
	if (!header->string_offset[STRING_PATH]) {
		file = file_of(record->fd);
		if (file)
			note_file(a, &record->file, file);
	}
	if (from->address && a->capture && result > 0)
		append_data(a, from, result < a->capture ? result : a->capture);
	a->finish = FINISH_SUBMIT;
	finish(ctx, a);
	return 0;
}

/* Calls of one file. */
static __always_inline int on_io(enum event_kind kind, int fd, __u64 size)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_call(kind, sizeof(*record), &user);

	if (!a)
		return 0;
	settle_call(second_side(bpf_get_current_task()));
	record = (struct file_record *)a->data;
	record->fd = fd;
	record->size = size;
	note_moved(a, kind);
	keep_call(a);
	return 0;
}

/*
 * The compiler has put the functions of some calls into the system calls of 64-bit programs, and left them to
 * themselves for others. So there are hooks on both, and those on the functions leave out what the others see.
 */
enum inlined {
	INLINED_PREAD64 = 17,
	INLINED_PWRITE64 = 18,
	INLINED_PREADV = 295,
	INLINED_PWRITEV = 296,
};

static __always_inline int on_inlined(enum event_kind kind, int vector)
{
	struct user_call user;

	if (!group_with(kind))
		return 0;
	user = user_call();
	return on_io(kind, user.args[0], vector ? SIZE_UNKNOWN : user.args[2]);
}

static __always_inline int on_outlined(enum event_kind kind, enum inlined number, int vector)
{
	struct user_call user;

	if (!group_with(kind))
		return 0;
	user = user_call();
	if (user.abi == ABI_X86_64 && user.number == (__u32)number)
		return 0;
	return on_io(kind, user.args[0], vector ? SIZE_UNKNOWN : user.args[2]);
}

/* The second argument of all these calls is the buffer, or the vector; the third how long that is. */
static __always_inline int on_io_return(void *ctx, enum event_kind kind, int vector, __s32 result)
{
	__u64 key = bpf_get_current_task();
	struct data_source from = {};
	struct user_call user;

	if (!may_be_kept(key) || end_complete(key, kind, result))
		return 0;
	user = user_call();
	from.address = user.args[1];
	if (vector) {
		from.segments = user.args[2];
		from.vector = user.abi == ABI_X86_64 ? 1 : 2;
	}
	return end_io(ctx, key, kind, result, &from);
}

/* Calls of two files: the key of each side, which is begun, given its file and ended by itself. */
static __always_inline __u64 side_key(enum event_kind kind)
{
	__u64 task = bpf_get_current_task();

	return kind == EVENT_WRITE ? second_side(task) : task;
}

static __always_inline int on_side(enum event_kind kind, int fd_argument, int size_argument)
{
	__u64 key = side_key(kind);
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_kept(key, kind, sizeof(*record), &user);

	if (!a)
		return 0;
	settle_call(key);
	record = (struct file_record *)a->data;
	record->fd = user.args[fd_argument];
	record->size = user.args[size_argument];
	keep_call(a);
	return 0;
}

/* Of what has no place in a process there is no data. */
static __always_inline int end_side(void *ctx, __u64 key, enum event_kind kind, __s32 result)
{
	struct data_source nowhere = {};

	return may_be_kept(key) && !end_complete(key, kind, result) ?
		       end_io(ctx, key, kind, result, &nowhere) :
		       0;
}

static __always_inline int on_side_return(void *ctx, enum event_kind kind, __s32 result)
{
	return end_side(ctx, side_key(kind), kind, result);
}

/*
 * The file that a call uses. The first one is the call's own, whatever the kernel does below. A record left
 * behind by a missed return is not taken for the call that is under way.
 */
static __always_inline int note_file_of(void *ctx, __u64 key, enum event_kind kind, struct file *file,
					__u64 size)
{
	struct assembly *a = resume_kept(key, kind);
	struct record_header *header;
	struct file_record *record;

	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	if (header->string_offset[STRING_PATH] || header->syscall != user_call().number)
		return 0;
	record = (struct file_record *)a->data;
	if (record->size == SIZE_UNKNOWN)
		record->size = size;
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline int on_side_file(void *ctx, enum event_kind kind, struct file *file)
{
	return note_file_of(ctx, side_key(kind), kind, file, 0);
}

/* rw_verify_area(): `count` is the sum of a vector. */
static __always_inline int on_verify_area(void *ctx, int writes, struct file *file, __u64 count)
{
	enum event_kind kind = writes ? EVENT_WRITE : EVENT_READ;
	__u64 task = bpf_get_current_task();

	if (writes && kept_call(second_side(task)))
		return note_file_of(ctx, second_side(task), kind, file, count);
	return note_file_of(ctx, task, kind, file, count);
}
