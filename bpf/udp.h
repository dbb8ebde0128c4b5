/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first datagram of a UDP socket to a destination.
 *
 * udp_sendmsg() and udpv6_sendmsg() are where all ways to send meet; the second calls the first for an IPv4 address of
 * an IPv6 socket. What was told once is in a map that forgets the oldest, so that after very many destinations one
 * may be told again.
 */
#pragma once

#include "unix.h"

#define IPPROTO_UDP_NUMBER 17

/* A socket is its address and its inode number, which the next socket at that address has not. */
struct told_key {
	__u64 socket;
	__u64 inode;
	__u8 destination[16];
	__u32 target;
	__u16 port;
	__u16 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct told_key);
	__type(value, __u32);
} told_destinations SEC(".maps");

static __always_inline void map_ipv4(__u8 *to, const void *from)
{
	to[10] = 0xff;
	to[11] = 0xff;
	bpf_probe_read_kernel(to + 12, 4, from);
}

/* Where the datagram is to go; 0 if that cannot be told, and so is an error. */
static __always_inline int read_datagram_destination(struct told_key *key, struct sock *sk,
						     struct msghdr *msg)
{
	__u32 ipv6 = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6_FAMILY;
	const void *name = BPF_CORE_READ(msg, msg_name);
	int size = BPF_CORE_READ(msg, msg_namelen);
	__u16 family = 0;

	if (name && size >= (int)sizeof(family))
		bpf_probe_read_kernel(&family, sizeof(family), name);
	if (!name || (ipv6 && !family)) {
		/* That to which the socket is connected. */
		key->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
		if (ipv6)
			bpf_core_read(key->destination, 16, &sk->__sk_common.skc_v6_daddr);
		else
			bpf_core_read(key->destination, 4, &sk->__sk_common.skc_daddr);
		return key->port != 0;
	}
	bpf_probe_read_kernel(&key->port, sizeof(key->port), name + 2);
	key->port = bpf_ntohs(key->port);
	if (family == AF_INET6_FAMILY && ipv6 && size >= SOCKADDR_IN6_SIZE)
		bpf_probe_read_kernel(key->destination, 16, name + 8);
	else if ((family == AF_INET_FAMILY || !family) && size >= SOCKADDR_IN_SIZE && ipv6)
		map_ipv4(key->destination, name + 4);
	else if ((family == AF_INET_FAMILY || !family) && size >= SOCKADDR_IN_SIZE)
		bpf_probe_read_kernel(key->destination, 4, name + 4);
	else
		return 0;
	return 1;
}

static __always_inline int on_udp_send(struct sock *sk, struct msghdr *msg, int ipv6)
{
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	struct file *file = BPF_CORE_READ(socket, file);
	struct origin origin = {};
	struct socket_record *record;
	struct told_key key = {};
	struct user_call user;
	struct assembly *a;
	int known;

	/* UDP-Lite has these functions, too; and a socket of the kernel's own has no file. */
	if (!watched(EVENT_UDP_SEND, &origin) || !file)
		return 0;
	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP_NUMBER)
		return 0;
	if (!ipv6 && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6_FAMILY)
		return 0;
	key.socket = (__u64)sk;
	key.inode = BPF_CORE_READ(file, f_inode, i_ino);
	key.target = origin.target;
	known = read_datagram_destination(&key, sk, msg);
	if (known && bpf_map_lookup_elem(&told_destinations, &key))
		return 0;
	a = begin_watched(EVENT_UDP_SEND, &origin, sizeof(*record), &user);
	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	describe_socket(record, socket);
	record->fd = caller_fd(&user, file);
	a->object = (__u64)sk;
	if (known) {
		__builtin_memcpy(record->destination, key.destination, sizeof(key.destination));
		record->destination_port = key.port;
		record->header.flags &= ~RECORD_NO_ADDRESS;
	}
	keep_call(a);
	return 0;
}

/* Of a socket without port, the kernel chose one meanwhile. */
static __always_inline int on_udp_send_return(void *ctx, int result)
{
	struct assembly *a = resume_call(EVENT_UDP_SEND);
	struct socket_record *record;
	struct told_key key = {};
	__u32 told = 1;
	struct sock *sk;

	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	sk = (struct sock *)a->object;
	key.socket = a->object;
	key.inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
	key.target = record->header.target;
	key.port = record->destination_port;
	__builtin_memcpy(key.destination, record->destination, sizeof(key.destination));
	/* Of two that are sent at the same time, the first is told. */
	if (is_tried_again(&record->header, sk, result) ||
	    (result >= 0 && bpf_map_update_elem(&told_destinations, &key, &told, BPF_NOEXIST))) {
		drop_call(call_key(EVENT_UDP_SEND));
		return 0;
	}
	add_own_address(record, sk);
	end_resumed(ctx, a, result);
	return 0;
}
