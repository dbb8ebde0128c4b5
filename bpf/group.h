/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control groups as they come and go. A new group is entered into `groups` before it can have a process: by
 * the unit's name if it is a unit's own group, otherwise as its parent is.
 */
#pragma once

#include "common.h"

/* Where xattrs of kernfs arrive: "trusted." is the handler's, this is the rest. systemd sets it first. */
#define INVOCATION_XATTR "invocation_id"

/* Behind the name of what systemd makes to be renamed. */
#define TEMPORARY_DIGITS 16

/* Slices above a unit: systemd itself has no limit, the length of names sets one. */
#define SLICES_ABOVE 32

struct group_scratch {
	struct group_record record;
	char path[CGROUP_PATH_MAX];
	char name[2 * UNIT_NAME_LENGTH];
	struct name_key key;
	/* Room behind the key, so that a name read to any place in it stays inside. */
	char spare[UNIT_NAME_LENGTH];
	/* Here rather than in variables: the verifier then does not follow each value apart. */
	volatile __u32 at;
	volatile __u32 dot;
};

/* Not the kprobes' scratch: this runs from a tracepoint. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct group_scratch);
} group_scratch SEC(".maps");

static __always_inline int on_default_hierarchy(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) == 0;
}

static __always_inline int is_slice(struct group_scratch *s, struct cgroup *cgroup)
{
	const char suffix[] = ".slice";
	long length = bpf_probe_read_kernel_str(s->name, UNIT_NAME_LENGTH, BPF_CORE_READ(cgroup, kn, name));
	const char *end;

	if (length < (long)sizeof(suffix) || length > UNIT_NAME_LENGTH)
		return 0;
	end = s->name + length - sizeof(suffix);
	for (int i = 0; i < sizeof(suffix); i++)
		if (end[i] != suffix[i])
			return 0;
	return 1;
}

static __always_inline struct group_scratch *get_group_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&group_scratch, &zero);
}

/*
 * True if everything above the group is slices, which systemd alone makes: then the group is a unit's own.
 * Otherwise it is some unit's child, whatever it is called. Global, as are template_key() and
 * matched_patterns(): the verifier looks at each by itself instead of at every way through both.
 */
__noinline int is_unit(__u64 cgroup_address)
{
	struct cgroup *cgroup = (struct cgroup *)cgroup_address;
	struct cgroup *above = BPF_CORE_READ(cgroup, self.parent, cgroup);
	struct group_scratch *s = get_group_scratch();

	if (!s)
		return 0;
	for (int i = 0; i < SLICES_ABOVE; i++) {
		struct cgroup *next = BPF_CORE_READ(above, self.parent, cgroup);

		if (!next)
			return 1;
		if (!is_slice(s, above))
			return 0;
		above = next;
	}
	return 0;
}

/* Makes the key "name@.service" of "name@instance.service"; false if it is no instance. */
__noinline int template_key(__u32 skip)
{
	struct group_scratch *s = get_group_scratch();
	const char *name;
	__u32 at, dot;

	if (!s || skip > 1)
		return 0;
	name = s->name + skip;
	s->at = 0;
	s->dot = 0;
	for (__u32 i = 0; i < UNIT_NAME_LENGTH; i++) {
		if (!name[i])
			break;
		if (name[i] == '@' && !s->at)
			s->at = i + 1;
		if (name[i] == '.')
			s->dot = i;
	}
	at = s->at;
	dot = s->dot;
	if (!at || at >= UNIT_NAME_LENGTH || dot < at || dot >= UNIT_NAME_LENGTH)
		return 0;
	__builtin_memset(s->key.name, 0, sizeof(s->key.name));
	bpf_probe_read_kernel(s->key.name, at, name);
	return bpf_probe_read_kernel_str(s->key.name + at, UNIT_NAME_LENGTH, name + dot) > 0;
}

/* The number of the set of patterns that match the name. */
__noinline int matched_patterns(__u32 skip)
{
	struct group_scratch *s = get_group_scratch();
	__u32 zero = 0, state = PATTERN_START;
	void *states = bpf_map_lookup_elem(&patterns, &zero);

	if (!s || !states || skip > 1)
		return 0;
	for (__u32 i = 0; i < UNIT_NAME_LENGTH; i++) {
		struct pattern_state *at = bpf_map_lookup_elem(states, &state);
		__u32 byte = s->name[skip + i] & 0xff;

		if (!at)
			return 0;
		if (!byte)
			return at->matched;
		if (byte >= NAME_BYTES)
			return 0;
		/* The verifier does not see the bound that the compiler makes of it. */
		asm volatile("" : "+r"(byte));
		state = at->next[byte & (NAME_BYTES - 1)];
	}
	return 0;
}

static __always_inline struct name_value *look_up_name(struct group_scratch *s, struct cgroup *cgroup,
						       __u32 parent_target)
{
	struct name_value *value;
	__u32 skip;

	if (bpf_probe_read_kernel_str(s->name, UNIT_NAME_LENGTH, BPF_CORE_READ(cgroup, kn, name)) <= 0)
		return 0;
	/* systemd escapes what the kernel would take for a file of its own with one underscore. */
	skip = s->name[0] == '_';
	__builtin_memset(&s->key, 0, sizeof(s->key));
	s->key.parent_target = parent_target;
	if (bpf_probe_read_kernel_str(s->key.name, sizeof(s->key.name), s->name + skip) <= 0)
		return 0;
	value = bpf_map_lookup_elem(&names, &s->key);
	if (value)
		return value;
	s->key.patterns = matched_patterns(skip);
	if (template_key(skip))
		value = bpf_map_lookup_elem(&names, &s->key);
	if (!value && s->key.patterns) {
		__builtin_memset(s->key.name, 0, sizeof(s->key.name));
		value = bpf_map_lookup_elem(&names, &s->key);
	}
	return value;
}

/* Of a group that is gone, too, the path: the daemon may not have been there when it was made. */
static __always_inline void send_group_news(struct group_scratch *s, const char *path)
{
	long length = bpf_probe_read_kernel_str(s->path, CGROUP_PATH_MAX, path);

	length = length > 0 ? (length - 1) & (CGROUP_PATH_MAX - 1) : 0;
	s->record.path_length = length;
	if (bpf_ringbuf_output(&group_ring, &s->record, sizeof(s->record) + length, BPF_RB_FORCE_WAKEUP))
		group_news_lost++;
}

/*
 * The watched unit whose group systemd has made last. It makes a group and exports the unit's invocation id in one go,
 * and is one thread.
 */
struct made_unit {
	__u64 cgroup_id;
	char name[UNIT_NAME_LENGTH];
	char link[2 * UNIT_NAME_LENGTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct made_unit);
} made_unit SEC(".maps");

static __always_inline struct made_unit *get_made_unit(void)
{
	__u32 zero = 0;

	return bpf_get_current_pid_tgid() >> 32 == 1 ? bpf_map_lookup_elem(&made_unit, &zero) : 0;
}

static __always_inline void note_made(struct cgroup *cgroup, __u64 id)
{
	struct made_unit *made = get_made_unit();

	if (!made)
		return;
	made->cgroup_id = id;
	bpf_probe_read_kernel_str(made->name, sizeof(made->name), BPF_CORE_READ(cgroup, kn, name));
}

/* Enters a new group. */
static __always_inline int on_cgroup_mkdir(struct cgroup *cgroup, const char *path)
{
	struct group_scratch *s = get_group_scratch();
	struct cgroup *parent_cgroup;
	struct group group = {}, *parent;
	struct name_value *value = 0;
	__u64 id, parent_id;
	int unit;

	if (!s || !on_default_hierarchy(cgroup))
		return 0;
	parent_cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	parent_id = BPF_CORE_READ(parent_cgroup, kn, id);
	id = BPF_CORE_READ(cgroup, kn, id);
	parent = bpf_map_lookup_elem(&groups, &parent_id);
	unit = is_unit((__u64)cgroup);
	if (unit)
		value = look_up_name(s, cgroup, parent ? parent->target : NO_TARGET);
	if (value) {
		group.events = value->events;
		group.target = value->target;
		group.capture = value->capture;
		group.set_up = value->set_up;
	} else if (parent) {
		group = *parent;
	}
	if (unit)
		group.share = id % SHARES;
	s->record.cgroup_id = id;
	s->record.target = group.target;
	/* The daemon hears of all, since anybody may be at the other end of a connection. */
	if (!value && !parent)
		s->record.change = GROUP_UNWATCHED;
	else
		s->record.change = enter_group(id, &group) ? GROUP_NOT_ADDED : GROUP_ADDED;
	if (unit && (value || parent))
		note_made(cgroup, id);
	send_group_news(s, path);
	return 0;
}

/*
 * A group is removed: no process is in it. The kernel may keep it for long, as for pages that were read by its processes;
 * so the end of that is not waited for.
 */
static __always_inline int on_cgroup_rmdir(struct cgroup *cgroup, const char *path)
{
	struct group_scratch *s = get_group_scratch();
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct group *known;

	if (!s || !on_default_hierarchy(cgroup))
		return 0;
	known = bpf_map_lookup_elem(&groups, &id);
	if (known) {
		put(&removed_groups, &removed_filter, id, known);
		remove_group(id);
	}
	s->record.cgroup_id = id;
	s->record.target = NO_TARGET;
	s->record.change = GROUP_REMOVED;
	send_group_news(s, path);
	return 0;
}

/* systemd writes the invocation id to the group before it forks into it: so each record has the right one. */
static __always_inline int on_kernfs_xattr(struct inode *inode, const char *suffix, const char *value)
{
	__u64 id = BPF_CORE_READ(inode, i_ino);
	struct group *group = bpf_map_lookup_elem(&groups, &id);
	char name[sizeof(INVOCATION_XATTR)] = {};

	if (!group)
		return 0;
	if (bpf_probe_read_kernel_str(name, sizeof(name), suffix) != sizeof(INVOCATION_XATTR))
		return 0;
	for (int i = 0; i < sizeof(name); i++)
		if (name[i] != INVOCATION_XATTR[i])
			return 0;
	bpf_probe_read_kernel(group->invocation, INVOCATION_LENGTH, value);
	return 0;
}

/* True if the link is that of the unit's invocation id, whose name systemd makes with 16 random digits behind it. */
__noinline int exports_invocation(void)
{
	const char prefix[] = ".#invocation:";
	struct made_unit *made = get_made_unit();
	__u32 skip, end = 0;
	const char *name;

	if (!made)
		return 0;
	for (int i = 0; i < sizeof(prefix) - 1; i++)
		if (made->link[i] != prefix[i])
			return 0;
	/* See look_up_name(). */
	skip = made->name[0] == '_';
	name = made->link + sizeof(prefix) - 1;
	for (__u32 i = 0; i < UNIT_NAME_LENGTH - 1; i++) {
		char c = made->name[skip + i];

		end = i;
		if (!c)
			break;
		if (name[i] != c)
			return 0;
	}
	return name[end + TEMPORARY_DIGITS - 1] && !name[end + TEMPORARY_DIGITS];
}

/* The groups of scopes get no xattr of some versions of systemd; but it exports the id before a process is in one. */
static __always_inline int on_symlink_made(struct dentry *dentry, const char *target)
{
	struct made_unit *made = get_made_unit();
	char invocation[INVOCATION_LENGTH + 1];
	struct group *group;
	__u64 id;

	if (!made)
		return 0;
	__builtin_memset(made->link, 0, sizeof(made->link));
	bpf_probe_read_kernel_str(made->link, UNIT_NAME_LENGTH, BPF_CORE_READ(dentry, d_name.name));
	if (!exports_invocation())
		return 0;
	id = made->cgroup_id;
	group = bpf_map_lookup_elem(&groups, &id);
	if (group && bpf_probe_read_kernel_str(invocation, sizeof(invocation), target) == sizeof(invocation))
		__builtin_memcpy(group->invocation, invocation, INVOCATION_LENGTH);
	return 0;
}
