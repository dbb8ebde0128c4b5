/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP connections that are accepted.
 *
 * Calls that accept may wait for ever, so that only failures are taken from returns. An accepted connection is
 * seen in security_sock_graft(), in the task that accepts and with its addresses, and gets its descriptor in
 * fd_install().
 */
#pragma once

#include "call.h"
#include "connection.h"

#define EINTR_NUMBER 4
#define EAGAIN_NUMBER 11
#define ERESTARTSYS_NUMBER 512
#define ERRNO_MAX 4095

/* A call that accepts, and what it accepts from. */
struct accept_call {
	__u64 listener;
	__s32 fd;	 /* NO_NUMBER: io_uring's */
	__u32 undecided; /* it may wait, and whether it fails is not known */
};

/* By task. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct accept_call);
} accept_calls SEC(".maps");

static __always_inline struct assembly *begin_accept(struct sock *sk, __s32 fd)
{
	struct socket_record *record;
	struct user_call user;
	struct assembly *a = begin_call(EVENT_TCP_ACCEPT, sizeof(*record), &user);

	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	record->fd = fd;
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	read_addresses(record, sk);
	return a;
}

/* The call before failed, and its return was missed; its executable could not be looked up here. */
static __always_inline void settle_accept(__u64 task)
{
	struct accept_call *call = bpf_map_lookup_elem(&accept_calls, &task);
	struct record_header *header;
	struct assembly *a;

	if (!call)
		return;
	if (!call->undecided) {
		a = begin_accept((struct sock *)call->listener, call->fd);
		if (a) {
			header = (struct record_header *)a->data;
			header->flags |= RECORD_RESULT_MISSED;
			submit(a);
		}
	}
	bpf_map_delete_elem(&accept_calls, &task);
}

/* The entry of accept and accept4. */
static __always_inline int on_accept(int fd)
{
	struct origin origin = {};
	struct accept_call call = { .fd = fd };
	__u64 task = bpf_get_current_task();

	if (!watched(EVENT_TCP_ACCEPT, &origin))
		return 0;
	settle_accept(task);
	call.listener = (__u64)tcp_socket_of(file_of(fd));
	if (call.listener && bpf_map_update_elem(&accept_calls, &task, &call, BPF_ANY))
		count_lost_state(origin.target, EVENT_TCP_ACCEPT);
	return 0;
}

/* Where all ways meet, and what the call before this refuses does not come: a full table of descriptors. */
static __always_inline int on_do_accept(struct file *file)
{
	struct origin origin = {};
	__u64 task = bpf_get_current_task();
	struct accept_call *known = bpf_map_lookup_elem(&accept_calls, &task);
	struct accept_call call = { .fd = NO_NUMBER, .undecided = 1 };
	struct sock *sk;

	if (known && known->fd != NO_NUMBER) {
		sk = (struct sock *)known->listener;
		known->undecided = BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN_STATE;
		return 0;
	}
	if (!watched(EVENT_TCP_ACCEPT, &origin) || user_call(current_task()).abi != ABI_IO_URING)
		return 0;
	call.listener = (__u64)tcp_socket_of(file);
	if (call.listener && bpf_map_update_elem(&accept_calls, &task, &call, BPF_ANY))
		count_lost_state(origin.target, EVENT_TCP_ACCEPT);
	return 0;
}

/* The new connection gets its socket: in any process, watched or not. */
static __always_inline int on_sock_graft(void *ctx, struct sock *sk)
{
	struct origin origin = {};
	__u64 task = bpf_get_current_task();
	struct accept_call *call;
	struct socket_record *record;
	struct user_call user;
	struct assembly *a;
	__u64 events;

	if (!is_tcp(sk))
		return 0;
	note_server(sk);
	events = watched_of(EVENT_BIT(EVENT_TCP_ACCEPT) | EVENT_BIT(EVENT_TCP_CLOSE), &origin);
	if (!events)
		return 0;
	user = user_call(current_task());
	origin.syscall = user.number;
	origin.abi = user.abi;
	if (events & EVENT_BIT(EVENT_TCP_ACCEPT))
		settle_call(task);
	a = begin_record(EVENT_TCP_ACCEPT, &origin, sizeof(*record));
	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	call = bpf_map_lookup_elem(&accept_calls, &task);
	record->fd = call ? call->fd : NO_NUMBER;
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	read_addresses(record, sk);
	name_client(record, sk);
	a->finish = FINISH_KEEP_ACCEPT;
	a->object = (__u64)sk;
	a->events = events;
	finish(ctx, a);
	return 0;
}

/* The finisher's part. */
static __always_inline void keep_accept(struct assembly *a)
{
	if (a->events & EVENT_BIT(EVENT_TCP_CLOSE))
		keep_connection_of(a);
	if (a->events & EVENT_BIT(EVENT_TCP_ACCEPT))
		keep_call(a);
}

/* The accepted connection gets its descriptor, and not another socket, from a call whose end was not seen. */
static __always_inline int on_accept_installed(void *ctx, __u32 fd, struct file *file)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	if (!a || ((struct record_header *)a->data)->kind != EVENT_TCP_ACCEPT ||
	    (__u64)tcp_socket_of(file) != a->object)
		return 0;
	return end_call(ctx, EVENT_TCP_ACCEPT, fd);
}

/* Into a table of io_uring. */
static __always_inline int on_accept_fixed(void *ctx, struct file *file)
{
	struct assembly *a;

	if (!is_socket(file))
		return 0;
	a = kept_call(bpf_get_current_task());
	if (a && ((struct record_header *)a->data)->kind == EVENT_TCP_ACCEPT)
		((struct record_header *)a->data)->flags |= RECORD_NO_FD;
	return end_call(ctx, EVENT_TCP_ACCEPT, 0);
}

static __always_inline int is_call_under_way(__u64 task, enum event_kind kind)
{
	struct assembly *a = kept_call(task);

	return a && ((struct record_header *)a->data)->kind == kind;
}

/* Nothing was accepted, and nothing went wrong: there was nothing, or a signal came. */
static __always_inline int is_nothing(int result)
{
	return result == -EAGAIN_NUMBER || result == -EINTR_NUMBER || result == -ERESTARTSYS_NUMBER;
}

static __always_inline int end_accept(void *ctx, __u64 task, struct accept_call *known, int result)
{
	struct sock *sk = (struct sock *)known->listener;
	int fd = known->fd;
	struct record_header *header;
	struct assembly *a;

	bpf_map_delete_elem(&accept_calls, &task);
	/* Accepted, and its descriptor was not seen or never given: the address could not be told. */
	if (is_call_under_way(task, EVENT_TCP_ACCEPT))
		return end_call(ctx, EVENT_TCP_ACCEPT, result);
	if (result >= 0 || is_nothing(result))
		return 0;
	a = begin_accept(sk, fd);
	if (!a)
		return 0;
	header = (struct record_header *)a->data;
	header->result = result;
	finish(ctx, a);
	return 0;
}

static __always_inline int on_accept_return(void *ctx, int result)
{
	__u64 task = bpf_get_current_task();
	struct accept_call *known = bpf_map_lookup_elem(&accept_calls, &task);

	return known ? end_accept(ctx, task, known, result) : 0;
}

/* Only io_uring's calls end here. */
static __always_inline int on_do_accept_return(void *ctx, long file)
{
	__u64 task = bpf_get_current_task();
	struct accept_call *known = bpf_map_lookup_elem(&accept_calls, &task);

	if (!known || known->fd != NO_NUMBER)
		return 0;
	if (file < 0 && file >= -ERRNO_MAX)
		return end_accept(ctx, task, known, file);
	bpf_map_delete_elem(&accept_calls, &task);
	return 0;
}
