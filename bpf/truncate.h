/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files cut or extended: by name, by descriptor, and by an open with O_TRUNC, which has a record of its own if
 * the kernel comes to truncate anything.
 */
#pragma once

#include "attributes.h"
#include "journald.h"

#define SYSCALL_FTRUNCATE 77
#define SYSCALL_I386_TRUNCATE 92
#define SYSCALL_I386_FTRUNCATE 93
#define SYSCALL_I386_TRUNCATE64 193
#define SYSCALL_I386_FTRUNCATE64 194

/* What do_truncate() is told by an open, include/linux/fs.h. */
#define ATTR_OPEN (1 << 15)
/* In `new_dfd`: begun by do_truncate() itself, whose return ends it. */
#define TRUNCATE_BY_OPEN 1

/* The system calls themselves: their numbers differ, so one look at them is enough. */
static __always_inline int on_truncate(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_TRUNCATE, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (user.number == SYSCALL_I386_TRUNCATE64 || user.number == SYSCALL_I386_FTRUNCATE64)
		record->size = user.args[1] | user.args[2] << 32;
	else if (user.abi == ABI_I386)
		record->size = (__s64)(__s32)user.args[1];
	else
		record->size = user.args[1];
	if (user.number == SYSCALL_FTRUNCATE || user.number == SYSCALL_I386_FTRUNCATE ||
	    user.number == SYSCALL_I386_FTRUNCATE64)
		record->fd = user.args[0];
	else
		note_name(a, AT_FDCWD_FD, user.args[0]);
	keep_call(a);
	return 0;
}

/* An open that found a file there, has it open, and still has the name it came by. */
static __always_inline int on_truncating_open(void *ctx, struct file *file, __u64 length)
{
	struct nameidata *lookup = OF_TASK(nameidata);
	const char *name = BPF_CORE_READ(lookup, name, name);
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_TRUNCATE, &user);
	char first = 0;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->size = length;
	/* That of a file handle is empty. */
	bpf_probe_read_kernel(&first, sizeof(first), name);
	if (first)
		append_string(a, STRING_PATH_ARG, name, 0);
	a->new_dfd = TRUNCATE_BY_OPEN;
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

/* Overlay file systems and core dumps come here as well, with no call under way and not for an open. */
static __always_inline int on_do_truncate(void *ctx, __u64 length, __u32 attributes, struct file *file)
{
	if (!file)
		return 0;
	if (attributes & ATTR_OPEN)
		return on_truncating_open(ctx, file, length);
	if (is_touch(file, length)) {
		drop_call(bpf_get_current_task());
		return 0;
	}
	return on_file_found(ctx, EVENT_TRUNCATE, BPF_CORE_READ(file, f_path.mnt),
			     BPF_CORE_READ(file, f_path.dentry));
}

static __always_inline int on_do_truncate_return(void *ctx, __s32 result)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	if (!a || a->new_dfd != TRUNCATE_BY_OPEN)
		return 0;
	return end_file_call(ctx, EVENT_TRUNCATE, result);
}

/* ftruncate by io_uring (v6.9, commit b4bb1900c12e), which always has a worker do it. */
static __always_inline int on_uring_truncate(void *ctx, struct file *file, __u64 length)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a;

	if (!(OF_TASK(flags) & PF_IO_WORKER))
		return 0;
	a = begin_file_call(EVENT_TRUNCATE, &user);
	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->size = length;
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline int on_uring_truncate_return(void *ctx, __s32 result)
{
	if (!(OF_TASK(flags) & PF_IO_WORKER))
		return 0;
	return end_file_call(ctx, EVENT_TRUNCATE, result);
}
