/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names in directories, made and removed.
 *
 * The functions called do_mkdirat() and the like (filename_mkdirat() since v7.0) are where all ways meet,
 * io_uring's included; their returns have the result. What was made is seen in done_path_create(), which they
 * call with the entry and its directory's mount while both are still held.
 */
#pragma once

#include "call.h"

/*
 * Until v5.15 these functions took the caller's pointer instead of the kernel's copy of the name; the same
 * release brought the operation to io_uring (commits 45f30dab3957 and e34a02dc40c9).
 */
static __always_inline void append_name(struct assembly *a, enum string_slot slot, const void *name)
{
	const struct filename *copied = name;

	if (bpf_core_enum_value_exists(enum io_uring_op___5_15, IORING_OP_MKDIRAT))
		append_string(a, slot, BPF_CORE_READ(copied, name), 0);
	else
		append_string(a, slot, name, 1);
}

static __always_inline int on_mkdir(int dfd, const void *name, __u32 mode)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_call(EVENT_MKDIR, sizeof(*record), &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->mode = mode;
	record->fd = NO_NUMBER;
	a->dfd = dfd;
	append_name(a, STRING_PATH_ARG, name);
	keep_call(a);
	return 0;
}

/* The entry has its file if it was made. */
static __always_inline int on_path_created(void *ctx, enum event_kind kind, struct path *path,
					   struct dentry *dentry)
{
	struct assembly *a = resume_call(kind);
	struct file_record *record;
	struct inode *inode;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	inode = BPF_CORE_READ(dentry, d_inode);
	if (inode)
		identify_inode(&record->file, inode);
	want_path(a, STRING_PATH, BPF_CORE_READ(path, mnt), dentry);
	finish_kept(ctx, a);
	return 0;
}
