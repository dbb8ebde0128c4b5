/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names in directories: made, removed and moved.
 *
 * The functions called do_mkdirat() and the like (filename_mkdirat() since v7.0) are where all ways meet,
 * io_uring's included; their returns have the result. Before they change anything they ask
 * security_path_mkdir() and the like, with the entry and the path of its directory: the names are still as
 * the program found them, so this is where they are looked up. What was made is seen when vfs_mkdir() and the
 * like return.
 */
#pragma once

#include "call.h"
#include "names.h"

#define AT_REMOVEDIR_FLAG 0x200

static __always_inline struct assembly *begin_entry(enum event_kind kind, struct user_call *user)
{
	struct assembly *a = begin_call(kind, sizeof(struct file_record), user);

	if (a)
		((struct file_record *)a->data)->fd = NO_NUMBER;
	return a;
}

/* mkdir, rmdir, unlink and mknod */
static __always_inline int on_entry(enum event_kind kind, int dfd, const void *name, __u32 mode, __u32 device)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_entry(kind, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->mode = mode & 0xffff;
	/* As the call has it, include/linux/kdev_t.h: new_decode_dev(). */
	record->device_major = (device & 0xfff00) >> 8;
	record->device_minor = (device & 0xff) | ((device >> 12) & 0xfff00);
	a->dfd = dfd;
	if (is_copied(kind))
		append_copy(a, STRING_PATH_ARG, name);
	append_passed(a, kind, &user);
	keep_call(a);
	return 0;
}

static __always_inline int on_symlink(const void *target, int dfd, const void *name)
{
	struct user_call user;
	struct assembly *a = begin_entry(EVENT_SYMLINK, &user);

	if (!a)
		return 0;
	a->dfd = dfd;
	if (is_copied(EVENT_SYMLINK)) {
		append_copy(a, STRING_NAME, target);
		append_copy(a, STRING_PATH_ARG, name);
	}
	append_passed(a, EVENT_SYMLINK, &user);
	keep_call(a);
	return 0;
}

/* rename and link */
static __always_inline int on_two_names(enum event_kind kind, int dfd, const void *name, int new_dfd,
					const void *new_name, __u32 flags)
{
	struct user_call user;
	struct assembly *a = begin_entry(kind, &user);

	if (!a)
		return 0;
	((struct file_record *)a->data)->flags = flags;
	a->dfd = dfd;
	a->new_dfd = new_dfd;
	if (is_copied(kind)) {
		append_copy(a, STRING_PATH_ARG, name);
		append_copy(a, STRING_NEW_PATH_ARG, new_name);
	}
	append_passed(a, kind, &user);
	keep_call(a);
	return 0;
}

/* unlinkat() with flags that it does not know: refused before a name is looked at. */
static __always_inline int begin_refused(enum event_kind kind, const struct user_call *seen, __u32 flags)
{
	struct user_call user;
	struct assembly *a = begin_entry(kind, &user);

	if (!a)
		return 0;
	((struct file_record *)a->data)->flags = flags;
	a->dfd = seen->args[0];
	append_passed(a, kind, seen);
	keep_call(a);
	return 0;
}

static __always_inline int on_unlinkat(void)
{
	struct user_call user = user_call();
	__u32 flags = user.args[2];

	if (!(flags & ~AT_REMOVEDIR_FLAG))
		return 0;
	if (flags & AT_REMOVEDIR_FLAG)
		return begin_refused(EVENT_RMDIR, &user, flags);
	return begin_refused(EVENT_UNLINK, &user, flags);
}

static __always_inline int on_unlinkat_return(void *ctx, int result)
{
	struct user_call user = user_call();
	__u32 flags = user.args[2];

	if (!(flags & ~AT_REMOVEDIR_FLAG))
		return 0;
	return end_call(ctx, flags & AT_REMOVEDIR_FLAG ? EVENT_RMDIR : EVENT_UNLINK, result);
}

/*
 * The call of this kind under way. Other calls ask as well, an open that creates asks what mknod asks: they
 * must not add to a call whose return was missed.
 */
static __always_inline struct assembly *resume_entry(enum event_kind kind)
{
	struct assembly *a = resume_call(kind);
	struct user_call user;

	if (!a)
		return 0;
	user = user_call();
	if (user.number != ((struct record_header *)a->data)->syscall)
		return 0;
	if (!is_copied(kind))
		append_passed(a, kind, &user);
	return a;
}

static __always_inline void identify_entry(struct assembly *a, struct dentry *dentry)
{
	struct file_record *record = (struct file_record *)a->data;
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);

	if (inode)
		identify_inode(a, &record->file, inode);
}

/* Asked again if the first try has to wait for a lease, or finds a stale handle: its paths stay. */
static __always_inline void want_entry(struct assembly *a, enum string_slot slot, struct vfsmount *mnt,
				       struct dentry *dentry)
{
	if (!has_string(a, slot))
		want_path(a, slot, mnt, dentry);
}

static __always_inline int on_entry_found(void *ctx, enum event_kind kind, struct path *directory,
					  struct dentry *dentry)
{
	struct assembly *a = resume_entry(kind);

	if (!a)
		return 0;
	a->object = (__u64)dentry;
	identify_entry(a, dentry);
	want_entry(a, STRING_PATH, BPF_CORE_READ(directory, mnt), dentry);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline int on_rename_found(void *ctx, struct path *old, struct dentry *old_dentry,
					   struct path *new, struct dentry *new_dentry)
{
	struct assembly *a = resume_entry(EVENT_RENAME);

	if (!a)
		return 0;
	identify_entry(a, old_dentry);
	want_entry(a, STRING_PATH, BPF_CORE_READ(old, mnt), old_dentry);
	want_entry(a, STRING_NEW_PATH, BPF_CORE_READ(new, mnt), new_dentry);
	finish_kept(ctx, a);
	return 0;
}

/* A link across mounts has been refused by then: both are on that of the new one. */
static __always_inline int on_link_found(void *ctx, struct dentry *old_dentry, struct path *new,
					 struct dentry *new_dentry)
{
	struct assembly *a = resume_entry(EVENT_LINK);

	if (!a)
		return 0;
	identify_entry(a, old_dentry);
	want_entry(a, STRING_PATH, BPF_CORE_READ(new, mnt), old_dentry);
	want_entry(a, STRING_NEW_PATH, BPF_CORE_READ(new, mnt), new_dentry);
	finish_kept(ctx, a);
	return 0;
}

/* One of the kernel's, and no error. */
static __always_inline int is_pointer(__u64 value)
{
	return value >> 47 == 0x1ffff && value < (__u64)-4095;
}

/*
 * Return of vfs_mkdir() and the like, whose caller still holds the entry: it has its file, if that was made.
 * vfs_mkdir() returns the entry itself since v6.15 (commit c54b386969a5), which may be another one then. On a
 * file system that lies on others they are called again inside; the outer one returns last.
 */
static __always_inline int on_entry_made(__u64 result)
{
	struct file_record *record;
	struct assembly *a = kept_call(bpf_get_current_task());

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (record->header.kind != EVENT_MKDIR && record->header.kind != EVENT_SYMLINK &&
	    record->header.kind != EVENT_MKNOD)
		return 0;
	if (!a->object || record->header.syscall != user_call().number)
		return 0;
	identify_entry(a, (struct dentry *)(is_pointer(result) ? result : a->object));
	return 0;
}

static __always_inline int on_entry_return(void *ctx, enum event_kind kind, __s32 result)
{
	struct assembly *a;

	if (!is_copied(kind)) {
		a = resume_entry(kind);
		if (a)
			keep_call(a);
	}
	return end_call(ctx, kind, result);
}
