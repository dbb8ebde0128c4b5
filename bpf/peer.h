/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is at the other end of a connection within this machine, whether it is watched or not.
 *
 * Both ends have the same addresses and ports, so each side leaves word under them for the other. The one that
 * connects does so in tcp_connect(). For the other side the listening socket answers a SYN before anybody
 * accepts, so first its owner is noted, then who really accepted. Owner is who last went to accept a
 * connection, or called listen(): a socket that systemd made belongs to the service that uses it.
 */
#pragma once

#include <bpf/bpf_endian.h>

#include "common.h"

#define AF_INET_FAMILY 2
#define AF_INET6_FAMILY 10
#define SOCK_STREAM_TYPE 1
#define IPPROTO_TCP_NUMBER 6
#define TCP_LISTEN_STATE 10
#define S_IFMT_BITS 0170000
#define S_IFSOCK_BITS 0140000

/* The process at one end. */
struct end {
	__u64 cgroup_id;
	__u32 pid;
	__u32 reserved;
};

/* Addresses as IPv6 has them, so that a v4-mapped end finds one of IPv4; ports in host order. */
struct tuple {
	__u8 client[16];
	__u8 server[16];
	__u16 client_port;
	__u16 server_port;
};

/* Oldest forgotten first: without an entry the other end is merely not named. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tuple);
	__type(value, struct end);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tuple);
	__type(value, struct end);
} servers SEC(".maps");

/* By listening socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct end);
} listeners SEC(".maps");

static __always_inline int is_tcp(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET_FAMILY || family == AF_INET6_FAMILY) &&
	       BPF_CORE_READ(sk, sk_type) == SOCK_STREAM_TYPE &&
	       BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_NUMBER;
}

static __always_inline int is_socket(struct file *file)
{
	return (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT_BITS) == S_IFSOCK_BITS;
}

/* The TCP socket that a file is; 0 if it is none. */
static __always_inline struct sock *tcp_socket_of(struct file *file)
{
	struct socket *socket;
	struct sock *sk;

	if (!file || !is_socket(file))
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = socket ? BPF_CORE_READ(socket, sk) : 0;
	return sk && is_tcp(sk) ? sk : 0;
}

/* What is read of a socket at once: in every kernel until now its addresses are there. */
struct socket_head {
	__u64 words[11];
};

static __always_inline struct socket_head read_head(struct sock *sk)
{
	struct socket_head head;

	bpf_probe_read_kernel(&head, sizeof(head), sk);
	return head;
}

/* Reads a member of what the socket `sk` and a request have in common, of which `head` is what was read. */
#define READ_OF_SOCKET(to, member)                                                         \
	do {                                                                               \
		__u32 offset = bpf_core_field_offset(struct sock, __sk_common.member);     \
                                                                                           \
		if (offset <= sizeof(head) - sizeof(*(to)))                                \
			__builtin_memcpy(to, (__u8 *)&head + offset, sizeof(*(to)));       \
		else                                                                       \
			bpf_probe_read_kernel(to, sizeof(*(to)), &sk->__sk_common.member); \
	} while (0)

/* Of an IPv4 address mapped to an IPv6 one. */
static __always_inline void map_address(__u8 *address)
{
	address[10] = 0xff;
	address[11] = 0xff;
}

/*
 * The tuple of a connection as one of its sockets has it: that of the client or of the server. A request to
 * connect begins with the same members.
 */
static OWN_FRAME void read_tuple(struct tuple *tuple, struct sock *sk, int of_client)
{
	struct socket_head head = read_head(sk);
	__u16 family, local_port, remote_port;
	__u8 *local = of_client ? tuple->client : tuple->server;
	__u8 *remote = of_client ? tuple->server : tuple->client;

	__builtin_memset(tuple, 0, sizeof(*tuple));
	READ_OF_SOCKET(&family, skc_family);
	READ_OF_SOCKET(&local_port, skc_num);
	READ_OF_SOCKET(&remote_port, skc_dport);
	remote_port = bpf_ntohs(remote_port);
	if (family == AF_INET6_FAMILY) {
		READ_OF_SOCKET((struct in6_addr *)local, skc_v6_rcv_saddr);
		READ_OF_SOCKET((struct in6_addr *)remote, skc_v6_daddr);
	} else {
		map_address(local);
		map_address(remote);
		READ_OF_SOCKET((__u8(*)[4])(local + 12), skc_rcv_saddr);
		READ_OF_SOCKET((__u8(*)[4])(remote + 12), skc_daddr);
	}
	tuple->client_port = of_client ? local_port : remote_port;
	tuple->server_port = of_client ? remote_port : local_port;
}

static __always_inline struct end current_end(void)
{
	struct end end = { .cgroup_id = bpf_get_current_cgroup_id(),
			   .pid = bpf_get_current_pid_tgid() >> 32 };

	return end;
}

/* Notes an end by a key. Mostly it is there already, and to find it takes less than to have room made for it. */
static __always_inline void note_end(void *ends, const void *key, const struct end *end)
{
	const struct end *known = bpf_map_lookup_elem(ends, key);

	if (!known || known->cgroup_id != end->cgroup_id || known->pid != end->pid)
		bpf_map_update_elem(ends, key, end, BPF_ANY);
}

/* Somebody connects: before the first packet, with all addresses known. */
static __always_inline int on_client(struct sock *sk)
{
	struct end end = current_end();
	struct tuple tuple;

	read_tuple(&tuple, sk, 1);
	bpf_map_update_elem(&clients, &tuple, &end, BPF_ANY);
	return 0;
}

/* Somebody listens, or goes to accept from a listening socket. */
static __always_inline int on_listener(struct sock *sk)
{
	struct end end = current_end();
	__u64 socket = (__u64)sk;

	note_end(&listeners, &socket, &end);
	return 0;
}

/* A listening socket got a SYN; its answer comes to the client only after this. */
static __always_inline int on_request(struct sock *listener, struct sock *request)
{
	__u64 socket = (__u64)listener;
	struct end *end = bpf_map_lookup_elem(&listeners, &socket);
	struct tuple tuple;

	if (!end)
		return 0;
	read_tuple(&tuple, request, 0);
	bpf_map_update_elem(&servers, &tuple, end, BPF_ANY);
	return 0;
}

/* Somebody accepted. */
static __always_inline void note_server(struct sock *sk)
{
	struct end end = current_end();
	struct tuple tuple;

	read_tuple(&tuple, sk, 0);
	note_end(&servers, &tuple, &end);
}

static __always_inline void name_end(struct socket_record *record, const struct end *end)
{
	record->peer_cgroup = end->cgroup_id;
	record->peer_pid = end->pid;
}

/* For the one that connected. */
static __always_inline int name_server(struct socket_record *record, struct sock *sk)
{
	struct tuple tuple;
	struct end *end;

	read_tuple(&tuple, sk, 1);
	if (record->source_port)
		tuple.client_port = record->source_port;
	end = bpf_map_lookup_elem(&servers, &tuple);
	if (end)
		name_end(record, end);
	return end != 0;
}

/* For the one that accepted. */
static __always_inline int name_client(struct socket_record *record, struct sock *sk)
{
	struct tuple tuple;
	struct end *end;

	read_tuple(&tuple, sk, 0);
	if (record->source_port)
		tuple.server_port = record->source_port;
	end = bpf_map_lookup_elem(&clients, &tuple);
	if (end)
		name_end(record, end);
	return end != 0;
}

/* What the kernel gives to a program that iterates over the files of all tasks. */
struct bpf_iter__task_file {
	void *meta;
	struct task_struct *task;
	__u32 fd;
	__u32 reserved;
	struct file *file;
};

static __always_inline __u64 group_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

/*
 * Sockets that listened before anybody asked. systemd holds those of the services that it starts by them; any
 * other holder is a better answer.
 */
static __always_inline int on_task_file(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct end end = {}, *known;
	struct sock *sk;
	__u64 socket;

	if (!task || !file)
		return 0;
	sk = tcp_socket_of(file);
	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN_STATE)
		return 0;
	socket = (__u64)sk;
	known = bpf_map_lookup_elem(&listeners, &socket);
	if (known && known->pid != 1)
		return 0;
	end.pid = BPF_CORE_READ(task, tgid);
	end.cgroup_id = group_of(task);
	bpf_map_update_elem(&listeners, &socket, &end, BPF_ANY);
	return 0;
}
