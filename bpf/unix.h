/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets that are connected.
 *
 * A call begins in __sys_connect(), where the failures are that the protocol does not see, if the descriptor is a
 * unix socket; io_uring comes in at unix_stream_connect() and unix_dgram_connect(), which have the kernel's copy
 * of the name. kern_path() looks the name up for the caller: it leaves the socket's file as the caller sees it, while
 * the socket itself knows it as the binder saw it, often in another mount namespace. What can be learnt of the
 * other end is seen before the call waits for room in its queue or returns.
 */
#pragma once

#include "socket.h"

#define EAGAIN_NUMBER 11

static __always_inline int on_connect_call(int fd)
{
	struct origin origin = {};
	struct socket *socket;
	struct assembly *a;

	if (!watched(EVENT_UNIX_CONNECT, &origin))
		return 0;
	socket = socket_of(fd);
	if (BPF_CORE_READ(socket, sk, __sk_common.skc_family) != AF_UNIX_FAMILY)
		return 0;
	a = begin_watched_socket(EVENT_UNIX_CONNECT, &origin, socket);
	if (!a)
		return 0;
	((struct socket_record *)a->data)->fd = fd;
	keep_call(a);
	return 0;
}

/* To dissolve what a datagram socket is connected to is no connect. */
static __always_inline int on_unix_connect(struct socket *socket, const void *address, int size, int datagram)
{
	struct assembly *a = reach_socket_call(EVENT_UNIX_CONNECT, socket);
	__u16 family = AF_UNIX_FAMILY;

	if (!a)
		return 0;
	if (size >= (int)sizeof(family))
		bpf_probe_read_kernel(&family, sizeof(family), address);
	if (datagram && !family) {
		drop_call(call_key(EVENT_UNIX_CONNECT));
		return 0;
	}
	if (family == AF_UNIX_FAMILY)
		add_unix_argument(a, address, size);
	keep_call(a);
	return 0;
}

/* int kern_path(const char *name, unsigned int flags, struct path *path) */
static __always_inline int on_kern_path(struct path *path)
{
	struct assembly *a = kept_call(call_key(EVENT_UNIX_CONNECT));

	if (a && ((struct record_header *)a->data)->kind == EVENT_UNIX_CONNECT)
		a->lookup = (__u64)path;
	return 0;
}

static __always_inline int on_kern_path_return(void *ctx, int result)
{
	struct assembly *a = kept_call(call_key(EVENT_UNIX_CONNECT));
	struct socket_record *record;
	struct dentry *dentry;
	struct path *path;

	if (!a || !a->lookup)
		return 0;
	a = resume_call(EVENT_UNIX_CONNECT);
	if (!a || result)
		return 0;
	record = (struct socket_record *)a->data;
	path = (struct path *)a->lookup;
	a->lookup = 0;
	dentry = BPF_CORE_READ(path, dentry);
	identify_inode(a, &record->file, BPF_CORE_READ(dentry, d_inode));
	want_path(a, STRING_PATH, BPF_CORE_READ(path, mnt), dentry);
	finish_kept(ctx, a);
	return 0;
}

static __always_inline void add_unix_peer(struct assembly *a, struct sock *other)
{
	struct socket_record *record = (struct socket_record *)a->data;

	record->peer_cgroup = socket_cgroup(other);
	/* Who called listen(); a datagram socket has none. */
	record->peer_pid = BPF_CORE_READ(other, sk_peer_pid, numbers[0].nr);
	if (has_no_path(a, STRING_PATH))
		add_unix_name(a, other);
}

/* security_unix_stream_connect(): the listener is found, and takes the connection if no module objects. */
static __always_inline int on_unix_stream_peer(void *ctx, struct sock *sk, struct sock *other)
{
	struct assembly *a = resume_call(EVENT_UNIX_CONNECT);

	if (!a || a->object != (__u64)sk)
		return 0;
	add_unix_peer(a, other);
	finish_kept(ctx, a);
	return 0;
}

/* io_uring tries without waiting first. Its answer then is not the program's, which comes of a second attempt. */
static __always_inline int is_tried_again(struct record_header *header, struct sock *sk, int result)
{
	return result == -EAGAIN_NUMBER && header->abi == ABI_IO_URING &&
	       !(BPF_CORE_READ(sk, sk_socket, file, f_flags) & O_NONBLOCK_BIT);
}

static __always_inline int on_unix_connect_return(void *ctx, int result)
{
	struct assembly *a = resume_call(EVENT_UNIX_CONNECT);
	struct socket_record *record;
	struct sock *sk, *other;

	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	sk = (struct sock *)a->object;
	if (is_tried_again(&record->header, sk, result)) {
		drop_call(call_key(EVENT_UNIX_CONNECT));
		return 0;
	}
	if (result) {
		record->peer_cgroup = 0;
		record->peer_pid = 0;
	} else if (!record->peer_cgroup) {
		/* A datagram socket has the other end itself as its peer. */
		other = BPF_CORE_READ((struct unix_sock *)sk, peer);
		if (other)
			add_unix_peer(a, other);
	}
	end_resumed(ctx, a, result);
	return 0;
}
