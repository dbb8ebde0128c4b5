/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept of a watched task: the open that it is in, and the path of its executable. It stays when the call has
 * ended, for the next one; to enter and to remove it each time would cost more than all else that is done with it.
 */
#pragma once

#include "common.h"

/* Of a path that is kept: most are shorter, others are looked up each time. */
#define EXE_COMPONENTS 6
#define EXE_LENGTH 96

enum open_progress {
	OPEN_NONE,
	OPEN_UNDER_WAY,
	OPEN_FAILED, /* put_unused_fd() was seen */
};

struct open_call {
	struct origin origin;
	__u64 name;    /* the kernel's struct filename, until the call's end; 0 for a handle */
	__u64 request; /* io_uring's request */
	__u32 flags;
	__u32 mode;
	__s32 dfd;
	__u32 progress;	 /* enum open_progress */
	__u32 cloexec;	 /* O_CLOEXEC if a register had it, or CLOEXEC_UNKNOWN */
	__u32 named;	 /* open_names has the name */
	__s32 completed; /* result that io_uring was told, on kernels where the request does not keep it */
	__u32 reserved;
};

/* A name in a path: it is renamed if either changes. */
struct exe_component {
	__u64 dentry;
	__u32 hash;
	__u32 length;
};

/* The path of an executable that lies on the mount of its process's root. */
struct known_exe {
	__u64 mnt;
	__u32 count; /* of components, from the file up to the root; 0 if no path is known */
	__u32 length;
	struct exe_component components[EXE_COMPONENTS];
	__u8 text[EXE_LENGTH];
};

struct task_slot {
	struct open_call open;
	struct known_exe exe;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct task_slot);
} tasks SEC(".maps");

/* How many tasks are in it; and how many may be for their next call, so that there is room for calls. */
__u64 task_count = 0;
const volatile __u64 idle_tasks = 0;

const struct task_slot no_task_slot = {};

/* Most tasks are not in it, and need not be looked up. */
FILTER(task_filter);

static __always_inline struct task_slot *slot_of(__u64 task)
{
	return find(&tasks, &task_filter, task);
}

/* 0 if there is no room. */
static __always_inline struct task_slot *enter_task(__u64 task)
{
	if (enter(&tasks, &task_filter, task, &no_task_slot))
		return 0;
	__sync_fetch_and_add(&task_count, 1);
	return bpf_map_lookup_elem(&tasks, &task);
}

static __always_inline int remove_task(__u64 task)
{
	int error = take_out(&tasks, &task_filter, task);

	if (!error)
		__sync_fetch_and_add(&task_count, -1);
	return error;
}

/* Its call has ended. */
static __always_inline void rest_task(struct task_slot *slot, __u64 task)
{
	slot->open.progress = OPEN_NONE;
	if (task_count > idle_tasks)
		remove_task(task);
}

/*
 * Appends the path of the current task's executable if it is known, and still that: none of its names has changed, and
 * the file has not been removed. It is the first string, behind the record's fixed part of this size.
 */
static __always_inline int append_known_exe(struct assembly *a, const struct task_slot *slot, __u32 size)
{
	const struct known_exe *known = &slot->exe;
	__u64 *to, *from = (__u64 *)known->text;
	struct dentry *dentry;
	struct inode *inode;
	struct file *file;

	if (!has_typed_task() || !known->count)
		return 0;
	file = OF_TASK(mm, exe_file);
	if (!file)
		return 0;
	if ((__u64)file->f_path.mnt != known->mnt || (__u64)OF_TASK(fs, root.mnt) != known->mnt)
		return 0;
	inode = file->f_inode;
	dentry = file->f_path.dentry;
	if (!inode || !inode->i_nlink)
		return 0;
	for (int i = 0; i < EXE_COMPONENTS && i < known->count; i++) {
		if (!dentry || (__u64)dentry != known->components[i].dentry ||
		    dentry->d_name.hash != known->components[i].hash ||
		    dentry->d_name.len != known->components[i].length)
			return 0;
		dentry = dentry->d_parent;
	}
	if ((__u64)dentry != (__u64)OF_TASK(fs, root.dentry))
		return 0;
	to = (__u64 *)(a->data + size);
	for (int i = 0; i < EXE_LENGTH / sizeof(*to); i++)
		to[i] = from[i];
	note_string(a, STRING_EXE, known->length, 0);
	return 1;
}
