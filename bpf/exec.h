/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Executing programs.
 *
 * Success is told by finalize_exec(), which binary formats call when nothing can fail any more: the new
 * program's arguments are in place, the credentials are the new ones, and no return probe is needed. Failure
 * is told by the returns of alloc_bprm() and bprm_execve(), while the kernel's copy of the name is still there;
 * what fails otherwise (no such address, arguments too long), or while such a return was missed, by the system
 * call's return.
 */
#pragma once

#include "common.h"
#include "path.h"

/* Arguments of a failed exec are read from the caller, one pointer at a time. */
#define ARGUMENTS_READ 128

struct exec_call {
	struct origin origin;
	__u64 name; /* the kernel's struct filename, where it is known before the program's file is */
	__u64 bprm;
	__u64 file; /* the first file: for a script the script. Its last reference goes at the return to user space */
	__u32 told; /* the failure has been recorded */
	__u32 reserved;
};

/* Execs under way, by task: a thread that executes takes over its leader's id, not its task. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct exec_call);
} exec_calls SEC(".maps");

FILTER(exec_filter);

static __always_inline struct exec_call *exec_under_way(__u64 task)
{
	return find(&exec_calls, &exec_filter, task);
}

static __always_inline void forget_exec(__u64 task)
{
	take_out(&exec_calls, &exec_filter, task);
}

static __always_inline int is_execve(const struct user_call *call)
{
	return call->number == (call->abi == ABI_I386 ? 11 : call->abi == ABI_X32 ? 520 : 59);
}

static __always_inline int is_execveat(const struct user_call *call)
{
	return call->number == (call->abi == ABI_I386 ? 358 : call->abi == ABI_X32 ? 545 : 322);
}

/* The new program's arguments, as the kernel laid them out. */
static __always_inline void append_new_arguments(struct assembly *a)
{
	struct mm_struct *mm = OF_TASK(mm);
	__u64 from = BPF_CORE_READ(mm, arg_start);
	__u64 length = BPF_CORE_READ(mm, arg_end) - from;
	__u8 *to = string_end(a);
	__u32 state = 0;

	if (!to)
		return;
	if (length > STRING_MAX) {
		length = STRING_MAX;
		state = STRING_TRUNCATED;
	}
	if (bpf_probe_read_user(to, length, (void *)from)) {
		length = 0;
		state = STRING_TRUNCATED;
	}
	note_string(a, STRING_ARGV, length, state);
}

/* The arguments that a failed call was given. */
static __always_inline void append_given_arguments(struct assembly *a, const struct user_call *call,
						   __u32 *argc)
{
	struct record_header *header = (struct record_header *)a->data;
	__u64 argv = is_execveat(call) ? call->args[2] : call->args[1];
	__u32 size = call->abi == ABI_X86_64 ? 8 : 4;
	__u32 begin = a->end;

	note_string(a, STRING_ARGV, 0, STRING_TRUNCATED);
	for (int i = 0; i < ARGUMENTS_READ; i++) {
		__u64 pointer = 0;
		__u8 *to = string_end(a);
		long length;

		if (!to || a->end - begin >= STRING_MAX)
			break;
		if (bpf_probe_read_user(&pointer, size, (void *)(argv + i * size)))
			break;
		if (!pointer) {
			header->string_state[STRING_ARGV] = 0;
			break;
		}
		length = bpf_probe_read_user_str(to, STRING_MAX + 1, (void *)pointer);
		if (length < 0)
			break;
		*argc = i + 1;
		a->end += length;
	}
	if (a->end - begin > STRING_MAX) {
		a->end = begin + STRING_MAX;
		header->string_state[STRING_ARGV] = STRING_TRUNCATED;
	}
	header->string_length[STRING_ARGV] = a->end - begin;
}

static __always_inline struct exec_call *begin_exec(__u64 name)
{
	struct exec_call call = { .name = name };
	__u64 task = bpf_get_current_task();
	struct user_call user;

	if (!watched(EVENT_EXEC, &call.origin))
		return 0;
	user = user_call();
	call.origin.syscall = user.number;
	call.origin.abi = user.abi;
	if (put(&exec_calls, &exec_filter, task, &call)) {
		count_lost_state(call.origin.target, EVENT_EXEC);
		return 0;
	}
	return exec_under_way(task);
}

static __always_inline int on_exec_alloc(struct filename *name)
{
	begin_exec((__u64)name);
	return 0;
}

static __always_inline int on_exec_begin(struct linux_binprm *bprm)
{
	__u64 task = bpf_get_current_task();
	struct exec_call *call = exec_under_way(task);

	/* One that is there and has come as far as this was left behind. */
	if (!call || call->bprm)
		call = begin_exec(0);
	if (call)
		call->bprm = (__u64)bprm;
	return 0;
}

/* Called for each file in turn: script, its interpreter, the interpreter's. The first one is what was asked for. */
static __always_inline int on_exec_check(struct linux_binprm *bprm)
{
	__u64 task = bpf_get_current_task();
	struct exec_call *call = exec_under_way(task);

	check_set_up(bprm);
	if (call && !call->file)
		call->file = (__u64)BPF_CORE_READ(bprm, file);
	return 0;
}

/* The directory from which the name of a failed call was to be resolved. */
static __always_inline void want_exec_base(struct assembly *a, const struct user_call *call)
{
	want_base(a, STRING_BASE, is_execveat(call) ? (int)call->args[0] : AT_FDCWD_FD);
}

static __always_inline void append_program(struct assembly *a, struct exec_call *call)
{
	struct exec_record *record = (struct exec_record *)a->data;
	struct linux_binprm *bprm = (struct linux_binprm *)call->bprm;

	if (call->file) {
		note_file(a, &record->file, (struct file *)call->file);
	}
	append_string(a, STRING_PATH_ARG, BPF_CORE_READ(bprm, filename), 0);
	if (BPF_CORE_READ(bprm, fdpath))
		record->header.flags |= RECORD_FD_PATH;
	if (BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename))
		append_string(a, STRING_INTERPRETER, BPF_CORE_READ(bprm, interp), 0);
}

static __always_inline int on_exec_success(void *ctx, struct linux_binprm *bprm)
{
	__u64 task = bpf_get_current_task();
	struct exec_call *call = exec_under_way(task);
	int set_up = settle_set_up();
	struct exec_record *record;
	struct assembly *a;

	end_own_work();
	if (!call)
		return 0;
	if (set_up) {
		struct group *group = bpf_map_lookup_elem(&groups, &call->origin.cgroup_id);

		if (!group || !group->set_up) {
			forget_exec(task);
			return 0;
		}
		call->origin.flags |= RECORD_SET_UP;
	}
	a = begin_record(EVENT_EXEC, &call->origin, sizeof(*record));
	if (!a)
		return 0;
	record = (struct exec_record *)a->data;
	record->argc = BPF_CORE_READ(bprm, argc);
	append_program(a, call);
	append_new_arguments(a);
	forget_exec(task);
	finish(ctx, a);
	return 0;
}

/* Tells of a failure, with all that is known by now but the program and its name. */
static __always_inline struct assembly *failed_exec(struct exec_call *call, int result)
{
	struct assembly *a = begin_record(EVENT_EXEC, &call->origin, sizeof(struct exec_record));
	struct user_call user = user_call();
	struct exec_record *record;

	if (!a)
		return 0;
	record = (struct exec_record *)a->data;
	record->header.result = result;
	if (is_execve(&user) || is_execveat(&user)) {
		want_exec_base(a, &user);
		append_given_arguments(a, &user, &record->argc);
	}
	call->told = 1;
	return a;
}

/*
 * Return of alloc_bprm(). Since v6.8 (commit 978ffcbf00d8) this is where the file is opened: if that fails, the
 * kernel's copy of the name is still there.
 */
static __always_inline int on_exec_alloc_failure(void *ctx, long result)
{
	__u64 task = bpf_get_current_task();
	struct exec_call *call = exec_under_way(task);
	struct filename *name;
	struct assembly *a;

	if (!call || !call->name || result >= 0 || result < -4095)
		return 0;
	a = failed_exec(call, result);
	if (!a)
		return 0;
	name = (struct filename *)call->name;
	append_string(a, STRING_PATH_ARG, BPF_CORE_READ(name, name), 0);
	finish(ctx, a);
	return 0;
}

/* Return of bprm_execve(): its argument still has the name as the kernel took it. */
static __always_inline int on_exec_failure(void *ctx, int result)
{
	__u64 task = bpf_get_current_task();
	struct exec_call *call = exec_under_way(task);
	struct assembly *a;

	if (!call || !call->bprm || result >= 0)
		return 0;
	a = failed_exec(call, result);
	if (!a)
		return 0;
	append_program(a, call);
	finish(ctx, a);
	return 0;
}

/* Return of the system call: what failed and has not been told yet. */
static __always_inline int on_exec_return(void *ctx, int result)
{
	__u64 task = bpf_get_current_task();
	struct origin origin = {};
	struct exec_record *record;
	struct exec_call *call;
	struct user_call user;
	struct assembly *a;
	__u32 told;

	if (result >= 0)
		return 0;
	user = user_call();
	call = exec_under_way(task);
	if (call) {
		told = call->told;
		origin = call->origin;
		forget_exec(task);
		if (told)
			return 0;
	} else {
		if (!watched(EVENT_EXEC, &origin))
			return 0;
		origin.syscall = user.number;
		origin.abi = user.abi;
	}
	a = begin_record(EVENT_EXEC, &origin, sizeof(*record));
	if (!a)
		return 0;
	record = (struct exec_record *)a->data;
	record->header.result = result;
	append_string(a, STRING_PATH_ARG, (void *)(is_execveat(&user) ? user.args[1] : user.args[0]), 1);
	append_given_arguments(a, &user, &record->argc);
	want_exec_base(a, &user);
	finish(ctx, a);
	return 0;
}
