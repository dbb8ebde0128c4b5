/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What changes a file's mode and owner, and what all events of this kind share.
 *
 * A call is begun in the function of the system call, which sees failures of every sort; those where variants
 * meet, as do_fchmodat(), are inlined into some of their callers by some kernels. The path is that of the function
 * that does the thing, which has the place in the tree of files as the kernel found it. The names that these calls
 * pass are read from the caller's memory, since the kernel's copy is in no argument of a function that is not called
 * by everybody for everything.
 */
#pragma once

#include "call.h"

#define SYSCALL_CHMOD 90
#define SYSCALL_FCHMOD 91
#define SYSCALL_FCHOWN 93
#define SYSCALL_LCHOWN 94
#define SYSCALL_FCHOWNAT 260
#define SYSCALL_I386_CHMOD 15
#define SYSCALL_I386_LCHOWN 16
#define SYSCALL_I386_FCHMOD 94
#define SYSCALL_I386_FCHOWN 95
#define SYSCALL_I386_CHOWN 182
#define SYSCALL_I386_LCHOWN32 198
#define SYSCALL_I386_FCHOWN32 207
#define SYSCALL_I386_FCHOWNAT 298
#define SYSCALL_FCHMODAT2 452 /* by all doors */

#define AT_SYMLINK_NOFOLLOW_FLAG 0x100

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
	identify_inode(a, &record->file, BPF_CORE_READ(dentry, d_inode));
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
 * to, or the file of the descriptor, be it passed as such or with an empty name.
 */
static __always_inline void want_rest(struct assembly *a)
{
	struct file_record *record = (struct file_record *)a->data;
	struct file *file;

	append_user_string(a, STRING_PATH_ARG, a->object);
	if (record->header.string_offset[STRING_PATH])
		return;
	file = file_of(record->fd);
	if (record->header.string_offset[STRING_PATH_ARG]) {
		file = record->header.string_length[STRING_PATH_ARG] ? 0 : file_of(a->dfd);
		if (!file)
			want_base(a, STRING_BASE, a->dfd);
	}
	if (!file)
		return;
	note_file(a, &record->file, file);
}

/*
 * The first half of a call's return. Sends the record if it is complete; else returns it, to be given the rest
 * and finished.
 */
static __always_inline struct assembly *returned_call(enum event_kind kind, __s32 result)
{
	__u64 task = bpf_get_current_task();
	struct assembly *a;

	if (!may_be_kept(task) || end_complete(task, kind, result))
		return 0;
	a = resume_call(kind);
	if (!a)
		return 0;
	drop_call(task);
	((struct record_header *)a->data)->result = result;
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

/* The system calls themselves, by all doors: their numbers differ, so one look at them is enough. */
static __always_inline int on_chmod(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_CHMOD, &user);
	__u16 mode;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	switch (user.number) {
	case SYSCALL_CHMOD:
	case SYSCALL_I386_CHMOD:
		mode = user.args[1];
		note_name(a, AT_FDCWD_FD, user.args[0]);
		break;
	case SYSCALL_FCHMOD:
	case SYSCALL_I386_FCHMOD:
		mode = user.args[1];
		record->fd = user.args[0];
		break;
	default: /* fchmodat, fchmodat2 */
		mode = user.args[2];
		if (user.number == SYSCALL_FCHMODAT2)
			record->flags = user.args[3];
		note_name(a, user.args[0], user.args[1]);
	}
	record->mode = mode;
	keep_call(a);
	return 0;
}

/* An id as the calls of 16 bits have it. */
static __always_inline __u32 id_of_16_bits(__u64 id)
{
	__u16 low = id;

	return low == (__u16)-1 ? (__u32)-1 : low;
}

static __always_inline int on_chown(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_CHOWN, &user);
	__u64 uid, gid;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	uid = user.args[1];
	gid = user.args[2];
	switch (user.number) {
	case SYSCALL_FCHOWNAT:
	case SYSCALL_I386_FCHOWNAT:
		uid = user.args[2];
		gid = user.args[3];
		record->flags = user.args[4];
		note_name(a, user.args[0], user.args[1]);
		break;
	case SYSCALL_FCHOWN:
	case SYSCALL_I386_FCHOWN:
	case SYSCALL_I386_FCHOWN32:
		record->fd = user.args[0];
		break;
	case SYSCALL_LCHOWN:
	case SYSCALL_I386_LCHOWN:
	case SYSCALL_I386_LCHOWN32:
		record->flags = AT_SYMLINK_NOFOLLOW_FLAG;
		/* fall through */
	default: /* chown */
		note_name(a, AT_FDCWD_FD, user.args[0]);
	}
	record->uid = uid;
	record->gid = gid;
	if (user.number == SYSCALL_I386_CHOWN || user.number == SYSCALL_I386_LCHOWN ||
	    user.number == SYSCALL_I386_FCHOWN) {
		record->uid = id_of_16_bits(uid);
		record->gid = id_of_16_bits(gid);
	}
	keep_call(a);
	return 0;
}
