/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own path of a file: from its dentry up to the root of the calling process. */
#pragma once

#include "common.h"

/* Components, and mounts crossed, of the longest path: 4096 bytes cannot have more than 2048 of "/a". */
#define WALK_STEPS 320
#define NAME_LONGEST 255
#define AT_FDCWD_FD (-100)

/* Written from the end to the front; the spare room behind spares the verifier a case. */
struct walk {
	__u64 mnt; /* where it begins, or goes on */
	__u64 dentry;
	__u32 start;
	__u32 state; /* enum string_state */
	__u8 text[STRING_MAX + NAME_LONGEST + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

/* What is read of each component at once, as it lies in the kernel: reading is most of what a walk costs. */
struct component {
	struct dentry *parent;
	__u32 hash;
	__u32 length;
	const unsigned char *name;
};

static __always_inline void read_component(struct component *c, struct dentry *dentry)
{
	/* So it is in every kernel until now. */
	if (bpf_core_field_offset(struct dentry, d_name) ==
		    bpf_core_field_offset(struct dentry, d_parent) + offsetof(struct component, hash) &&
	    bpf_core_field_offset(struct dentry, d_name.len) ==
		    bpf_core_field_offset(struct dentry, d_parent) + offsetof(struct component, length) &&
	    bpf_core_field_offset(struct dentry, d_name.name) ==
		    bpf_core_field_offset(struct dentry, d_parent) + offsetof(struct component, name)) {
		bpf_core_read(c, sizeof(*c), &dentry->d_parent);
		return;
	}
	c->parent = BPF_CORE_READ(dentry, d_parent);
	c->length = BPF_CORE_READ(dentry, d_name.len);
	c->name = BPF_CORE_READ(dentry, d_name.name);
}

/* Puts a name in front of what there is; false if there is no room for it, or it is not readable. */
static __always_inline int prepend(struct walk *walk, const unsigned char *name, __u32 length)
{
	__u32 start = walk->start;

	length &= NAME_LONGEST;
	if (start > STRING_MAX || start < length + 1)
		return 0;
	start -= length + 1;
	if (start > STRING_MAX)
		return 0;
	if (bpf_probe_read_kernel(walk->text + start + 1, length, name))
		return 0;
	walk->text[start] = '/';
	walk->start = start;
	return 1;
}

/*
 * Walks on to the front of what is in `walks`. A global function without arguments, as are the others: so the
 * verifier looks at it once for a program rather than once for a call.
 */
__noinline int walk_path(void)
{
	struct vfsmount *root_mnt = OF_TASK(fs, root.mnt);
	struct dentry *root = OF_TASK(fs, root.dentry);
	struct dentry *dentry, *mnt_root;
	struct vfsmount *vfsmount;
	struct mount *mount;
	__u32 zero = 0;
	struct walk *walk = bpf_map_lookup_elem(&walks, &zero);

	if (!walk)
		return 0;
	vfsmount = (struct vfsmount *)walk->mnt;
	dentry = (struct dentry *)walk->dentry;
	mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	mnt_root = BPF_CORE_READ(vfsmount, mnt_root);
	for (int i = 0; i < WALK_STEPS; i++) {
		struct component c = {};

		if (dentry == root && vfsmount == root_mnt)
			return 0;
		if (dentry == mnt_root) {
			struct mount *up = BPF_CORE_READ(mount, mnt_parent);

			if (up == mount) {
				/* The top of a tree that is not the process's: outside of its chroot or
				 * namespace, or not in any. */
				walk->state |= STRING_UNREACHABLE;
				return 0;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = up;
			vfsmount = (void *)mount + bpf_core_field_offset(struct mount, mnt);
			mnt_root = BPF_CORE_READ(vfsmount, mnt_root);
			continue;
		}
		read_component(&c, dentry);
		if (c.parent == dentry) {
			walk->state |= STRING_UNREACHABLE;
			return 0;
		}
		if (!prepend(walk, c.name, c.length))
			break;
		dentry = c.parent;
	}
	/* Ran out of room or of steps, or a name was not readable: what is there is the end of the path. */
	walk->state |= STRING_TRUNCATED;
	return 0;
}

/*
 * The path of the executable, where the verifier knows the task: up to the root of its mount by plain loads, then as
 * any other.
 */
__noinline int walk_exe(void)
{
	struct walk *walk;
	struct vfsmount *vfsmount;
	struct dentry *dentry;
	struct mm_struct *mm;
	struct file *exe;
	__u64 root, root_mnt, mnt_root;
	__u32 zero = 0;

	/* The verifier looks at this where nobody calls it, too. */
	if (!has_typed_task())
		return 0;
	walk = bpf_map_lookup_elem(&walks, &zero);
	mm = TYPED_TASK->mm;
	exe = mm ? mm->exe_file : 0;
	vfsmount = exe ? exe->f_path.mnt : 0;
	dentry = exe ? exe->f_path.dentry : 0;
	if (!walk || !vfsmount || !dentry)
		return 0;
	root = (__u64)OF_TASK(fs, root.dentry);
	root_mnt = (__u64)OF_TASK(fs, root.mnt);
	mnt_root = (__u64)vfsmount->mnt_root;
	for (int i = 0; i < WALK_STEPS; i++) {
		if ((__u64)dentry == root && (__u64)vfsmount == root_mnt)
			return 0;
		if ((__u64)dentry == mnt_root || dentry->d_parent == dentry) {
			walk->dentry = (__u64)dentry;
			return walk_path();
		}
		if (!prepend(walk, dentry->d_name.name, dentry->d_name.len))
			break;
		dentry = dentry->d_parent;
		if (!dentry)
			return 0;
	}
	walk->state |= STRING_TRUNCATED;
	return 0;
}

/* No tree has it: pipes, sockets and memfd live on mounts of the kernel's own, whose namespace is an error. */
static __always_inline int is_anonymous(struct vfsmount *vfsmount)
{
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	long ns = (long)BPF_CORE_READ(mount, mnt_ns);

	return ns < 0 && ns >= -4095;
}

/* The kernel's names of what has none: the inode's number, which is in the record, belongs behind it. */
static __always_inline __u32 name_anonymous(struct walk *walk, struct dentry *dentry)
{
	__u32 type = BPF_CORE_READ(dentry, d_inode, i_mode) & 0170000;
	__u32 start, length;

	if (type == 0010000) {
		__builtin_memcpy(walk->text + STRING_MAX - 5, "pipe:", 5);
		return STRING_MAX - 5;
	}
	if (type == 0140000) {
		__builtin_memcpy(walk->text + STRING_MAX - 7, "socket:", 7);
		return STRING_MAX - 7;
	}
	/* Memory and the files of event descriptors and the like have a name that is in no directory. */
	length = BPF_CORE_READ(dentry, d_name.len) & NAME_LONGEST;
	start = STRING_MAX - 1 - length;
	if (bpf_probe_read_kernel(walk->text + start + 1, length, BPF_CORE_READ(dentry, d_name.name)))
		start = STRING_MAX - 1;
	walk->text[start] = '/';
	return start;
}

/* A name that has no file yet is none that was deleted. */
static __always_inline int is_deleted(struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);

	return inode && BPF_CORE_READ(inode, i_nlink) == 0;
}

/* Looks up one wanted path and appends it. */
static __always_inline void append_wanted_path(struct assembly *a, enum string_slot slot)
{
	struct vfsmount *mnt = (struct vfsmount *)a->paths[slot].mnt;
	struct dentry *dentry = (struct dentry *)a->paths[slot].dentry;
	__u32 zero = 0;
	struct walk *walk;
	__u32 start, state;

	if (!mnt || !dentry)
		return;
	a->paths[slot].mnt = 0;
	walk = bpf_map_lookup_elem(&walks, &zero);
	if (!walk)
		return;
	walk->mnt = (__u64)mnt;
	walk->dentry = (__u64)dentry;
	walk->start = STRING_MAX;
	walk->state = 0;
	if (slot == STRING_EXE && has_typed_task())
		walk_exe();
	else
		walk_path();
	start = walk->start;
	state = walk->state;
	if (is_anonymous(mnt))
		state = (state & ~STRING_UNREACHABLE) | STRING_ANONYMOUS;
	else if (is_deleted(dentry))
		state |= STRING_DELETED;
	if (start >= STRING_MAX && state & STRING_ANONYMOUS) {
		start = name_anonymous(walk, dentry);
	} else if (start >= STRING_MAX) {
		/* Nothing but the root. */
		start = STRING_MAX - 1;
		walk->text[start] = '/';
	}
	append_bytes(a, slot, walk->text + start, STRING_MAX - start, state);
}

static __always_inline void identify_inode(struct file_identity *identity, struct inode *inode)
{
	__u32 dev = BPF_CORE_READ(inode, i_sb, s_dev);

	identity->inode = BPF_CORE_READ(inode, i_ino);
	/* The kernel's own encoding, include/linux/kdev_t.h. */
	identity->major = dev >> 20;
	identity->minor = dev & ((1 << 20) - 1);
}

static __always_inline void identify(struct file_identity *identity, struct file *file)
{
	identify_inode(identity, BPF_CORE_READ(file, f_inode));
}

/* The file of a descriptor of the current process; 0 if there is none. */
static __always_inline struct file *file_of(int fd)
{
	struct fdtable *fdt = OF_TASK(files, fdt);
	struct file **slots = BPF_CORE_READ(fdt, fd);
	struct file *file = 0;

	if (fd >= 0 && (__u32)fd < BPF_CORE_READ(fdt, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	return file;
}

/* The directory from which a relative name was to be resolved. */
static __always_inline void want_base(struct assembly *a, enum string_slot slot, int dfd)
{
	struct file *directory;

	if (dfd == AT_FDCWD_FD) {
		want_path(a, slot, OF_TASK(fs, pwd.mnt), OF_TASK(fs, pwd.dentry));
		return;
	}
	directory = file_of(dfd);
	if (directory)
		want_file_path(a, slot, directory);
}
