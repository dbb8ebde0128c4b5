/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User and group ids, and capabilities, of a task: what it has after the call, or what it asked for if that
 * failed.
 *
 * The functions called __sys_setuid() and the like are where the calls of 64, 32 and 16 bits meet. capset has
 * no such function, so its own ones are hooked: it is rare.
 */
#pragma once

#include <linux/capability.h>

#include "call.h"

/* What was asked for is replaced at the return by what there is. */
static __always_inline int on_set_ids(enum event_kind kind, __u32 id, __u32 effective, __u32 saved,
				      __u32 file_system)
{
	struct credentials_record *record;
	struct user_call user;
	struct assembly *a = begin_call(kind, sizeof(*record), &user);

	if (!a)
		return 0;
	record = (struct credentials_record *)a->data;
	record->id = id;
	record->effective_id = effective;
	record->saved_id = saved;
	record->file_system_id = file_system;
	keep_call(a);
	return 0;
}

static __always_inline void note_ids(struct credentials_record *record, enum event_kind kind)
{
	const struct cred *cred = OF_TASK(cred);

	if (kind == EVENT_SETUID) {
		record->id = BPF_CORE_READ(cred, uid.val);
		record->effective_id = BPF_CORE_READ(cred, euid.val);
		record->saved_id = BPF_CORE_READ(cred, suid.val);
		record->file_system_id = BPF_CORE_READ(cred, fsuid.val);
	} else {
		record->id = BPF_CORE_READ(cred, gid.val);
		record->effective_id = BPF_CORE_READ(cred, egid.val);
		record->saved_id = BPF_CORE_READ(cred, sgid.val);
		record->file_system_id = BPF_CORE_READ(cred, fsgid.val);
	}
}

static __always_inline int on_ids_set(void *ctx, enum event_kind kind, __s32 result)
{
	struct assembly *a = kept_call(bpf_get_current_task());
	struct credentials_record *record;

	if (!a)
		return 0;
	record = (struct credentials_record *)a->data;
	if (record->header.kind != kind)
		return 0;
	if (result >= 0)
		note_ids(record, kind);
	return end_call(ctx, kind, result);
}

/*
 * setfsuid and setfsgid return the former id and know no error: whether they did anything shows in the ids. An
 * id may be greater than any result that is not an error, so the record says that this is none.
 */
static __always_inline int on_file_system_id_set(void *ctx, enum event_kind kind, __s32 result)
{
	struct assembly *a = kept_call(bpf_get_current_task());
	struct credentials_record *record;

	if (!a)
		return 0;
	record = (struct credentials_record *)a->data;
	if (record->header.kind != kind)
		return 0;
	record->header.flags |= RECORD_UNSIGNED;
	note_ids(record, kind);
	return end_call(ctx, kind, result);
}

/* Two words of 32 bits in one until commit f122a08b197d (v6.3), and the same in memory. */
static __always_inline __u64 read_capabilities(const kernel_cap_t *set)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), set);
	return value;
}

static __always_inline __u64 two_words(__u32 low, __u32 high)
{
	return (__u64)high << 32 | low;
}

/*
 * What the program passes, for calls that fail before the kernel has taken it. Sets of the first version have
 * 32 capabilities.
 */
static __always_inline int read_asked_capabilities(struct credentials_record *record,
						   const struct user_call *user)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2] = {};
	__u32 size = sizeof(data);

	if (bpf_probe_read_user(&header, sizeof(header), (void *)user->args[0]))
		return 0;
	if (header.version == _LINUX_CAPABILITY_VERSION_1)
		size = sizeof(data[0]);
	else if (header.version != _LINUX_CAPABILITY_VERSION_2 &&
		 header.version != _LINUX_CAPABILITY_VERSION_3)
		return 0;
	if (bpf_probe_read_user(data, size, (void *)user->args[1]))
		return 0;
	record->effective = two_words(data[0].effective, data[1].effective);
	record->permitted = two_words(data[0].permitted, data[1].permitted);
	record->inheritable = two_words(data[0].inheritable, data[1].inheritable);
	return 1;
}

static __always_inline int on_capset(void)
{
	struct credentials_record *record;
	struct user_call user;
	struct assembly *a = begin_call(EVENT_CAPSET, sizeof(*record), &user);

	if (!a)
		return 0;
	record = (struct credentials_record *)a->data;
	if (!read_asked_capabilities(record, &user))
		record->header.flags |= RECORD_NOT_READ;
	keep_call(a);
	return 0;
}

/* The kernel has taken what it was given. */
static __always_inline int on_capset_check(const kernel_cap_t *effective, const kernel_cap_t *inheritable,
					   const kernel_cap_t *permitted)
{
	struct assembly *a = kept_call(bpf_get_current_task());
	struct credentials_record *record;

	if (!a)
		return 0;
	record = (struct credentials_record *)a->data;
	if (record->header.kind != EVENT_CAPSET)
		return 0;
	record->header.flags &= ~RECORD_NOT_READ;
	record->effective = read_capabilities(effective);
	record->inheritable = read_capabilities(inheritable);
	record->permitted = read_capabilities(permitted);
	return 0;
}
