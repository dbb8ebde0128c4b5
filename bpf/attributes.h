/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What changes a file's mode and owner, and what all events of this kind share.
 *
 * A call is begun where its arguments are known, failures of every sort included: in the function of the system
 * call, or in the one where its variants meet. The path is that of the function that does the thing, which has
 * the place in the tree of files as the kernel found it. The names that these calls pass are read from the
 * caller's memory, since the kernel's copy is in no argument of a function that is not called by everybody for
 * everything.
 */
#pragma once

#include "call.h"

#define SYSCALL_FCHMODAT2 452 /* by all doors */

/* Begins a call that has a file_record; see begin_call(). */
static __always_inline struct assembly *begin_file_call(enum event_kind kind, struct user_call *user)
{
	struct assembly *a = begin_call(kind, sizeof(struct file_record), user);
	struct file_record *record;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->fd = NO_NUMBER;
	a->dfd = AT_FDCWD_FD;
	a->new_dfd = AT_FDCWD_FD;
	a->object = 0;
	return a;
}

/* Appends a string of the caller, unless it is there: its page may not have been in memory before. */
static __always_inline void append_user_string(struct assembly *a, enum string_slot slot, __u64 from)
{
	struct record_header *header = (struct record_header *)a->data;

	if (from && !header->string_offset[slot])
		append_string(a, slot, (const void *)from, 1);
}

/* The name that the caller passed, kept by its address, too. */
static __always_inline void note_name(struct assembly *a, int dfd, __u64 name)
{
	a->dfd = dfd;
	a->object = name;
	append_user_string(a, STRING_PATH_ARG, name);
}

/* Where the kernel has found the file that the call under way is about. */
static __always_inline int on_file_found(void *ctx, enum event_kind kind, struct vfsmount *mnt,
					 struct dentry *dentry)
{
	struct assembly *a = resume_call(kind);
	struct file_record *record;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	/* A second look of the same call, after ESTALE. */
	if (record->header.string_offset[STRING_PATH])
		return 0;
	append_user_string(a, STRING_PATH_ARG, a->object);
	identify_inode(&record->file, BPF_CORE_READ(dentry, d_inode));
	want_path(a, STRING_PATH, mnt, dentry);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline int on_path_found(void *ctx, enum event_kind kind, struct path *path)
{
	return on_file_found(ctx, kind, BPF_CORE_READ(path, mnt), BPF_CORE_READ(path, dentry));
}

/*
 * What failed before the kernel found the file gets what can be told: the directory that the name is relative
 * to, or the file of the descriptor.
 */
static __always_inline void want_rest(struct assembly *a)
{
	struct file_record *record = (struct file_record *)a->data;
	struct file *file;

	append_user_string(a, STRING_PATH_ARG, a->object);
	if (record->header.string_offset[STRING_PATH])
		return;
	if (record->header.string_offset[STRING_PATH_ARG]) {
		want_base(a, STRING_BASE, a->dfd);
		return;
	}
	file = file_of(record->fd);
	if (!file)
		return;
	identify(&record->file, file);
	want_file_path(a, STRING_PATH, file);
}

/*
 * The first half of a call's return. Sends the record if it is complete; else returns it, to be given the rest
 * and finished.
 */
static __always_inline struct assembly *returned_call(enum event_kind kind, __s32 result)
{
	__u64 task = bpf_get_current_task();
	struct assembly *a = kept_call(task);
	struct record_header *header;

	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	if (header->kind != kind)
		return 0;
	if (header->string_offset[STRING_EXE]) {
		send_kept(task, result, 0);
		return 0;
	}
	a = resume_call(kind);
	if (!a)
		return 0;
	drop_call(task);
	header = (struct record_header *)a->data;
	header->result = result;
	a->finish = FINISH_SUBMIT;
	return a;
}

static __always_inline int end_file_call(void *ctx, enum event_kind kind, __s32 result)
{
	struct assembly *a = returned_call(kind, result);

	if (!a)
		return 0;
	want_rest(a);
	finish(ctx, a);
	return 0;
}

/* chmod, fchmodat, fchmodat2; the last has flags (v6.6, commit 09da082b07bb). */
static __always_inline int on_chmod(int dfd, __u64 name, __u32 mode, __u32 flags)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_CHMOD, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->mode = mode;
	if (user.number == SYSCALL_FCHMODAT2)
		record->flags = flags;
	note_name(a, dfd, name);
	keep_call(a);
	return 0;
}

/* The system call fchmod itself. */
static __always_inline int on_fchmod(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_CHMOD, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->fd = user.args[0];
	record->mode = user.args[1];
	keep_call(a);
	return 0;
}

/* chown, lchown, fchownat, and those of 16 bits. */
static __always_inline int on_chown(int dfd, __u64 name, __u32 uid, __u32 gid, __u32 flags)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_CHOWN, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->uid = uid;
	record->gid = gid;
	record->flags = flags;
	note_name(a, dfd, name);
	keep_call(a);
	return 0;
}

static __always_inline int on_fchown(int fd, __u32 uid, __u32 gid)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_CHOWN, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->fd = fd;
	record->uid = uid;
	record->gid = gid;
	keep_call(a);
	return 0;
}
