/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes that are set.
 *
 * vfs_setxattr(), and do_set_acl() for access control lists since v6.2 (commit 318e66856dde), have the file,
 * the name and the size, but no mount. A call by path has taken it for writing just before; one by descriptor
 * has the file.
 */
#pragma once

#include "attributes.h"

#define SYSCALL_FSETXATTR 190
#define SYSCALL_I386_FSETXATTR 228
#define SYSCALL_SETXATTRAT 463 /* by all doors */

/* What setxattrat() takes (v6.13, commit 6140be90ec70). */
struct xattr_arguments {
	__u64 value;
	__u32 size;
	__u32 flags;
};

/* The system calls themselves. */
static __always_inline int on_setxattr(void)
{
	struct xattr_arguments given = {};
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_SETXATTR, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (user.number == SYSCALL_SETXATTRAT) {
		record->mode = user.args[2];
		bpf_probe_read_user(&given, sizeof(given), (void *)user.args[4]);
		record->size = given.size;
		record->flags = given.flags;
		note_name(a, user.args[0], user.args[1]);
		append_user_string(a, STRING_NAME, user.args[3]);
		keep_call(a);
		return 0;
	}
	record->size = user.args[3];
	record->flags = user.args[4];
	if (user.number == SYSCALL_FSETXATTR || user.number == SYSCALL_I386_FSETXATTR)
		record->fd = user.args[0];
	else
		note_name(a, AT_FDCWD_FD, user.args[0]);
	keep_call(a);
	return 0;
}

/* The mount of the path of which an attribute will be set: kept as a path without file, which none looks up. */
static __always_inline int on_want_write(struct vfsmount *mnt)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();
	struct group *group = bpf_map_lookup_elem(&groups, &cgroup_id);
	struct record_header *header;
	struct assembly *a;

	if (!group || !(group->events & (1ULL << EVENT_SETXATTR)))
		return 0;
	a = kept_call(bpf_get_current_task());
	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	if (header->kind == EVENT_SETXATTR && !header->string_offset[STRING_PATH])
		a->paths[STRING_PATH].mnt = (__u64)mnt;
	return 0;
}

/* An overlay file system comes here once more for the file below: the first is the caller's. */
static __always_inline int on_xattr_set(void *ctx, struct dentry *dentry, const char *name, __u64 size)
{
	struct assembly *a = resume_call(EVENT_SETXATTR);
	struct file_record *record;
	struct vfsmount *mnt;
	struct file *file;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (record->header.string_offset[STRING_PATH])
		return 0;
	mnt = (struct vfsmount *)a->paths[STRING_PATH].mnt;
	if (!mnt) {
		file = file_of(record->fd == (__s32)NO_NUMBER ? a->dfd : record->fd);
		if (file && BPF_CORE_READ(file, f_path.dentry) == dentry)
			mnt = BPF_CORE_READ(file, f_path.mnt);
	}
	record->size = size;
	append_user_string(a, STRING_PATH_ARG, a->object);
	append_string(a, STRING_NAME, name, 0);
	identify_inode(&record->file, BPF_CORE_READ(dentry, d_inode));
	want_path(a, STRING_PATH, mnt, dentry);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline int on_setxattr_return(void *ctx, __s32 result)
{
	struct assembly *a = returned_call(EVENT_SETXATTR, result);
	struct user_call user;

	if (!a)
		return 0;
	user = user_call(current_task());
	append_user_string(a, STRING_NAME, user.args[user.number == SYSCALL_SETXATTRAT ? 3 : 1]);
	/* Not complete after all. */
	a->paths[STRING_PATH].mnt = 0;
	want_rest(a);
	finish(ctx, a);
	return 0;
}
