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

/* The call that accepts in the current task. */
static __always_inline struct assembly *accept_under_way(void)
{
	struct assembly *a = kept_call(bpf_get_current_task());

	return a && ((struct record_header *)a->data)->kind == EVENT_TCP_ACCEPT ? a : 0;
}

static __always_inline int is_of_uring(struct assembly *a)
{
	return ((struct record_header *)a->data)->abi == ABI_IO_URING;
}

/* With the addresses as they are now: the socket may be closed before the record is sent. */
static __always_inline void begin_accept(struct sock *sk, __s32 fd)
{
	struct socket_record *record;
	struct user_call user;
	struct assembly *a;

	if (!sk)
		return;
	a = begin_call(EVENT_TCP_ACCEPT, sizeof(*record), &user);
	if (!a)
		return;
	record = (struct socket_record *)a->data;
	record->fd = fd;
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	read_addresses(record, sk);
	/* What is accepted is not there yet; the listener may be closed, and its place another's, before it is. */
	a->object = 0;
	a->lookup = (__u64)sk;
	a->undecided = fd == NO_NUMBER;
	keep_call(a);
}

/* The entry of accept and accept4. */
static __always_inline int on_accept(int fd)
{
	struct origin origin = {};

	if (!watched(EVENT_TCP_ACCEPT, &origin))
		return 0;
	settle_call(bpf_get_current_task());
	begin_accept(tcp_socket_of(file_of(fd)), fd);
	return 0;
}

/*
 * Where all ways meet, and what the call before this refuses does not come: a full table of descriptors. From here
 * on the call may wait, and come back with nothing.
 */
static __always_inline int on_do_accept(struct file *file)
{
	struct origin origin = {};
	struct assembly *a;
	struct sock *sk;

	if (!watched(EVENT_TCP_ACCEPT, &origin))
		return 0;
	if (user_call().abi == ABI_IO_URING) {
		begin_accept(tcp_socket_of(file), NO_NUMBER);
		return 0;
	}
	a = accept_under_way();
	if (!a)
		return 0;
	sk = (struct sock *)a->lookup;
	a->undecided = BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN_STATE;
	return 0;
}

/* The new connection gets its socket: in any process, watched or not. */
static __always_inline int on_sock_graft(void *ctx, struct sock *sk)
{
	struct origin origin = {};
	__s32 fd = NO_NUMBER;
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
	user = user_call();
	origin.syscall = user.number;
	origin.abi = user.abi;
	a = accept_under_way();
	if (a) {
		/* What was kept is the attempt. */
		fd = ((struct socket_record *)a->data)->fd;
		drop_call(bpf_get_current_task());
	} else if (events & EVENT_BIT(EVENT_TCP_ACCEPT)) {
		settle_call(bpf_get_current_task());
	}
	a = begin_record(EVENT_TCP_ACCEPT, &origin, sizeof(*record));
	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	record->fd = fd;
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
static __always_inline void keep_accept(struct assembly *a, __u32 workspace)
{
	if (a->events & EVENT_BIT(EVENT_TCP_CLOSE))
		keep_connection_of(a, workspace);
	if (a->events & EVENT_BIT(EVENT_TCP_ACCEPT))
		keep_call(a);
}

/* The accepted connection gets its descriptor, and not another socket, from a call whose end was not seen. */
static __always_inline int on_accept_installed(void *ctx, __u32 fd, struct file *file)
{
	struct assembly *a = accept_under_way();

	if (!a || !a->object || (__u64)tcp_socket_of(file) != a->object)
		return 0;
	return end_call(ctx, EVENT_TCP_ACCEPT, fd);
}

/* Into a table of io_uring. */
static __always_inline int on_accept_fixed(void *ctx, struct file *file)
{
	struct assembly *a;

	if (!is_socket(file))
		return 0;
	a = accept_under_way();
	if (a)
		((struct record_header *)a->data)->flags |= RECORD_NO_FD;
	return end_call(ctx, EVENT_TCP_ACCEPT, 0);
}

/* Nothing was accepted, and nothing went wrong: there was nothing, or a signal came. */
static __always_inline int is_nothing(int result)
{
	return result == -EAGAIN_NUMBER || result == -EINTR_NUMBER || result == -ERESTARTSYS_NUMBER;
}

/* It failed; or it was accepted, and its descriptor was not seen or never given: the address could not be told. */
static __always_inline int end_accept(void *ctx, int result)
{
	if (!is_nothing(result))
		return end_call(ctx, EVENT_TCP_ACCEPT, result);
	drop_call(bpf_get_current_task());
	return 0;
}

static __always_inline int on_accept_return(void *ctx, int result)
{
	struct assembly *a = accept_under_way();

	return a && !is_of_uring(a) ? end_accept(ctx, result) : 0;
}

/* Only io_uring's calls end here. */
static __always_inline int on_do_accept_return(void *ctx, long file)
{
	struct assembly *a = accept_under_way();

	if (!a || !is_of_uring(a) || file >= 0 || file < -ERRNO_MAX)
		return 0;
	return end_accept(ctx, file);
}
