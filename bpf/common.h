/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is calling, is it watched, and how a record is put together and sent. */
#pragma once

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/ptrace.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "events.h"
#include "kernel.h"
#include "maps.h"
#include "set_up.h"
#include "workspace.h"

/* Kernel constants that no header of ours gives. */
#define PF_IO_WORKER 0x00000010
#define TS_COMPAT 0x0002
#define X32_SYSCALL_BIT 0x40000000
#define THREAD_SIZE_X86 (16 << 10)
#define SYSCALL_IO_URING_ENTER 426 /* by all doors */

/* Of a file. */
#define NAME_LONGEST 255

/* Room for the fixed part and six of the longest strings; a per-CPU value may have 32 KiB. */
#define ASSEMBLY_SIZE (28 << 10)

/* What becomes of a record when its paths are in it. */
enum finish {
	FINISH_SUBMIT,
	FINISH_KEEP_CONNECT,
	FINISH_KEEP_CONNECTION,
	FINISH_KEEP_ACCEPT,
	FINISH_KEEP_LEAVING,
	FINISH_KEEP_CALL,
};

struct path_wanted {
	__u64 mnt; /* 0: none */
	__u64 dentry;
};

/*
 * A record being put together. `end` lives here rather than in a variable, so that the verifier sees one
 * state where a string was added and where it was not.
 */
struct assembly {
	__u32 end;
	__u32 finish; /* enum finish */
	__u64 object; /* socket of a connection; whatever a call must remember until its end */
	__u64 lookup; /* where a look-up under way leaves the path that it finds; what accept takes a connection from */
	__u64 events; /* of a connection: those of its events that are watched */
	__u64 key;    /* by what a call is kept */
	__s32 dfd;    /* from where PATH_ARG and NEW_PATH_ARG were to be resolved */
	__s32 new_dfd;
	__u32 counted; /* 1: of a read or write, `object` and `new_dfd` have what the task had moved before */
	__u32 capture; /* of a read or write: bytes of data that it may have */
	__u32 undecided; /* 1: if its return is missed, it is not known whether there is anything to tell of */
	__u32 finished;	 /* 1: its paths have been looked up */
	__u64 identified; /* inode; it has so many links */
	__u32 links;
	__u32 reserved;
	struct path_wanted paths[PATH_SLOTS];
	__u8 data[ASSEMBLY_SIZE];
};

/*
 * What is copied at once from one map to another: by plain loads, of which each takes a quarter of what it takes
 * bpf_probe_read_kernel() to be ready for one that fails.
 */
struct copied {
	__u64 words[8];
};

/* Copies so much of what has room for `most`, in whole parts of that. */
static __always_inline void copy_parts(void *to, const void *from, __u32 length, __u32 most)
{
#pragma clang loop unroll(disable)
	for (__u32 n = 0; n < most / sizeof(struct copied); n++) {
		if (n * sizeof(struct copied) >= length)
			break;
		((struct copied *)to)[n] = ((const struct copied *)from)[n];
	}
}

/* By number of the workspace. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct assembly);
} assemblies SEC(".maps");

static __always_inline struct assembly *assembly_in(__u32 workspace)
{
	return bpf_map_lookup_elem(&assemblies, &workspace);
}

/*
 * What looks up the paths and sends: so the walk is verified once, not in every program. Those of trampolines cannot
 * call one another, and each has it as a function.
 */
#ifdef FENTRY
int finish_record(__u32 workspace);
#else
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} finisher SEC(".maps");
#endif

/* What is known of the caller at the entry of a call, and must not be asked again later. */
struct origin {
	__u64 timestamp;
	__u64 cgroup_id;
	__u32 target;
	__u32 syscall;
	__u32 abi;
	__u32 flags; /* enum record_flags */
	__u16 share;
	__u16 capture; /* bytes of data that it may have */
	__u16 reserved[2];
	__u8 invocation[INVOCATION_LENGTH];
};

/* A system call as its caller's registers have it. */
struct user_call {
	__u32 number; /* NO_SYSCALL if there is none */
	__u32 abi;
	__u64 args[5];
};

static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

/*
 * A member of the current task, or of what that leads to: OF_TASK(real_parent, tgid). Since v5.11 the verifier knows
 * what the task is, and these are plain loads, of which each takes a tenth of bpf_probe_read_kernel().
 */
#define OF_TASK(...) ___apply(___of_task, ___narg(__VA_ARGS__))(__VA_ARGS__)
#define ___of_task1(a) (has_typed_task() ? TYPED_TASK->a : BPF_CORE_READ(current_task(), a))
#define ___of_task2(a, b) (has_typed_task() ? ___load(TYPED_TASK->a, b) : BPF_CORE_READ(current_task(), a, b))
#define ___of_task3(a, b, c) \
	(has_typed_task() ? ___load(___load(TYPED_TASK->a, b), c) : BPF_CORE_READ(current_task(), a, b, c))
/* Whether a pointer may be NULL is known to the verifier, and depends on the kernel. */
#define ___load(from, member)                                     \
	({                                                        \
		typeof(from) ___from = (from);                    \
		typeof(___from->member) ___to = (typeof(___to))0; \
                                                                  \
		if (___from)                                      \
			___to = ___from->member;                  \
		___to;                                            \
	})
#define TYPED_TASK bpf_get_current_task_btf()

static __always_inline int has_typed_task(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf);
}

/* What a system call has in registers. */
struct user_registers {
	__u64 orig_ax, bx, cx, dx, si, di, r8, r10, cs;
};

#define COPY_REGISTERS(to, from)                         \
	do {                                             \
		const struct pt_regs___kernel *f = from; \
		struct user_registers *t = to;           \
                                                         \
		t->orig_ax = f->orig_ax;                 \
		t->bx = f->bx;                           \
		t->cx = f->cx;                           \
		t->dx = f->dx;                           \
		t->si = f->si;                           \
		t->di = f->di;                           \
		t->r8 = f->r8;                           \
		t->r10 = f->r10;                         \
		t->cs = f->cs;                           \
	} while (0)

/*
 * The registers of user space lie at the top of the task's kernel stack; how much is above them depends on
 * the kernel (FRED, v6.9), which knows itself since v5.15.
 */
static __always_inline int read_user_registers(struct user_registers *registers)
{
#ifndef FENTRY /* What has trampolines knows. */
	struct pt_regs___kernel read;
	void *stack;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		stack = BPF_CORE_READ(current_task(), stack);
		if (bpf_probe_read_kernel(&read, sizeof(read), stack + THREAD_SIZE_X86 - sizeof(read)))
			return -1;
		COPY_REGISTERS(registers, &read);
		return 0;
	}
#endif
	COPY_REGISTERS(registers, (struct pt_regs___kernel *)bpf_task_pt_regs(TYPED_TASK));
	return 0;
}

/* The system call that the current task is in. */
static __always_inline void read_user_call(struct user_call *call)
{
	struct user_registers registers;

	__builtin_memset(call, 0, sizeof(*call));
	call->number = NO_SYSCALL;
	call->abi = ABI_X86_64;
	if (OF_TASK(flags) & PF_IO_WORKER) {
		call->abi = ABI_IO_URING;
		return;
	}
	if (read_user_registers(&registers))
		return;
	if (registers.orig_ax == SYSCALL_IO_URING_ENTER) {
		call->abi = ABI_IO_URING;
		return;
	}
	call->number = (__u32)registers.orig_ax;
	if (OF_TASK(thread_info.status) & TS_COMPAT) {
		call->abi = ABI_I386;
		call->args[0] = (__u32)registers.bx;
		call->args[1] = (__u32)registers.cx;
		call->args[2] = (__u32)registers.dx;
		call->args[3] = (__u32)registers.si;
		call->args[4] = (__u32)registers.di;
		return;
	}
	if (call->number != NO_SYSCALL && call->number & X32_SYSCALL_BIT) {
		call->abi = ABI_X32;
		call->number &= ~X32_SYSCALL_BIT;
	}
	call->args[0] = registers.di;
	call->args[1] = registers.si;
	call->args[2] = registers.dx;
	call->args[3] = registers.r10;
	call->args[4] = registers.r8;
}

static __always_inline struct user_call user_call(void)
{
	struct user_call call;

	read_user_call(&call);
	return call;
}

/* Part of a key, for a filter. */
static __always_inline __u64 filter_part(__u64 address)
{
	/* The golden ratio's bits, so that however things lie in memory they differ. */
	return address * 0x9e3779b97f4a7c15ULL >> 32;
}

/* Whether a key may be in a map: how many of its keys have this part. */
#define FILTER_PARTS 4096

struct filter {
	__u32 counts[FILTER_PARTS];
};

static __always_inline __u32 *filter_count(void *filter, __u64 part)
{
	__u32 zero = 0;
	struct filter *counts = bpf_map_lookup_elem(filter, &zero);

	return counts ? &counts->counts[part % FILTER_PARTS] : 0;
}

static __always_inline int may_be_there(void *filter, __u64 part)
{
	volatile __u32 *count = filter_count(filter, part);

	return count && *count;
}

/* Before a key is entered: whoever is told that it is there must find it. */
static __always_inline void count_in(void *filter, __u64 part)
{
	__u32 *count = filter_count(filter, part);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* After it was removed, by whoever removed it. */
static __always_inline void count_out(void *filter, __u64 part)
{
	__u32 *count = filter_count(filter, part);

	if (count)
		__sync_fetch_and_add(count, -1);
}

/* The value of a key in a map that has a filter. */
static __always_inline void *find(void *map, void *filter, __u64 key)
{
	return may_be_there(filter, filter_part(key)) ? bpf_map_lookup_elem(map, &key) : 0;
}

/* Enters a key that is not there; the negative number of an error. */
static __always_inline int enter(void *map, void *filter, __u64 key, const void *value)
{
	int error;

	count_in(filter, filter_part(key));
	error = bpf_map_update_elem(map, &key, value, BPF_NOEXIST);
	if (error)
		count_out(filter, filter_part(key));
	return error;
}

/* Enters a key, or changes its value. */
static __always_inline int put(void *map, void *filter, __u64 key, const void *value)
{
	if (find(map, filter, key) && !bpf_map_update_elem(map, &key, value, BPF_EXIST))
		return 0;
	return enter(map, filter, key, value);
}

/* Removes a key; not 0 if it was not there, or somebody else has removed it. */
static __always_inline int take_out(void *map, void *filter, __u64 key)
{
	int error;

	if (!may_be_there(filter, filter_part(key)))
		return -ENOENT;
	error = bpf_map_delete_elem(map, &key);
	if (!error)
		count_out(filter, filter_part(key));
	return error;
}

/* The filter of a map, by filter_part() of its keys. */
#define FILTER(name)                              \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, 1);           \
		__type(key, __u32);               \
		__type(value, struct filter);     \
	} name SEC(".maps")

/* Of `groups`, by the last bits of their ids. */
FILTER(group_filter);

/* Of `removed_groups`. What that forgets by itself stays counted, and may be looked up in vain. */
FILTER(removed_filter);

/* What is watched in a group; an unwatched one is not even looked up. */
static __always_inline struct group *watched_group(__u64 id)
{
	return may_be_there(&group_filter, id) ? bpf_map_lookup_elem(&groups, &id) : 0;
}

/* Enters a group, or changes what is watched in it; the negative number of an error. */
static __always_inline int enter_group(__u64 id, const struct group *group)
{
	int error;

	count_in(&group_filter, id);
	error = bpf_map_update_elem(&groups, &id, group, BPF_NOEXIST);
	if (!error)
		return 0;
	count_out(&group_filter, id);
	if (error != -EEXIST)
		return error;
	error = bpf_map_update_elem(&groups, &id, group, BPF_EXIST);
	/* It was removed meanwhile. */
	return error == -ENOENT ? 0 : error;
}

static __always_inline int remove_group(__u64 id)
{
	int error = bpf_map_delete_elem(&groups, &id);

	if (!error)
		count_out(&group_filter, id);
	return error;
}

#define EVENT_BIT(kind) (1ULL << (kind))

/*
 * What is done to have records in the journal: what the daemon does with its files, sockets and maps, and journald
 * with its own. Nothing else is ever left out, and so neither of them can run, fork or end unseen.
 */
#define OWN_WORK                                                                                           \
	(EVENT_BIT(EVENT_OPEN) | EVENT_BIT(EVENT_CLOSE) | EVENT_BIT(EVENT_READ) | EVENT_BIT(EVENT_WRITE) | \
	 EVENT_BIT(EVENT_MKDIR) | EVENT_BIT(EVENT_UNLINK) | EVENT_BIT(EVENT_RENAME) |                      \
	 EVENT_BIT(EVENT_TRUNCATE) | EVENT_BIT(EVENT_CHMOD) | EVENT_BIT(EVENT_CHOWN) |                     \
	 EVENT_BIT(EVENT_SETXATTR) | EVENT_BIT(EVENT_UNIX_CONNECT) | EVENT_BIT(EVENT_BPF))

static __always_inline int is_own_work(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	if (thread == own_thread || thread == handling_thread)
		return 1;
	/* journald's other threads close the files that are full. */
	return thread >> 32 == handling_process && (__u32)thread != handling_process;
}

/* A thread that ends, or runs another program, leaves its id to others. */
static __always_inline void end_own_work(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	if (thread == own_thread)
		own_thread = 0;
	if (thread == handling_thread)
		handling_thread = 0;
	if (thread == (handling_process << 32 | handling_process))
		handling_process = 0;
}

/* Both lie at multiples of 8, which the compiler does not see. */
static __always_inline void copy_invocation(void *to, const void *from)
{
	for (int i = 0; i < INVOCATION_LENGTH / sizeof(__u64); i++)
		((__u64 *)to)[i] = ((const __u64 *)from)[i];
}

/*
 * Which of these events are watched: the one look-up that decides for everybody else; what follows is paid by
 * the watched alone.
 */
static __always_inline __u64 watched_of(__u64 events, struct origin *origin)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();
	struct group *group = watched_group(cgroup_id);

	if (!group)
		return 0;
	events &= group->events;
	if (events & OWN_WORK && is_own_work())
		events &= ~OWN_WORK;
	if (!events)
		return 0;
	origin->flags = 0;
	if (events != EVENT_BIT(EVENT_EXEC) && set_up_of(bpf_get_current_task())) {
		if (!group->set_up)
			return 0;
		origin->flags = RECORD_SET_UP;
	}
	origin->timestamp = bpf_ktime_get_boot_ns();
	origin->cgroup_id = cgroup_id;
	origin->target = group->target;
	origin->share = group->share;
	origin->capture = group->capture;
	copy_invocation(origin->invocation, group->invocation);
	return events;
}

static __always_inline int watched(enum event_kind kind, struct origin *origin)
{
	return watched_of(EVENT_BIT(kind), origin) != 0;
}

static __always_inline void want_path(struct assembly *a, enum string_slot slot, struct vfsmount *mnt,
				      struct dentry *dentry)
{
	a->paths[slot].mnt = (__u64)mnt;
	a->paths[slot].dentry = (__u64)dentry;
}

static __always_inline void want_file_path(struct assembly *a, enum string_slot slot, struct file *file)
{
	struct path path = {};

	/* As it lies in the kernel: these two are all of it. */
	bpf_core_read(&path, sizeof(path), &file->f_path);
	want_path(a, slot, path.mnt, path.dentry);
}

#define STRING_PLACE_MAX (ASSEMBLY_SIZE - STRING_MAX - NAME_LONGEST - 1)

/* Where the next string goes; never so far that the longest one does not fit, and one name more. */
static __always_inline __u8 *string_end(struct assembly *a)
{
	__u64 end = a->end;

	if (end > STRING_PLACE_MAX)
		return 0;
	/* Once more, in the register that is used: the verifier forgets the bounds of what is moved to the stack. */
	asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(end) : "i"(STRING_PLACE_MAX));
	return a->data + end;
}

static __always_inline void note_string(struct assembly *a, enum string_slot slot, __u32 length, __u32 state)
{
	struct record_header *header = (struct record_header *)a->data;

	header->string_offset[slot] = a->end;
	header->string_length[slot] = length;
	header->string_state[slot] = state;
	a->end += length;
}

/* Appends bytes of the kernel. */
static __always_inline void append_bytes(struct assembly *a, enum string_slot slot, const void *from,
					 __u32 length, __u32 state)
{
	__u8 *to = string_end(a);

	if (length > STRING_MAX) {
		length = STRING_MAX;
		state |= STRING_TRUNCATED;
	}
	if (to && !bpf_probe_read_kernel(to, length, from))
		note_string(a, slot, length, state);
}

/* Appends a string that ends with NUL, of the kernel or of the calling process. */
static __always_inline void append_string(struct assembly *a, enum string_slot slot, const void *from,
					  int from_user)
{
	__u8 *to = string_end(a);
	long length;

	if (!to || !from)
		return;
	length = from_user ? bpf_probe_read_user_str(to, STRING_MAX + 1, from) :
			     bpf_probe_read_kernel_str(to, STRING_MAX + 1, from);
	/* PATH_MAX counts the NUL, so no path that the kernel took fills all of this. */
	/* Of an empty string of the process some kernels say that it has nothing, not even its NUL. */
	if (length >= 0)
		note_string(a, slot, length ? length - 1 : 0, length > STRING_MAX ? STRING_TRUNCATED : 0);
}

/* Added to atomically: some programs run on top of another on the same processor. */
static __always_inline struct counters *counters_of(__u32 target, __u32 kind)
{
	__u32 key = target * processors + bpf_get_smp_processor_id();
	struct target_counters *of = bpf_map_lookup_elem(&counters, &key);

	return of && kind < EVENT_COUNT ? &of->events[kind] : 0;
}

/* An event for which there was no room before it came to a record. */
static __always_inline void count_lost_state(__u32 target, __u32 kind)
{
	struct counters *count = counters_of(target, kind);

	if (!count)
		return;
	__sync_fetch_and_add(&count->seen, 1);
	__sync_fetch_and_add(&count->lost_state, 1);
}

/* What a record of this length takes of the ring. */
static __always_inline __u64 room_of(__u64 length)
{
	return (length + 2 * RECORD_ALIGNMENT - 1) & ~(__u64)(RECORD_ALIGNMENT - 1);
}

/*
 * How the reader is to be told of a record that takes so much room, if so much is in the ring: at the high-water mark,
 * and from there on at each further step. Where programs on several processors pass a mark at once, none of them may
 * see that; then the next step wakes it, or its timer.
 */
static __always_inline __u64 wake_reader(__u64 taken, __u64 room)
{
	__u64 after = taken + room;

	if (reader_sleeps) {
		reader_sleeps = 0;
		return BPF_RB_FORCE_WAKEUP;
	}
	return after >= high_water && (taken ^ after) >= high_water / HIGH_WATER_STEPS ? BPF_RB_FORCE_WAKEUP :
											 BPF_RB_NO_WAKEUP;
}

/*
 * A unit may have in the ring what others leave free, and no more than twice of that. So one that floods it takes
 * two thirds; two of them four fifths, and so on: something is always free for those that do not. `share` becomes
 * the unit's, `taken` what all have there.
 */
static __always_inline int has_room(__u32 index, __u64 length, struct share **share, __u64 *taken)
{
	*share = bpf_map_lookup_elem(&shares, &index);
	if (!*share)
		return 0;
	*taken = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	return (*share)->written - (*share)->released + room_of(length) <=
	       SHARE_OF_FREE * (ring_size - *taken);
}

/* Counts the event as seen, and sends its record or counts it as lost: the ledger's first half. */
static __always_inline void send_record(struct record_header *header, const volatile __u32 *end,
					__u32 longest)
{
	struct counters *count = counters_of(header->target, header->kind);
	struct share *share;
	__u64 length, taken;

	if (!count)
		return;
	__sync_fetch_and_add(&count->seen, 1);
	if (header->flags & RECORD_RESULT_MISSED)
		__sync_fetch_and_add(&count->results_missed, 1);
	/* Read here: the verifier forgets the bounds of what is moved to the stack. */
	length = *end;
	if (length <= longest && has_room(header->share, length, &share, &taken) &&
	    !bpf_ringbuf_output(&ring, header, length, wake_reader(taken, room_of(length))))
		__sync_fetch_and_add(&share->written, room_of(length));
	else
		__sync_fetch_and_add(&count->lost_ring, 1);
}

static __always_inline void submit(struct assembly *a)
{
	send_record((struct record_header *)a->data, &a->end, ASSEMBLY_SIZE);
}

/* The last thing that a program does: looks up the paths wanted, then sends or keeps the record. */
static __always_inline void finish(void *ctx, struct assembly *a)
{
#ifdef FENTRY
	finish_record(own_workspace());
#else
	struct record_header *header = (struct record_header *)a->data;

	bpf_tail_call(ctx, &finisher, 0);
	count_lost_state(header->target, header->kind);
#endif
}
