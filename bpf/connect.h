/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP connections that are asked for.
 *
 * tcp_v4_connect() and tcp_v6_connect() run in the task that called connect(), whatever the call: there the
 * unit is decided and the caller is noted, by socket. What became of it is known when the socket leaves
 * SYN_SENT, often in another task or none: on_connect_state() finds the note by the socket. Errors before the
 * first packet come with the return of tcp_v4_connect(), which does not block.
 */
#pragma once

#include "connection.h"

#define EINPROGRESS_NUMBER 115
#define O_NONBLOCK_BIT 04000

struct connect_note {
	struct connection connection;
	__u64 task;
	__u64 events;  /* tcp-connect and tcp-close, if they are watched */
	__u32 calling; /* tcp_v4_connect() has not returned */
	__u32 reserved;
};

/* Connections being made, by socket. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct connect_note);
} connects SEC(".maps");

FILTER(connect_filter);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connect_note);
} connect_scratch SEC(".maps");

/* The socket of the connect() under way in a task. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} connect_calls SEC(".maps");

FILTER(connect_call_filter);

static __always_inline struct connect_note *connect_of(__u64 sk)
{
	return find(&connects, &connect_filter, sk);
}

/* Not 0 if somebody else has. */
static __always_inline int forget_connect(__u64 sk)
{
	return take_out(&connects, &connect_filter, sk);
}

static __always_inline __u64 *connect_call_of(__u64 task)
{
	return find(&connect_calls, &connect_call_filter, task);
}

static __always_inline void forget_connect_call(__u64 task)
{
	take_out(&connect_calls, &connect_call_filter, task);
}

/* What connect() was given, in the kernel's copy: the socket has it only once a route was found. */
static __always_inline void read_destination(struct socket_record *record, const void *address)
{
	__u16 family = 0, port = 0;

	bpf_probe_read_kernel(&family, sizeof(family), address);
	bpf_probe_read_kernel(&port, sizeof(port), address + 2);
	record->destination_port = bpf_ntohs(port);
	if (family == AF_INET6_FAMILY)
		bpf_probe_read_kernel(record->destination, 16, address + 8);
	else
		bpf_probe_read_kernel(record->destination, 4, address + 4);
	record->family = family;
}

/*
 * Sends the record of a note, if the event is watched, and forgets it. The task is not asked: it may be any. Who
 * forgets it tells of it.
 */
static __always_inline void submit_connect(__u64 sk, struct connect_note *note, __s32 result, __u32 flags)
{
	__u32 target = note->connection.record.header.target;
	__u64 task = note->task;
	__u32 calling = note->calling;
	int told = (note->events & EVENT_BIT(EVENT_TCP_CONNECT)) != 0;
	struct connection *draft = told ? begin_draft(note->connection.record.header.share) : 0;

	if (draft) {
		copy_connection(draft, &note->connection);
		draft->record.header.result = result;
		draft->record.header.flags |= flags;
		if (forget_connect(sk)) {
			bpf_ringbuf_discard(draft, 0);
			return;
		}
		send_draft(draft, target, EVENT_TCP_CONNECT);
	} else {
		if (forget_connect(sk))
			return;
		if (told)
			count_lost_ring(target, EVENT_TCP_CONNECT);
	}
	if (calling)
		forget_connect_call(task);
}

/* The task is gone, or begins another connect: a return was missed. */
static __always_inline void settle_connect(__u64 task)
{
	__u64 *known = connect_call_of(task);
	struct connect_note *note;
	__u64 sk;

	if (!known)
		return;
	sk = *known;
	forget_connect_call(task);
	note = connect_of(sk);
	if (note && note->task == task && note->calling)
		submit_connect(sk, note, 0, RECORD_RESULT_MISSED);
}

static __always_inline int on_tcp_connect(void *ctx, struct sock *sk, const void *address)
{
	struct origin origin = {};
	__u64 task = bpf_get_current_task();
	__u64 socket = (__u64)sk;
	struct socket_record *record;
	struct connect_note *note;
	struct user_call user;
	struct assembly *a;
	__u64 events;

	events = watched_of(EVENT_BIT(EVENT_TCP_CONNECT) | EVENT_BIT(EVENT_TCP_CLOSE), &origin);
	if (!events)
		return 0;
	/* An IPv6 socket to an IPv4 address comes through here twice. */
	note = connect_of(socket);
	if (note && note->calling && note->task == task)
		return 0;
	settle_connect(task);
	user = user_call();
	origin.syscall = user.number;
	origin.abi = user.abi;
	a = begin_record(EVENT_TCP_CONNECT, &origin, sizeof(*record));
	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (BPF_CORE_READ(sk, sk_socket, file, f_flags) & O_NONBLOCK_BIT)
		record->header.flags |= RECORD_ASYNC;
	read_destination(record, address);
	a->finish = FINISH_KEEP_CONNECT;
	a->object = socket;
	a->events = events;
	finish(ctx, a);
	return 0;
}

/* Keeps what is known at the call until its outcome is. */
static __always_inline void keep_connect(struct assembly *a, __u32 workspace)
{
	struct socket_record *record = (struct socket_record *)a->data;
	__u64 task = bpf_get_current_task();
	__u64 socket = a->object;
	struct connect_note *note = bpf_map_lookup_elem(&connect_scratch, &workspace);

	if (!note)
		return;
	keep_assembly(&note->connection, a);
	note->task = task;
	note->events = a->events;
	note->calling = 1;
	if (!put(&connects, &connect_filter, socket, note)) {
		put(&connect_calls, &connect_call_filter, task, &socket);
		return;
	}
	/* No room to wait for the outcome: the attempt itself is recorded. */
	if (!(a->events & EVENT_BIT(EVENT_TCP_CONNECT)))
		return;
	record->header.flags |= RECORD_RESULT_MISSED;
	submit(a);
}

static __always_inline int on_tcp_connect_return(int result)
{
	__u64 task = bpf_get_current_task();
	__u64 *known = connect_call_of(task);
	struct connect_note *note;
	__u64 sk;

	if (!known)
		return 0;
	sk = *known;
	forget_connect_call(task);
	note = connect_of(sk);
	if (!note || note->task != task)
		return 0;
	note->calling = 0;
	if (result < 0) {
		note->connection.record.header.flags &= ~RECORD_ASYNC;
		submit_connect(sk, note, result, 0);
	}
	return 0;
}

/* The socket is established or closed. */
static __always_inline void settle_state(struct sock *sk, int before, int state)
{
	__u64 socket = (__u64)sk;
	struct connect_note *note = connect_of(socket);
	__s32 result;
	int error;

	if (!note)
		return;
	error = BPF_CORE_READ(sk, sk_err);
	if (state == TCP_ESTABLISHED_STATE)
		result = 0;
	else if (before != TCP_SYN_SENT_STATE && before != TCP_CLOSE_STATE)
		result = 0; /* it was established, and that was missed */
	else if (error)
		result = -error;
	else if (note->calling)
		return; /* the return tells */
	else
		result = -EINPROGRESS_NUMBER; /* closed by its own side before anything came of it */
	read_addresses(&note->connection.record, sk);
	if (!result) {
		name_server(&note->connection.record, sk);
		if (note->events & EVENT_BIT(EVENT_TCP_CLOSE))
			keep_connection(sk, &note->connection);
	}
	submit_connect(socket, note, result, 0);
}

/*
 * The socket changes its state: in whatever task, or in none. `again`: the second of the two programs, see
 * traceleft.bpf.c.
 */
static __always_inline int on_connect_state(struct sock *sk, int before, int state, int again)
{
	if (!is_to_see_to(sk, state, FOLLOWING_CONNECT, again))
		return 0;
	/* What is there is of an earlier socket. */
	if (state == TCP_ESTABLISHED_STATE && !again)
		forget_connection((__u64)sk);
	settle_state(sk, before, state);
	if (!again)
		note_seen_to(sk, FOLLOWING_CONNECT);
	return 0;
}
