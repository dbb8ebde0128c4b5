/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a socket is, and the events that are about its own address: bind and listen.
 *
 * __sys_bind() and __sys_listen() are where the system calls meet, i386's socketcall() among them; the failures of
 * a descriptor that is no socket are theirs. io_uring (v6.11) comes in one function further down, whose return
 * then ends the call for both.
 */
#pragma once

#include "call.h"
#include "connect.h"

#define AF_UNIX_FAMILY 1
#define S_IFMT_BITS 0170000
#define S_IFSOCK_BITS 0140000
#define SYSCALL_I386_SOCKETCALL 102
#define SOCKADDR_IN_SIZE 16
#define SOCKADDR_IN6_SIZE 24 /* without the scope, as the kernel takes it */
/* Of a struct sockaddr_un: where its path begins, and how long all of it may be. */
#define UNIX_PATH_OFFSET 2
#define SOCKADDR_UN_SIZE 110

/* The socket of a descriptor; 0 if it has none. */
static __always_inline struct socket *socket_of(int fd)
{
	struct file *file = file_of(fd);

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT_BITS) != S_IFSOCK_BITS)
		return 0;
	return BPF_CORE_READ(file, private_data);
}

/* The descriptor that a system call was given first, if this file is behind it. */
static __always_inline __s32 caller_fd(const struct user_call *user, struct file *file)
{
	__u32 fd = user->args[0];

	if (user->abi == ABI_IO_URING)
		return NO_NUMBER;
	if (user->abi == ABI_I386 && user->number == SYSCALL_I386_SOCKETCALL) {
		fd = NO_NUMBER;
		bpf_probe_read_user(&fd, sizeof(fd), (void *)user->args[1]);
	}
	return file && file_of(fd) == file ? fd : NO_NUMBER;
}

/* Control group in which a socket was made; 0 if it is not known. */
static __always_inline __u64 socket_cgroup(struct sock *sk)
{
	struct sock_cgroup_data___5_14 *data = (void *)sk + bpf_core_field_offset(struct sock, sk_cgrp_data);
	struct cgroup *cgroup;

	if (!bpf_core_field_exists(struct sock_cgroup_data___5_14, val))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	/* The lowest bits say that this is no pointer. */
	cgroup = (struct cgroup *)BPF_CORE_READ(data, val);
	return (__u64)cgroup & 3 ? 0 : BPF_CORE_READ(cgroup, kn, id);
}

/* No address is known until one is added. */
static __always_inline void describe_socket(struct socket_record *record, struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	record->header.flags |= RECORD_NO_ADDRESS;
	record->fd = NO_NUMBER;
	if (!sk)
		return;
	record->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	record->type = BPF_CORE_READ(socket, type);
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline struct assembly *begin_watched_socket(enum event_kind kind, struct origin *origin,
							     struct socket *socket)
{
	struct user_call user;
	struct assembly *a = begin_watched(kind, origin, sizeof(struct socket_record), &user);

	if (!a)
		return 0;
	describe_socket((struct socket_record *)a->data, socket);
	a->dfd = AT_FDCWD_FD;
	a->object = (__u64)BPF_CORE_READ(socket, sk);
	a->lookup = 0;
	return a;
}

/* Begins a call on a socket, which may be 0. */
static __always_inline struct assembly *begin_socket_call(enum event_kind kind, struct socket *socket)
{
	struct origin origin = {};

	if (!watched(kind, &origin))
		return 0;
	return begin_watched_socket(kind, &origin, socket);
}

/* The call of this kind under way on this socket; it begins here if it did not further up. */
static __always_inline struct assembly *reach_socket_call(enum event_kind kind, struct socket *socket)
{
	struct assembly *a = resume_call(kind);

	if (a && a->object == (__u64)BPF_CORE_READ(socket, sk))
		return a;
	return begin_socket_call(kind, socket);
}

/* The name of a unix socket as it was passed, in the kernel's copy, which need not end with NUL. */
static __always_inline void add_unix_argument(struct assembly *a, const void *address, int size)
{
	struct record_header *header = (struct record_header *)a->data;
	const void *path = address + UNIX_PATH_OFFSET;
	__u8 first = 0, *to;
	long length;

	/* Without a name, the kernel chooses one. */
	if (size <= UNIX_PATH_OFFSET || size > SOCKADDR_UN_SIZE)
		return;
	bpf_probe_read_kernel(&first, sizeof(first), path);
	if (!first) {
		header->flags |= RECORD_ABSTRACT;
		append_bytes(a, STRING_NAME, path + 1, (size - UNIX_PATH_OFFSET - 1) & 127, 0);
		return;
	}
	to = string_end(a);
	if (!to)
		return;
	length = bpf_probe_read_kernel_str(to, (size - UNIX_PATH_OFFSET + 1) & 127, path);
	if (length > 0)
		note_string(a, STRING_PATH_ARG, length - 1, 0);
}

/* The name that a unix socket has: that of a file, or an abstract one. */
static __always_inline void add_unix_name(struct assembly *a, struct sock *sk)
{
	struct socket_record *record = (struct socket_record *)a->data;
	struct unix_sock *unix_sock = (struct unix_sock *)sk;
	struct dentry *dentry = BPF_CORE_READ(unix_sock, path.dentry);
	struct unix_address *address = BPF_CORE_READ(unix_sock, addr);
	const void *name = (void *)address + bpf_core_field_offset(struct unix_address, name);
	int size;

	if (dentry) {
		want_path(a, STRING_PATH, BPF_CORE_READ(unix_sock, path.mnt), dentry);
		identify_inode(a, &record->file, BPF_CORE_READ(dentry, d_inode));
		return;
	}
	size = address ? BPF_CORE_READ(address, len) : 0;
	if (size <= UNIX_PATH_OFFSET || size > SOCKADDR_UN_SIZE)
		return;
	record->header.flags |= RECORD_ABSTRACT;
	append_bytes(a, STRING_NAME, name + UNIX_PATH_OFFSET + 1, (size - UNIX_PATH_OFFSET - 1) & 127, 0);
}

/* The address that an internet socket has. */
static __always_inline void add_own_address(struct socket_record *record, struct sock *sk)
{
	if (record->family == AF_INET6_FAMILY)
		bpf_core_read(record->source, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	else
		bpf_core_read(record->source, 4, &sk->__sk_common.skc_rcv_saddr);
	record->source_port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

static __always_inline int is_internet(__u32 family)
{
	return family == AF_INET_FAMILY || family == AF_INET6_FAMILY;
}

/* The address that was asked for, in the kernel's copy. */
static __always_inline void add_argument(struct assembly *a, const void *address, int size)
{
	struct socket_record *record = (struct socket_record *)a->data;
	__u16 family = 0, port = 0;

	if (size < (int)sizeof(family))
		return;
	bpf_probe_read_kernel(&family, sizeof(family), address);
	if (family == AF_UNIX_FAMILY && record->family == AF_UNIX_FAMILY) {
		add_unix_argument(a, address, size);
		return;
	}
	/* An IPv4 socket takes an address without family, as long as it is that of no host. */
	if (!family && record->family == AF_INET_FAMILY)
		family = AF_INET_FAMILY;
	if (!is_internet(family) || !is_internet(record->family))
		return;
	if (size < (family == AF_INET6_FAMILY ? SOCKADDR_IN6_SIZE : SOCKADDR_IN_SIZE))
		return;
	bpf_probe_read_kernel(&port, sizeof(port), address + 2);
	record->source_port = bpf_ntohs(port);
	if (family == AF_INET6_FAMILY)
		bpf_probe_read_kernel(record->source, 16, address + 8);
	else
		bpf_probe_read_kernel(record->source, 4, address + 4);
	record->family = family;
	record->header.flags &= ~RECORD_NO_ADDRESS;
}

/* bind(2) and listen(2) before the descriptor is looked at. */
static __always_inline int on_socket_call(enum event_kind kind, int fd, int backlog)
{
	struct assembly *a = begin_socket_call(kind, socket_of(fd));
	struct socket_record *record;

	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	record->fd = fd;
	record->backlog = backlog;
	keep_call(a);
	return 0;
}

/* security_socket_bind() is called for all, once the address is the kernel's. */
static __always_inline int on_bind_address(struct socket *socket, const void *address, int size)
{
	struct assembly *a = reach_socket_call(EVENT_BIND, socket);

	if (!a)
		return 0;
	add_argument(a, address, size);
	keep_call(a);
	return 0;
}

/* Where io_uring comes in. */
static __always_inline int on_listen_socket(struct socket *socket, int backlog)
{
	struct assembly *a = reach_socket_call(EVENT_LISTEN, socket);

	if (!a)
		return 0;
	((struct socket_record *)a->data)->backlog = backlog;
	keep_call(a);
	return 0;
}

/*
 * The address is what the socket has by now: a port of 0 has become the one that was chosen. That of a failed bind is
 * what was asked for.
 */
static __always_inline int on_socket_return(void *ctx, enum event_kind kind, int result)
{
	struct assembly *a = resume_call(kind);
	struct socket_record *record;
	struct sock *sk;

	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	sk = (struct sock *)a->object;
	if (sk && (!result || kind == EVENT_LISTEN)) {
		record->family = BPF_CORE_READ(sk, __sk_common.skc_family);
		if (record->family == AF_UNIX_FAMILY) {
			add_unix_name(a, sk);
		} else if (is_internet(record->family)) {
			add_own_address(record, sk);
			record->header.flags &= ~RECORD_NO_ADDRESS;
		}
	}
	end_resumed(ctx, a, result);
	return 0;
}
