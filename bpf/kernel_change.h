/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What changes the kernel itself: BPF and modules. These system calls are rare, so their own functions are
 * hooked, which see each failure; what the kernel has taken is seen in functions further in.
 */
#pragma once

#include "call.h"

/* bpf */

static __always_inline int makes_map(__u32 command)
{
	return command == BPF_MAP_CREATE;
}

/* The type is the first member for maps and programs alike. */
static __always_inline int has_type(__u32 command)
{
	return makes_map(command) || command == BPF_PROG_LOAD;
}

static __always_inline __u64 name_offset(__u32 command)
{
	return makes_map(command) ? __builtin_offsetof(union bpf_attr, map_name) :
				    __builtin_offsetof(union bpf_attr, prog_name);
}

/* Most have none: then the first byte is NUL. */
static __always_inline void append_bpf_name(struct assembly *a, const void *from, int from_user)
{
	__u8 *to = string_end(a);
	long length;

	if (!to)
		return;
	length = from_user ? bpf_probe_read_user_str(to, BPF_OBJ_NAME_LEN, from) :
			     bpf_probe_read_kernel_str(to, BPF_OBJ_NAME_LEN, from);
	if (length > 1)
		note_string(a, STRING_NAME, length - 1, 0);
}

/* What the program passes; the kernel's copy, if it comes to one, replaces it. */
static __always_inline int on_bpf(void)
{
	struct bpf_record *record;
	struct user_call user;
	struct assembly *a = begin_call(EVENT_BPF, sizeof(*record), &user);
	__u32 command, size;

	if (!a)
		return 0;
	command = user.args[0];
	size = user.args[2];
	record = (struct bpf_record *)a->data;
	record->command = command;
	record->type = NO_NUMBER;
	if (has_type(command) && size >= sizeof(record->type)) {
		if (bpf_probe_read_user(&record->type, sizeof(record->type), (void *)user.args[1]))
			record->type = NO_NUMBER;
		if (size >= name_offset(command) + BPF_OBJ_NAME_LEN)
			append_bpf_name(a, (void *)(user.args[1] + name_offset(command)), 1);
	}
	keep_call(a);
	return 0;
}

/* A program of type syscall gives commands of its own while it runs: those are not the call under way. */
static __always_inline int on_bpf_check(__u32 command, const void *attr)
{
	struct bpf_record *record;
	struct assembly *a;

	if (!has_type(command))
		return 0;
	a = resume_call(EVENT_BPF);
	if (!a)
		return 0;
	record = (struct bpf_record *)a->data;
	if (record->command != command)
		return 0;
	bpf_probe_read_kernel(&record->type, sizeof(record->type), attr);
	record->header.string_offset[STRING_NAME] = 0;
	append_bpf_name(a, attr + name_offset(command), 0);
	keep_call(a);
	return 0;
}

/* module-load */

static __always_inline struct assembly *begin_module(struct user_call *user)
{
	return begin_call(EVENT_MODULE_LOAD, sizeof(struct file_record), user);
}

static __always_inline int on_init_module(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_module(&user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->fd = NO_NUMBER;
	record->flags = NO_NUMBER;
	a->object = user.args[2];
	keep_call(a);
	return 0;
}

static __always_inline int on_finit_module(void)
{
	struct file_record *record;
	struct user_call user;
	struct assembly *a = begin_module(&user);

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	record->fd = user.args[0];
	record->flags = user.args[2];
	a->object = user.args[1];
	keep_call(a);
	return 0;
}

/* The file that is read, whatever has become of the descriptor. */
static __always_inline int on_kernel_read_file(void *ctx, struct file *file)
{
	struct assembly *a = resume_call(EVENT_MODULE_LOAD);
	struct file_record *record;

	if (!a)
		return 0;
	record = (struct file_record *)a->data;
	/* A module may read other files while it begins. */
	if (record->fd == (__s32)NO_NUMBER || !file || record->header.string_offset[STRING_PATH])
		return 0;
	note_file(a, &record->file, file);
	finish_kept(ctx, a);
	return 0;
}

/* The name that the module has in itself, at the first function that is called with it. */
static __always_inline int on_module_name(const char *name)
{
	struct assembly *a = resume_call(EVENT_MODULE_LOAD);

	if (!a)
		return 0;
	if (((struct record_header *)a->data)->string_offset[STRING_NAME])
		return 0;
	append_string(a, STRING_NAME, name, 0);
	keep_call(a);
	return 0;
}

/*
 * The parameters as the kernel copied them; it takes the text to pieces at once. A module may parse other texts
 * while it begins.
 */
static __always_inline int on_module_parameters(const char *name, const char *parameters)
{
	struct assembly *a = resume_call(EVENT_MODULE_LOAD);
	struct record_header *header;

	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	if (header->string_offset[STRING_ARGV])
		return 0;
	if (!header->string_offset[STRING_NAME])
		append_string(a, STRING_NAME, name, 0);
	append_string(a, STRING_ARGV, parameters, 0);
	keep_call(a);
	return 0;
}

/* What failed early gets what the program passed. */
static __always_inline int on_module_return(void *ctx, __s32 result)
{
	__u64 task = bpf_get_current_task();
	struct assembly *a = resume_call(EVENT_MODULE_LOAD);
	struct file_record *record;
	struct file *file;

	if (!a)
		return 0;
	drop_call(task);
	record = (struct file_record *)a->data;
	record->header.result = result;
	if (!record->header.string_offset[STRING_ARGV])
		append_string(a, STRING_ARGV, (void *)a->object, 1);
	if (!record->header.string_offset[STRING_PATH]) {
		file = file_of(record->fd);
		if (file) {
			note_file(a, &record->file, file);
		}
	}
	a->finish = FINISH_SUBMIT;
	finish(ctx, a);
	return 0;
}
