/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is mounted where.
 *
 * Recorded are the calls that make a mount, put it in its place or change it. What only prepares a file system
 * (fsopen, fsconfig, fspick) mounts nothing yet.
 */
#pragma once

#include "attributes.h"

#define SYSCALL_MOUNT 165
#define SYSCALL_I386_MOUNT 21
#define SYSCALL_I386_OLDUMOUNT 22
/* By all doors: */
#define SYSCALL_OPEN_TREE 428
#define SYSCALL_MOVE_MOUNT 429
#define SYSCALL_FSMOUNT 432
#define SYSCALL_MOUNT_SETATTR 442
#define SYSCALL_OPEN_TREE_ATTR 467

#define OPEN_TREE_CLONE 1

/* What mount_setattr() and open_tree_attr() take. */
struct mount_attributes {
	__u64 set;
	__u64 cleared;
	__u64 propagation;
};

static __always_inline void note_mount_attributes(struct file_record *record, __u64 from)
{
	struct mount_attributes given = {};

	bpf_probe_read_user(&given, sizeof(given), (void *)from);
	record->mode = given.set;
	record->device_major = given.cleared;
	record->device_minor = given.propagation;
}

/* The system calls themselves. */
static __always_inline int on_mount(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_MOUNT, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	switch (user.number) {
	case SYSCALL_MOUNT:
	case SYSCALL_I386_MOUNT:
		record->flags = user.args[3];
		note_name(a, AT_FDCWD_FD, user.args[1]);
		break;
	case SYSCALL_MOVE_MOUNT:
		record->flags = user.args[4];
		a->new_dfd = user.args[0];
		note_name(a, user.args[2], user.args[3]);
		append_user_string(a, STRING_NEW_PATH_ARG, user.args[1]);
		break;
	case SYSCALL_FSMOUNT:
		record->fd = user.args[0];
		record->flags = user.args[1];
		record->mode = user.args[2];
		break;
	case SYSCALL_OPEN_TREE:
		/* Else it only opens. */
		if (!(user.args[2] & OPEN_TREE_CLONE))
			return 0;
		record->flags = user.args[2];
		note_name(a, user.args[0], user.args[1]);
		break;
	case SYSCALL_OPEN_TREE_ATTR:
	case SYSCALL_MOUNT_SETATTR:
		record->flags = user.args[2];
		note_mount_attributes(record, user.args[3]);
		note_name(a, user.args[0], user.args[1]);
		break;
	default:
		return 0;
	}
	keep_call(a);
	return 0;
}

/* mount(2) has found where; source and type are the kernel's copies. The place is looked up before it is covered. */
static __always_inline int on_path_mount(void *ctx, const char *source, struct path *path, const char *type)
{
	struct assembly *a = resume_call(EVENT_MOUNT);
	struct file_record *record;
	struct dentry *dentry = BPF_CORE_READ(path, dentry);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (record->header.string_offset[STRING_PATH])
		return 0;
	append_user_string(a, STRING_PATH_ARG, a->object);
	append_string(a, STRING_NEW_PATH_ARG, source, 0);
	append_string(a, STRING_NAME, type, 0);
	identify_inode(a, &record->file, BPF_CORE_READ(dentry, d_inode));
	want_path(a, STRING_PATH, BPF_CORE_READ(path, mnt), dentry);
	finish_kept(ctx, a);
	return 0;
}

/* move_mount() has found both. A mount that is in no tree yet has no place: its source is that of the file system. */
static __always_inline int on_move_mount(void *ctx, struct path *from, struct path *to)
{
	struct assembly *a = resume_call(EVENT_MOUNT);
	struct dentry *dentry = BPF_CORE_READ(to, dentry);
	struct vfsmount *mnt = BPF_CORE_READ(from, mnt);
	struct mount *mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	struct file_record *record;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (record->header.string_offset[STRING_PATH])
		return 0;
	append_user_string(a, STRING_PATH_ARG, a->object);
	append_string(a, STRING_NAME, BPF_CORE_READ(mnt, mnt_sb, s_type, name), 0);
	if (BPF_CORE_READ(mount, mnt_parent) == mount)
		append_string(a, STRING_NEW_PATH_ARG, BPF_CORE_READ(mount, mnt_devname), 0);
	else
		want_path(a, STRING_NEW_PATH, mnt, BPF_CORE_READ(from, dentry));
	identify_inode(a, &record->file, BPF_CORE_READ(dentry, d_inode));
	want_path(a, STRING_PATH, BPF_CORE_READ(to, mnt), dentry);
	finish_kept(ctx, a);
	return 0;
}

/*
 * mount_setattr() has found the mount. Compilers split its path: then the two arguments are what is in it, a mount and
 * a directory of the same file system.
 */
static __always_inline int on_mount_setattr(void *ctx, void *first, void *second)
{
	struct vfsmount *mnt = first;
	struct dentry *dentry = second;
	struct super_block *sb = BPF_CORE_READ(dentry, d_sb);

	if (sb && sb == BPF_CORE_READ(mnt, mnt_sb))
		return on_file_found(ctx, EVENT_MOUNT, mnt, dentry);
	return on_path_found(ctx, EVENT_MOUNT, first);
}

/* fsmount() has made the mount and cleans up what it was prepared in. Others come here as well. */
static __always_inline int on_fsmount(struct fs_context *context)
{
	struct assembly *a = resume_call(EVENT_MOUNT);
	struct record_header *header;

	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	if (header->syscall != SYSCALL_FSMOUNT)
		return 0;
	append_string(a, STRING_NEW_PATH_ARG, BPF_CORE_READ(context, source), 0);
	append_string(a, STRING_NAME, BPF_CORE_READ(context, fs_type, name), 0);
	keep_call(a);
	return 0;
}

static __always_inline int on_mount_return(void *ctx, __s32 result)
{
	struct assembly *a = returned_call(EVENT_MOUNT, result);
	struct record_header *header;
	struct user_call user;

	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	user = user_call();
	if (user.number == SYSCALL_MOUNT || user.number == SYSCALL_I386_MOUNT) {
		append_user_string(a, STRING_NEW_PATH_ARG, user.args[0]);
		append_user_string(a, STRING_NAME, user.args[2]);
	} else if (user.number == SYSCALL_MOVE_MOUNT) {
		append_user_string(a, STRING_NEW_PATH_ARG, user.args[1]);
		if (header->string_offset[STRING_NEW_PATH_ARG])
			want_base(a, STRING_NEW_BASE, a->new_dfd);
	}
	if (user.number != SYSCALL_FSMOUNT)
		want_rest(a);
	finish(ctx, a);
	return 0;
}

/* The system calls themselves; the old one of i386 has no flags. */
static __always_inline int on_umount(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_file_call(EVENT_UMOUNT, &user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	if (user.number != SYSCALL_I386_OLDUMOUNT)
		record->flags = user.args[1];
	note_name(a, AT_FDCWD_FD, user.args[0]);
	keep_call(a);
	return 0;
}
