/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls whose record is put together in steps: begun at the entry of the function through which all of them
 * pass, given its paths where the kernel has looked them up, sent with its result at the return. Between the
 * steps it is kept by task. If the return is missed, the task's next call, or its end, sends the record
 * without result.
 */
#pragma once

#include "path.h"

/* What is kept of an assembly: its first bytes, as many as there are. */
#define KEPT_SMALL 1024
#define KEPT_LARGE (25 << 10)
#define KEPT_LARGE_CALLS 64

struct kept_small {
	__u8 bytes[KEPT_SMALL];
};

struct kept_large {
	__u8 bytes[KEPT_LARGE];
};

/* Most records are small; so there is room for many of them, and for a few of the longest paths. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct kept_small);
} small_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KEPT_LARGE_CALLS);
	__type(key, __u64);
	__type(value, struct kept_large);
} large_calls SEC(".maps");

#define SMALL_DATA (KEPT_SMALL - __builtin_offsetof(struct assembly, data))
#define LARGE_DATA (KEPT_LARGE - __builtin_offsetof(struct assembly, data))

/*
 * Of a call that reads a file and writes another each side has a record, so the second has a key of its own,
 * too. What outlives its task's call, as in io_uring, is kept by the address of its request.
 */
static __always_inline __u64 second_side(__u64 task)
{
	return task | 2;
}

/* Most keys are not in `small_calls`, and need not be looked up. */
FILTER(small_filter);

/* How many are in these maps; of the small ones those that have ended are there for their tasks' next calls. */
__u64 small_count = 0;
__u64 large_count = 0;

static __always_inline void *large_call(__u64 key)
{
	return large_count ? bpf_map_lookup_elem(&large_calls, &key) : 0;
}

static __always_inline void remove_large(__u64 key)
{
	if (large_count && !bpf_map_delete_elem(&large_calls, &key))
		__sync_fetch_and_add(&large_count, -1);
}

static __always_inline int remove_small(__u64 key)
{
	int error = take_out(&small_calls, &small_filter, key);

	if (!error)
		__sync_fetch_and_add(&small_count, -1);
	return error;
}

/* Keeps it where none is kept, not even one that has ended. */
static __always_inline int enter_small(__u64 key, struct assembly *a)
{
	int error = enter(&small_calls, &small_filter, key, a);

	if (!error)
		__sync_fetch_and_add(&small_count, 1);
	return error;
}

/* Whether a call may be kept by a key: the first thing that a hook asks, and all that an unwatched process pays. */
static __always_inline int may_be_kept(__u64 key)
{
	return large_count || may_be_there(&small_filter, filter_part(key));
}

/* A call of the current task stays for the next one, as in rest_task(); one by another key has none. */
static __always_inline void rest_small(struct assembly *kept, __u64 key)
{
	if ((key & ~3ULL) == bpf_get_current_task() && small_count <= idle_tasks)
		kept->end = 0;
	else
		remove_small(key);
}

/* A small call that is under way. */
static __always_inline struct assembly *small_call(__u64 key)
{
	struct assembly *kept = find(&small_calls, &small_filter, key);

	return kept && kept->end ? kept : 0;
}

/* The call under way in a task, as it was kept; to be read, and its fixed part to be written. */
static __always_inline struct assembly *kept_call(__u64 key)
{
	struct assembly *kept = small_call(key);

	/* The record's fixed part, and what goes before it, is in both. */
	return kept ? kept : large_call(key);
}

static __always_inline void drop_call(__u64 key)
{
	struct assembly *kept = small_call(key);

	if (kept)
		rest_small(kept, key);
	else
		remove_large(key);
}

/* Of a task that ends. */
static __always_inline void forget_call(__u64 key)
{
	if (remove_small(key))
		remove_large(key);
}

static __always_inline void send_small(struct assembly *a, __u64 key, __s32 result, __u32 flags)
{
	struct record_header *header = (struct record_header *)a->data;

	header->result = result;
	header->flags |= flags;
	send_record(header, &a->end, SMALL_DATA);
	rest_small(a, key);
}

static __always_inline void send_large(struct assembly *a, __u64 key, __s32 result, __u32 flags)
{
	struct record_header *header = (struct record_header *)a->data;

	header->result = result;
	header->flags |= flags;
	send_record(header, &a->end, LARGE_DATA);
	remove_large(key);
}

/*
 * Sends a kept record as it is. A global function with scalar arguments, so that the verifier looks at it once
 * for a program, of which nearly every one has it.
 */
__noinline int send_kept(__u64 key, __s32 result, __u32 flags)
{
	struct assembly *a = small_call(key);

	if (a) {
		send_small(a, key, result, flags);
		return 0;
	}
	a = large_call(key);
	if (a)
		send_large(a, key, result, flags);
	return 0;
}

/* Nothing is to be added at its end: it has its paths, and shall not have data. */
static __always_inline int is_complete(const struct assembly *a, __s32 result)
{
	return a->finished && !(a->capture && result > 0);
}

/*
 * The end of a call of this kind. Sends its record if that is complete. True if there is nothing more to do, be it
 * because there is no such call. A global function like the one before.
 */
__noinline int end_complete(__u64 key, __u32 kind, __s32 result)
{
	struct assembly *a = small_call(key);

	if (a) {
		if (((struct record_header *)a->data)->kind != kind)
			return 1;
		if (!is_complete(a, result))
			return 0;
		send_small(a, key, result, 0);
		return 1;
	}
	a = large_call(key);
	if (!a || ((struct record_header *)a->data)->kind != kind)
		return 1;
	if (!is_complete(a, result))
		return 0;
	send_large(a, key, result, 0);
	return 1;
}

/* What a task's accounting says of its calls of a kind: how many bytes it has read or written, in how many. */
struct moved {
	__u64 bytes;
	__u32 calls;
};

static __always_inline struct moved moved_so_far(enum event_kind kind)
{
	struct task_struct *task = current_task();
	struct moved moved = {};

	if (!bpf_core_field_exists(task->ioac.syscr))
		return moved;
	moved.bytes = kind == EVENT_READ ? OF_TASK(ioac.rchar) : OF_TASK(ioac.wchar);
	moved.calls = kind == EVENT_READ ? OF_TASK(ioac.syscr) : OF_TASK(ioac.syscw);
	return moved;
}

/* Remembers that for a call that is kept by its task: it blocks, so its return is the first to be missed. */
static __always_inline void note_moved(struct assembly *a, enum event_kind kind)
{
	struct moved moved = moved_so_far(kind);

	a->object = moved.bytes;
	a->new_dfd = moved.calls;
	a->counted = 1;
}

/*
 * A call that was left behind: its return was missed. If it was the only one of its kind that the task has made
 * since, what the task has moved is its result; of an error, and of the end of a file, that says nothing.
 */
static __always_inline void settle_call(__u64 key)
{
	struct assembly *a = kept_call(key);
	struct moved now;

	if (!a)
		return;
	if (a->undecided) {
		drop_call(key);
		return;
	}
	if (a->counted) {
		now = moved_so_far(((struct record_header *)a->data)->kind);
		if (now.calls - (__u32)a->new_dfd == 1 && now.bytes > a->object) {
			send_kept(key, now.bytes - a->object, 0);
			return;
		}
	}
	send_kept(key, 0, RECORD_RESULT_MISSED);
}

/* Copies an assembly that is small: what there is of it, since copying takes longer than anything else here. */
static __always_inline void copy_small(void *to, const void *from)
{
	__u32 length = __builtin_offsetof(struct assembly, data) +
		       *(volatile const __u32 *)&((const struct assembly *)from)->end;

	copy_parts(to, from, length, KEPT_SMALL);
}

/* The last step of a program that does not look up paths: keeps the record until the next one. */
static __always_inline void keep_call(struct assembly *a)
{
	struct record_header *header = (struct record_header *)a->data;
	__u64 key = a->key;

	if (a->end <= SMALL_DATA) {
		void *kept = bpf_map_lookup_elem(&small_calls, &key);

		if (kept) {
			copy_small(kept, a);
			return;
		}
		if (!enter_small(key, a))
			return;
	} else if (a->end <= LARGE_DATA) {
		/* It may have been small until now. */
		drop_call(key);
		__sync_fetch_and_add(&large_count, 1);
		if (!bpf_map_update_elem(&large_calls, &key, a, BPF_NOEXIST))
			return;
		__sync_fetch_and_add(&large_count, -1);
	} else {
		drop_call(key);
	}
	/* No room to wait for its end: what is known by now is recorded. */
	header->flags |= RECORD_RESULT_MISSED;
	submit(a);
}

/* Begins the record of a call that is watched. */
static __always_inline struct assembly *begin_watched(enum event_kind kind, struct origin *origin, __u32 size,
						      struct user_call *user)
{
	settle_call(call_key(kind));
	*user = user_call();
	origin->syscall = user->number;
	origin->abi = user->abi;
	return begin_record(kind, origin, size);
}

/*
 * Begins the record of a call of the current task, if that is watched: with all about the process and the
 * system call, which is left in `user`. The caller adds what it knows, then calls keep_call(), finish_kept()
 * or finish().
 */
static __always_inline struct assembly *begin_call(enum event_kind kind, __u32 size, struct user_call *user)
{
	struct origin origin = {};

	if (!watched(kind, &origin))
		return 0;
	return begin_watched(kind, &origin, size, user);
}

/*
 * Begins the record of a call that is to be kept by another key. What was left there is settled by the caller,
 * if it is watched.
 */
static __always_inline struct assembly *begin_kept(__u64 key, enum event_kind kind, __u32 size,
						   struct user_call *user)
{
	struct origin origin = {};
	struct assembly *a;

	if (!watched(kind, &origin))
		return 0;
	*user = user_call();
	origin.syscall = user->number;
	origin.abi = user->abi;
	a = begin_record(kind, &origin, size);
	if (a)
		a->key = key;
	return a;
}

/* The call of this kind that is kept by a key, copied to where it can be added to; 0 if there is none. */
static __always_inline struct assembly *resume_kept(__u64 key, enum event_kind kind)
{
	struct assembly *a;
	struct record_header *header;
	void *kept = small_call(key);

	if (kept) {
		a = assembly_in(own_workspace());
		if (!a)
			return 0;
		copy_small(a, kept);
	} else {
		kept = large_call(key);
		if (!kept)
			return 0;
		a = assembly_in(own_workspace());
		if (!a)
			return 0;
		bpf_probe_read_kernel(a, KEPT_LARGE, kept);
	}
	/* It may have been removed since. */
	a->identified = 0;
	header = (struct record_header *)a->data;
	if (header->kind != kind)
		return 0;
	/* Looked up anew, if it has not been: the process may have got another one since. */
	if (!header->string_offset[STRING_EXE])
		want_exe(a);
	return a;
}

/* The call of this kind under way in the current task. */
static __always_inline struct assembly *resume_call(enum event_kind kind)
{
	return resume_kept(call_key(kind), kind);
}

/* Looks up the paths wanted, then keeps the record. The last thing that a program does. */
static __always_inline void finish_kept(void *ctx, struct assembly *a)
{
	a->finish = FINISH_KEEP_CALL;
	finish(ctx, a);
}

/* The path of a slot neither is in the record nor will be. */
static __always_inline int has_no_path(struct assembly *a, enum string_slot slot)
{
	struct record_header *header = (struct record_header *)a->data;

	return !header->string_offset[slot] && !a->paths[slot].mnt;
}

/*
 * Ends a call that was resumed, with whatever was added since. What failed before its paths were looked up
 * gets the directories that they were relative to. The last thing that a program does.
 */
static __always_inline void end_resumed(void *ctx, struct assembly *a, __s32 result)
{
	struct record_header *header = (struct record_header *)a->data;

	drop_call(a->key);
	header->result = result;
	if (header->string_offset[STRING_PATH_ARG] && has_no_path(a, STRING_PATH))
		want_base(a, STRING_BASE, a->dfd);
	if (header->string_offset[STRING_NEW_PATH_ARG] && has_no_path(a, STRING_NEW_PATH))
		want_base(a, STRING_NEW_BASE, a->new_dfd);
	a->finish = FINISH_SUBMIT;
	finish(ctx, a);
}

/* The end of a call of this kind, if one is kept by that key. */
static __always_inline int end_kept(void *ctx, __u64 key, enum event_kind kind, __s32 result)
{
	struct assembly *a;

	if (!may_be_kept(key) || end_complete(key, kind, result))
		return 0;
	a = resume_kept(key, kind);
	if (a)
		end_resumed(ctx, a, result);
	return 0;
}

/* The return of a call of this kind, if one is under way in the current task. */
static __always_inline int end_call(void *ctx, enum event_kind kind, __s32 result)
{
	return end_kept(ctx, call_key(kind), kind, result);
}
