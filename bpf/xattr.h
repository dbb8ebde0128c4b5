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
#include "uring.h"

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
	struct group *group = watched_group(cgroup_id);
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
	identify_inode(a, &record->file, BPF_CORE_READ(dentry, d_inode));
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
	user = user_call();
	append_user_string(a, STRING_NAME, user.args[user.number == SYSCALL_SETXATTRAT ? 3 : 1]);
	/* Not complete after all. */
	a->paths[STRING_PATH].mnt = 0;
	want_rest(a);
	finish(ctx, a);
	return 0;
}

/* Begins the record of a request of io_uring (v5.19), which always has a worker do it. */
static __always_inline struct assembly *begin_uring_xattr(struct io_kiocb *request)
{
	struct io_xattr *xattr = (void *)request;
	__u64 key = (__u64)request, task = bpf_get_current_task();
	struct file_record *record;
	struct user_call user;
	struct assembly *a;

	if (!bpf_core_type_exists(struct io_xattr))
		return 0;
	a = begin_file_call(EVENT_SETXATTR, &user);
	if (!a)
		return 0;
	bpf_map_update_elem(&uring_requests, &task, &key, BPF_ANY);
	of_uring(a);
	record = (struct file_record *)a->data;
	record->size = BPF_CORE_READ(xattr, ctx.size);
	record->flags = BPF_CORE_READ(xattr, ctx.flags);
	append_string(a, STRING_NAME, BPF_CORE_READ(xattr, ctx.kname), 0);
	return a;
}

static __always_inline int on_uring_setxattr(struct io_kiocb *request)
{
	struct assembly *a = begin_uring_xattr(request);
	struct io_xattr___7_0 *delayed = (void *)request;
	struct io_xattr *xattr = (void *)request;
	struct filename *name;

	if (!a)
		return 0;
	if (bpf_core_field_exists(delayed->filename.__incomplete_filename))
		name = BPF_CORE_READ(delayed, filename.__incomplete_filename);
	else
		name = BPF_CORE_READ(xattr, filename);
	append_string(a, STRING_PATH_ARG, BPF_CORE_READ(name, name), 0);
	keep_call(a);
	return 0;
}

static __always_inline int on_uring_fsetxattr(void *ctx, struct io_kiocb *request)
{
	struct assembly *a = begin_uring_xattr(request);
	struct file *file = BPF_CORE_READ(request, file);
	struct file_record *record;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->fd = uring_fd(request, file);
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

/* The request has the result. -EAGAIN means that a worker is still to do it. */
static __always_inline int on_uring_setxattr_return(void *ctx, int result)
{
	__u64 task = bpf_get_current_task(), request;
	__u64 *at = bpf_map_lookup_elem(&uring_requests, &task);
	struct assembly *a;

	if (!at || !bpf_core_field_exists(struct io_kiocb, cqe))
		return 0;
	request = *at;
	bpf_map_delete_elem(&uring_requests, &task);
	if (result == -EAGAIN_NUMBER) {
		drop_call(call_key(EVENT_SETXATTR));
		return 0;
	}
	a = returned_call(EVENT_SETXATTR, BPF_CORE_READ((struct io_kiocb *)request, cqe.res));
	if (!a)
		return 0;
	a->paths[STRING_PATH].mnt = 0;
	want_rest(a);
	finish(ctx, a);
	return 0;
}
