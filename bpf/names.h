/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names that calls on entries of directories were given: the kernel's copies, else what the caller passed. */
#pragma once

#include "call.h"

/* Its number if the call takes no directories; then its names come earlier among its arguments. */
static __always_inline int is_call(const struct user_call *user, __u32 x86_64, __u32 i386)
{
	return user->number == (user->abi == ABI_I386 ? i386 : x86_64);
}

/*
 * Until v5.15 these functions took the caller's pointer instead of the kernel's copy of the name; the same
 * release brought the operation to io_uring (commits 45f30dab3957 and e34a02dc40c9). Those that remove and
 * rename had changed before.
 */
static __always_inline int is_copied(enum event_kind kind)
{
	if (kind == EVENT_RMDIR || kind == EVENT_UNLINK || kind == EVENT_RENAME)
		return 1;
	return bpf_core_enum_value_exists(enum io_uring_op___5_15, IORING_OP_MKDIRAT);
}

static __always_inline int has_string(struct assembly *a, enum string_slot slot)
{
	return ((struct record_header *)a->data)->string_offset[slot] != 0;
}

static __always_inline void append_copy(struct assembly *a, enum string_slot slot, const void *name)
{
	const struct filename *copy = name;

	append_string(a, slot, BPF_CORE_READ(copy, name), 0);
}

static __always_inline void append_passed_once(struct assembly *a, enum string_slot slot, __u64 name)
{
	char first;

	if (has_string(a, slot))
		return;
	append_string(a, slot, (const void *)name, 1);
	/* Of an empty string the helper says the same as of none. */
	if (!has_string(a, slot) && !bpf_probe_read_user(&first, sizeof(first), (const void *)name) && !first)
		note_string(a, slot, 0, 0);
}

/*
 * Names that there is no copy of: the kernel refused them, as too long, or has not copied them yet. Pages that
 * nobody has touched are not readable then, so this is tried again later.
 */
static __always_inline void append_passed(struct assembly *a, enum event_kind kind,
					  const struct user_call *user)
{
	const __u64 *args = user->args;
	int plain = 0;

	if (user->number == NO_SYSCALL)
		return;
	switch (kind) {
	case EVENT_MKDIR:
		plain = is_call(user, 83, 39);
		break;
	case EVENT_RMDIR:
		plain = is_call(user, 84, 40);
		break;
	case EVENT_UNLINK:
		plain = is_call(user, 87, 10);
		break;
	case EVENT_RENAME:
		plain = is_call(user, 82, 38);
		break;
	case EVENT_LINK:
		plain = is_call(user, 86, 9);
		break;
	case EVENT_MKNOD:
		plain = is_call(user, 133, 14);
		break;
	case EVENT_SYMLINK:
		append_passed_once(a, STRING_NAME, args[0]);
		append_passed_once(a, STRING_PATH_ARG, is_call(user, 88, 83) ? args[1] : args[2]);
		return;
	default:
		return;
	}
	append_passed_once(a, STRING_PATH_ARG, plain ? args[0] : args[1]);
	if (kind == EVENT_RENAME || kind == EVENT_LINK)
		append_passed_once(a, STRING_NEW_PATH_ARG, plain ? args[1] : args[3]);
}
