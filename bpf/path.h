/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own path of a file: from its dentry up to the root of the calling process. */
#pragma once

#include "record.h"

/* Components, and mounts crossed, of the longest path: 4096 bytes cannot have more than 2048 of "/a". */
#define WALK_STEPS 320
#define AT_FDCWD_FD (-100)

/* What of a short name lies in the dentry itself; some kernels have a little more. */
#define NAME_INLINE 32

/* What is read of each component at once, as it lies in the kernel: reading is most of what a walk costs. */
struct component {
	__u64 parent;
	__u32 hash;
	__u32 length;
	__u64 name; /* 0: it is in `text` */
	__u64 inode;
	__u8 text[NAME_INLINE];
};

/* The same of a mount. */
struct place {
	__u64 parent;
	__u64 mountpoint;
	__u64 root;
};

struct walk {
	__u64 mnt; /* where it begins */
	__u64 dentry;
	__u64 inode; /* of the file, if it is known */
	__u32 count; /* of components */
	__u32 length;
	__u32 written;
	__u32 crossed; /* mounts */
	__u32 state;   /* enum string_state */
	__u32 reserved;
	/* Here, so that the verifier sees one state however the walk came to where it is. */
	__u64 root_mnt; /* of the process */
	__u64 root;
	struct place place; /* the mount that the walk is in */
	struct component components[WALK_STEPS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

#define IS_AT(part, type, first, member) \
	(bpf_core_field_offset(type, member) == bpf_core_field_offset(type, first) + (part))

/* Whether it lies there as here: so it is in every kernel until now. */
static __always_inline int has_components(void)
{
	return IS_AT(offsetof(struct component, hash), struct dentry, d_parent, d_name) &&
	       IS_AT(offsetof(struct component, length), struct dentry, d_parent, d_name.len) &&
	       IS_AT(offsetof(struct component, name), struct dentry, d_parent, d_name.name) &&
	       IS_AT(offsetof(struct component, inode), struct dentry, d_parent, d_inode);
}

static __always_inline void read_component(struct component *c, struct dentry *dentry, int at_once)
{
	__u64 text;

	if (at_once) {
		bpf_core_read(c, sizeof(*c), &dentry->d_parent);
		text = (__u64)dentry + bpf_core_field_offset(struct dentry, d_parent) +
		       offsetof(struct component, text);
		if (c->name == text && c->length < NAME_INLINE)
			c->name = 0;
		return;
	}
	c->parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	c->length = BPF_CORE_READ(dentry, d_name.len);
	c->name = (__u64)BPF_CORE_READ(dentry, d_name.name);
	c->inode = (__u64)BPF_CORE_READ(dentry, d_inode);
}

static __always_inline void read_place(struct place *place, struct mount *mount)
{
	if (IS_AT(offsetof(struct place, mountpoint), struct mount, mnt_parent, mnt_mountpoint) &&
	    IS_AT(offsetof(struct place, root), struct mount, mnt_parent, mnt.mnt_root)) {
		bpf_core_read(place, sizeof(*place), &mount->mnt_parent);
		return;
	}
	place->parent = (__u64)BPF_CORE_READ(mount, mnt_parent);
	place->mountpoint = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
	place->root = (__u64)BPF_CORE_READ(mount, mnt.mnt_root);
}

/* Of the mount that has the process's root only its own is needed, but for what is not below that. */
static __always_inline void enter_place(struct place *place, struct mount *mount, int is_root_mnt)
{
	if (has_typed_task() && is_root_mnt) {
		place->parent = 0;
		place->root = (__u64)OF_TASK(fs, root.mnt, mnt_root);
	} else {
		read_place(place, mount);
	}
}

static __always_inline struct walk *walk_in(__u32 workspace)
{
	return bpf_map_lookup_elem(&walks, &workspace);
}

/* Where a walk is. */
struct walker {
	volatile struct walk *walk;
	struct mount *mount;
	__u64 vfsmount;
	__u64 dentry;
	__u32 ended;   /* at the root, or where there is none */
	__u32 at_once; /* has_components(), asked once */
};

/* One step up. */
static __always_inline int walk_step(__u64 i, struct walker *at)
{
	volatile struct walk *walk = at->walk;
	volatile struct place *place = &walk->place;
	__u32 count = walk->count, length;
	__u64 dentry = at->dentry;
	struct component *c;

	at->ended = 1;
	if (dentry == walk->root && at->vfsmount == walk->root_mnt)
		return 1;
	if (dentry == place->root) {
		if (!place->parent)
			read_place((struct place *)place, at->mount);
		if (place->parent == (__u64)at->mount) {
			/* The top of a tree that is not the process's: outside of its chroot or
			 * namespace, or not in any. */
			walk->state |= STRING_UNREACHABLE;
			return 1;
		}
		walk->crossed = 1;
		at->dentry = place->mountpoint;
		at->mount = (struct mount *)place->parent;
		at->vfsmount = place->parent + bpf_core_field_offset(struct mount, mnt);
		enter_place((struct place *)place, at->mount, at->vfsmount == walk->root_mnt);
		at->ended = 0;
		return 0;
	}
	at->ended = 0;
	if (count >= WALK_STEPS)
		return 1;
	c = (struct component *)&walk->components[count];
	read_component(c, (struct dentry *)dentry, at->at_once);
	if (c->parent == dentry) {
		walk->state |= STRING_UNREACHABLE;
		at->ended = 1;
		return 1;
	}
	length = walk->length + 1 + c->length;
	if (c->length > NAME_LONGEST || length > STRING_MAX)
		return 1;
	if (dentry == walk->dentry)
		walk->inode = c->inode;
	walk->length = length;
	walk->count = count + 1;
	at->dentry = c->parent;
	return 0;
}

STEP(walk_step, struct walker)

/*
 * Walks from where `walks` says to the root of the process, and notes the components on the way. A global function
 * with scalar arguments, as are the others: so the verifier looks at it once for a program rather than once for a call.
 */
__noinline int walk_path(__u32 workspace)
{
	struct walker at = { .walk = walk_in(workspace), .at_once = has_components() };
	volatile struct walk *walk = at.walk;

	if (!walk)
		return 0;
	walk->root_mnt = (__u64)OF_TASK(fs, root.mnt);
	walk->root = (__u64)OF_TASK(fs, root.dentry);
	at.vfsmount = walk->mnt;
	at.dentry = walk->dentry;
	at.mount = (struct mount *)(at.vfsmount - bpf_core_field_offset(struct mount, mnt));
	enter_place((struct place *)&walk->place, at.mount, at.vfsmount == walk->root_mnt);
	REPEAT(WALK_STEPS, walk_step, &at);
	/* Ran out of room or of steps, or a name was not readable: what is there is the end of the path. */
	if (!at.ended)
		walk->state |= STRING_TRUNCATED;
	return 0;
}

struct writer {
	struct walk *walk;
	__u8 *to;
};

/* Writes one component, from the root on. */
static __always_inline int write_step(__u64 i, struct writer *writer)
{
	struct walk *walk = writer->walk;
	__u32 at = walk->written, n = walk->count - 1 - i, length;
	__u8 *to = writer->to;
	struct component *c;

	if (n >= WALK_STEPS || at > STRING_MAX)
		return 1;
	c = &walk->components[n];
	length = c->length & NAME_LONGEST;
	to[at] = '/';
	if (!c->name) {
		__u64 *words = (__u64 *)(to + at + 1);
		const __u64 *text = (const __u64 *)c->text;

		for (int word = 0; word < NAME_INLINE / sizeof(*words); word++)
			words[word] = text[word];
	} else if (bpf_probe_read_kernel(to + at + 1, length, (void *)c->name)) {
		walk->state |= STRING_TRUNCATED;
		return 1;
	}
	walk->written = at + 1 + length;
	return 0;
}

STEP(write_step, struct writer)

/* Writes what was walked behind what is in the record. */
__noinline int write_walked(__u32 workspace)
{
	struct writer writer = { .walk = walk_in(workspace) };
	struct assembly *a = assembly_in(workspace);

	if (!writer.walk || !a)
		return 0;
	writer.to = string_end(a);
	if (!writer.to)
		return 0;
	REPEAT(WALK_STEPS, write_step, &writer);
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
static __always_inline __u32 write_anonymous(__u8 *to, struct dentry *dentry)
{
	__u32 type = BPF_CORE_READ(dentry, d_inode, i_mode) & 0170000;
	__u32 length;

	if (type == 0010000) {
		__builtin_memcpy(to, "pipe:", 5);
		return 5;
	}
	if (type == 0140000) {
		__builtin_memcpy(to, "socket:", 7);
		return 7;
	}
	/* Memory and the files of event descriptors and the like have a name that is in no directory. */
	to[0] = '/';
	length = BPF_CORE_READ(dentry, d_name.len) & NAME_LONGEST;
	return bpf_probe_read_kernel(to + 1, length, BPF_CORE_READ(dentry, d_name.name)) ? 1 : 1 + length;
}

/* A name that has no file yet is none that was deleted. */
static __always_inline int is_deleted(const struct assembly *a, const struct walk *walk)
{
	struct inode *inode = (struct inode *)walk->inode;
	struct dentry *dentry = (struct dentry *)walk->dentry;

	if (!inode)
		inode = BPF_CORE_READ(dentry, d_inode);
	if (inode && (__u64)inode == a->identified)
		return a->links == 0;
	return inode && BPF_CORE_READ(inode, i_nlink) == 0;
}

/* Keeps the path of the executable, which was just written, for the task's next record. */
static __always_inline void keep_exe(const struct walk *walk, const __u8 *text)
{
	__u64 task = bpf_get_current_task(), dentry = walk->dentry;
	struct task_slot *slot;
	struct known_exe *exe;

	if (!has_typed_task() || walk->crossed || !walk->count || walk->count > EXE_COMPONENTS ||
	    walk->length > EXE_LENGTH)
		return;
	slot = slot_of(task);
	if (!slot && task_count < idle_tasks)
		slot = enter_task(task);
	if (!slot)
		return;
	exe = &slot->exe;
	exe->mnt = walk->mnt;
	exe->count = walk->count;
	exe->length = walk->length;
	for (int i = 0; i < EXE_COMPONENTS && i < walk->count; i++) {
		const struct component *c = &walk->components[i];

		exe->components[i].dentry = dentry;
		exe->components[i].hash = c->hash;
		exe->components[i].length = c->length;
		dentry = c->parent;
	}
	bpf_probe_read_kernel(exe->text, EXE_LENGTH, text);
}

/* Looks up a path that is wanted, and appends it. */
__noinline int append_path(__u32 workspace, __u32 slot)
{
	struct assembly *a = assembly_in(workspace);
	struct walk *walk = walk_in(workspace);
	struct vfsmount *mnt;
	struct dentry *dentry;
	__u32 length;
	__u8 *to;

	if (!a || !walk || slot >= PATH_SLOTS)
		return 0;
	mnt = (struct vfsmount *)a->paths[slot].mnt;
	dentry = (struct dentry *)a->paths[slot].dentry;
	a->paths[slot].mnt = 0;
	to = string_end(a);
	if (!to || !dentry)
		return 0;
	walk->mnt = (__u64)mnt;
	walk->dentry = (__u64)dentry;
	walk->inode = 0;
	walk->count = 0;
	walk->length = 0;
	walk->written = 0;
	walk->crossed = 0;
	walk->state = 0;
	walk_path(workspace);
	if (walk->state & STRING_UNREACHABLE && is_anonymous(mnt))
		walk->state = (walk->state & ~STRING_UNREACHABLE) | STRING_ANONYMOUS;
	else if (is_deleted(a, walk))
		walk->state |= STRING_DELETED;
	if (walk->count) {
		write_walked(workspace);
		length = walk->written;
		if (slot == STRING_EXE && !walk->state)
			keep_exe(walk, to);
	} else if (walk->state & STRING_ANONYMOUS) {
		length = write_anonymous(to, dentry);
	} else {
		/* Nothing but the root. */
		to[0] = '/';
		length = 1;
	}
	note_string(a, slot, length, walk->state);
	return 0;
}

/* Looks up the paths that are wanted. */
static __always_inline void append_paths(struct assembly *a, __u32 workspace)
{
	a->finished = 1;
	for (int slot = 0; slot < PATH_SLOTS; slot++)
		if (a->paths[slot].mnt)
			append_path(workspace, slot);
}

/* What is read of an inode at once. */
#define INODE_BYTES 80

static OWN_FRAME void identify_inode(struct assembly *a, struct file_identity *identity, struct inode *inode)
{
	__u64 bytes[INODE_BYTES / sizeof(__u64)];
	struct super_block *sb;
	void *at = bytes;
	__u32 dev;

	/* So it is in every kernel until now. */
	if (bpf_core_field_offset(struct inode, i_sb) <= INODE_BYTES - sizeof(sb) &&
	    bpf_core_field_offset(struct inode, i_nlink) <= INODE_BYTES - sizeof(a->links) &&
	    bpf_core_field_offset(struct inode, i_ino) <= INODE_BYTES - sizeof(identity->inode)) {
		bpf_probe_read_kernel(bytes, sizeof(bytes), inode);
		a->identified = (__u64)inode;
		a->links = *(__u32 *)(at + bpf_core_field_offset(struct inode, i_nlink));
		sb = *(struct super_block **)(at + bpf_core_field_offset(struct inode, i_sb));
		identity->inode = *(__u64 *)(at + bpf_core_field_offset(struct inode, i_ino));
	} else {
		sb = BPF_CORE_READ(inode, i_sb);
		identity->inode = BPF_CORE_READ(inode, i_ino);
	}
	dev = BPF_CORE_READ(sb, s_dev);
	/* The kernel's own encoding, include/linux/kdev_t.h. */
	identity->major = dev >> 20;
	identity->minor = dev & ((1 << 20) - 1);
}

/* What is read of a file at once, since each reading takes longer than what it reads. */
#define FILE_BYTES 96

struct file_members {
	struct path_wanted path;
	struct inode *inode;
	__u32 flags;
};

static OWN_FRAME void read_file(struct file_members *members, struct file *file)
{
	__u64 bytes[FILE_BYTES / sizeof(__u64)];
	void *at = bytes;

	/* So it is in every kernel until now. */
	if (bpf_core_field_offset(struct file, f_path) <= FILE_BYTES - sizeof(members->path) &&
	    bpf_core_field_offset(struct file, f_inode) <= FILE_BYTES - sizeof(members->inode) &&
	    bpf_core_field_offset(struct file, f_flags) <= FILE_BYTES - sizeof(members->flags)) {
		bpf_probe_read_kernel(bytes, sizeof(bytes), file);
		members->path = *(struct path_wanted *)(at + bpf_core_field_offset(struct file, f_path));
		members->inode = *(struct inode **)(at + bpf_core_field_offset(struct file, f_inode));
		members->flags = *(__u32 *)(at + bpf_core_field_offset(struct file, f_flags));
		return;
	}
	bpf_core_read(&members->path, sizeof(members->path), &file->f_path);
	members->inode = BPF_CORE_READ(file, f_inode);
	members->flags = BPF_CORE_READ(file, f_flags);
}

/* The file that a record is about: which it is, and that its path is wanted. */
static __always_inline void note_file(struct assembly *a, struct file_identity *identity, struct file *file)
{
	struct file_members members;

	read_file(&members, file);
	identify_inode(a, identity, members.inode);
	a->paths[STRING_PATH] = members.path;
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
