/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP connections that are there, and their end.
 *
 * A connection ends when its socket gets to the state CLOSE: in whatever task, or in none. So who made it is
 * noted by socket, and who closes it instead when that is known. A connection without note, since it is older
 * than the watch, was never accepted, or there was no room, belongs to the control group that its socket
 * belongs to, and has no process.
 *
 * What happens here may come on top of another program on the same processor, so no buffer of the processor is
 * used: records are put together in the ring.
 */
#pragma once

#include "common.h"
#include "path.h"
#include "peer.h"

#define TCP_ESTABLISHED_STATE 1
#define TCP_SYN_SENT_STATE 2
#define TCP_SYN_RECV_STATE 3
#define TCP_CLOSE_STATE 7
#define TCP_NEW_SYN_RECV_STATE 12
#define SOCK_DONE_BIT 1
#define PF_EXITING 0x00000004
/* Of a socket without a group of its own. */
#define ROOT_GROUP 1

/* A record of a connection as it is kept, and sent. */
struct connection {
	struct socket_record record;
	__u8 exe[KEPT_EXE_MAX];
};

/* By socket. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

FILTER(connection_filter);

static __always_inline struct connection *connection_of(__u64 socket)
{
	return find(&connections, &connection_filter, socket);
}

/* Not 0 if there is none, or somebody else has forgotten it. */
static __always_inline int forget_connection(__u64 socket)
{
	return take_out(&connections, &connection_filter, socket);
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connection);
} connection_scratch SEC(".maps");

/* When connections were established; those of all processes, since a socket may be handed to a watched one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} established SEC(".maps");

/* Processes that exit, for their executable: what they leave open is closed when that is forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct connection);
} leaving SEC(".maps");

/* The events of which two programs follow the states of sockets, see traceleft.bpf.c. */
enum following {
	FOLLOWING_CONNECT,
	FOLLOWING_CLOSE,
	FOLLOWING_COUNT,
};

/* By processor, for the second program: the socket whose change the first one has just seen to. */
struct seen_to {
	__u64 sockets[FOLLOWING_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct seen_to);
} seen_to SEC(".maps");

/*
 * Whether a change of state is for this program to see to: to established and closed, and of the second program only
 * what the first one was not started for. That was under way on this processor then, and had begun by forgetting what
 * was noted here.
 */
static __always_inline int is_to_see_to(struct sock *sk, int state, enum following following, int again)
{
	int counts = state == TCP_ESTABLISHED_STATE || state == TCP_CLOSE_STATE;
	volatile __u64 *socket;
	struct seen_to *seen;
	__u32 zero = 0;

	if (again && !counts)
		return 0;
	seen = bpf_map_lookup_elem(&seen_to, &zero);
	if (!seen)
		return 0;
	socket = &seen->sockets[following];
	if (again)
		return *socket != (__u64)sk;
	*socket = 0;
	return counts;
}

static __always_inline void note_seen_to(struct sock *sk, enum following following)
{
	__u32 zero = 0;
	struct seen_to *seen = bpf_map_lookup_elem(&seen_to, &zero);

	if (seen)
		seen->sockets[following] = (__u64)sk;
}

/*
 * Connections whose end the first of the two programs told of, for the second: what comes on top between the two has
 * them note its own socket.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} ended SEC(".maps");

static OWN_FRAME void read_addresses(struct socket_record *record, struct sock *sk)
{
	struct socket_head head = read_head(sk);
	__u16 family, port;

	READ_OF_SOCKET(&family, skc_family);
	record->family = family;
	if (family == AF_INET6_FAMILY) {
		READ_OF_SOCKET(&record->source, skc_v6_rcv_saddr);
		READ_OF_SOCKET(&record->destination, skc_v6_daddr);
	} else {
		READ_OF_SOCKET((__u32 *)record->source, skc_rcv_saddr);
		READ_OF_SOCKET((__u32 *)record->destination, skc_daddr);
	}
	/* A socket that closes has given its number back, but not forgotten it. */
	READ_OF_SOCKET(&port, skc_num);
	if (!port)
		port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	if (port)
		record->source_port = port;
	READ_OF_SOCKET(&port, skc_dport);
	port = bpf_ntohs(port);
	if (port)
		record->destination_port = port;
}

/* Room in the ring to put a record of this share together; 0 if there is none. */
static __always_inline struct connection *begin_draft(__u32 index)
{
	struct share *share;
	__u64 taken;

	if (!has_room(index, sizeof(struct connection), &share, &taken))
		return 0;
	return bpf_ringbuf_reserve(&ring, sizeof(struct connection), 0);
}

/* Sends what was put together in the ring. */
static __always_inline void send_draft(struct connection *draft, __u32 target, __u32 kind)
{
	struct counters *count = counters_of(target, kind);
	__u32 index = draft->record.header.share;
	struct share *share = bpf_map_lookup_elem(&shares, &index);
	__u64 room = room_of(sizeof(*draft)), taken;

	if (!count || !share) {
		bpf_ringbuf_discard(draft, 0);
		return;
	}
	__sync_fetch_and_add(&share->written, room);
	__sync_fetch_and_add(&count->seen, 1);
	if (draft->record.header.flags & RECORD_RESULT_MISSED)
		__sync_fetch_and_add(&count->results_missed, 1);
	/* It is in the ring already. */
	taken = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) - room;
	bpf_ringbuf_submit(draft, wake_reader(taken, room));
}

static __always_inline void count_lost_ring(__u32 target, __u32 kind)
{
	struct counters *count = counters_of(target, kind);

	if (!count)
		return;
	__sync_fetch_and_add(&count->seen, 1);
	__sync_fetch_and_add(&count->lost_ring, 1);
}

/* The control group that a socket belongs to: that of its maker, or of the listening socket. */
static __always_inline __u64 socket_group(struct sock *sk)
{
	struct cgroup *cgroup;
	__u64 value;

	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup)) {
		cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	} else {
		value = BPF_CORE_READ((struct sock___5_14 *)sk, sk_cgrp_data.val);
		/* The lowest bit: it is no pointer but a mark of version 1. The next: nobody counts references. */
		cgroup = value & 1 ? 0 : (struct cgroup *)(value & ~3ULL);
	}
	return cgroup ? BPF_CORE_READ(cgroup, kn, id) : ROOT_GROUP;
}

static __always_inline struct group *watched_closes(__u64 cgroup_id)
{
	struct group *group = watched_group(cgroup_id);

	/* A connection may end after the group of who made it. */
	if (!group)
		group = find(&removed_groups, &removed_filter, cgroup_id);
	return group && group->events & EVENT_BIT(EVENT_TCP_CLOSE) ? group : 0;
}

/* Copies what there is: the executable's path is mostly short. */
static __always_inline void copy_connection(struct connection *to, const struct connection *from)
{
	__u32 length = *(volatile const __u16 *)&from->record.header.string_length[STRING_EXE];

	to->record = from->record;
	copy_parts(to->exe, from->exe, length, KEPT_EXE_MAX);
}

/* What an assembly has, in the form in which it is kept. */
static __always_inline void keep_assembly(struct connection *to, struct assembly *a)
{
	struct record_header *header = &to->record.header;
	__u32 offset, length;

	__builtin_memcpy(&to->record, a->data, sizeof(to->record));
	offset = header->string_offset[STRING_EXE];
	if (header->string_length[STRING_EXE] > KEPT_EXE_MAX) {
		header->string_length[STRING_EXE] = KEPT_EXE_MAX;
		header->string_state[STRING_EXE] |= STRING_TRUNCATED;
	}
	length = *(volatile __u16 *)&header->string_length[STRING_EXE];
	if (!offset || offset > sizeof(to->record) || length > KEPT_EXE_MAX)
		return;
	bpf_probe_read_kernel(to->exe, length, a->data + offset);
	header->string_offset[STRING_EXE] = __builtin_offsetof(struct connection, exe);
}

static __always_inline void keep_connection(struct sock *sk, const struct connection *connection)
{
	__u64 socket = (__u64)sk;

	if (!put(&connections, &connection_filter, socket, connection))
		return;
	/* Its end is told by the socket's group, without process; or not at all, if that is not watched. */
	if (!watched_closes(socket_group(sk)))
		count_lost_state(connection->record.header.target, EVENT_TCP_CLOSE);
}

/* The finisher's part. */
static __always_inline void keep_connection_of(struct assembly *a, __u32 workspace)
{
	struct sock *sk = (struct sock *)a->object;
	__u64 socket = a->object;
	struct connection *connection = bpf_map_lookup_elem(&connection_scratch, &workspace);

	if (!connection)
		return;
	keep_assembly(connection, a);
	keep_connection(sk, connection);
	/* It may have ended meanwhile. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE_STATE)
		forget_connection(socket);
}

/* The finisher's part. */
static __always_inline void keep_leaving(struct assembly *a, __u32 workspace)
{
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	struct connection *connection = bpf_map_lookup_elem(&connection_scratch, &workspace);

	if (!connection)
		return;
	keep_assembly(connection, a);
	bpf_map_update_elem(&leaving, &process, connection, BPF_ANY);
}

static __always_inline int on_leaving(void *ctx)
{
	struct origin origin = {};
	struct assembly *a;

	if (!watched(EVENT_TCP_CLOSE, &origin))
		return 0;
	a = begin_record(EVENT_TCP_CLOSE, &origin, sizeof(struct socket_record));
	if (!a)
		return 0;
	a->finish = FINISH_KEEP_LEAVING;
	finish(ctx, a);
	return 0;
}

static __always_inline void append_left_exe(struct assembly *a)
{
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	struct connection *left = bpf_map_lookup_elem(&leaving, &process);
	struct record_header *header;
	__u8 *to = string_end(a);

	if (!left || !to)
		return;
	header = &left->record.header;
	/* As much as there may be: so the verifier need not know how much there is. */
	if (header->string_length[STRING_EXE] && !bpf_probe_read_kernel(to, KEPT_EXE_MAX, left->exe))
		note_string(a, STRING_EXE, header->string_length[STRING_EXE],
			    header->string_state[STRING_EXE]);
}

static __always_inline int was_connected(int state)
{
	return state != TCP_SYN_SENT_STATE && state != TCP_SYN_RECV_STATE && state != TCP_CLOSE_STATE &&
	       state != TCP_LISTEN_STATE && state != TCP_NEW_SYN_RECV_STATE;
}

/*
 * The call that closes a connection. Exit and a signal come here as well, and a socket that several processes
 * have comes when the last of them closes it.
 */
static __always_inline int on_tcp_close(void *ctx, struct sock *sk)
{
	struct origin origin = {};
	__u64 socket = (__u64)sk, own;
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	struct connection *known;
	struct socket_record *record;
	struct user_call user;
	struct assembly *a;

	if (!was_connected(BPF_CORE_READ(sk, __sk_common.skc_state)) ||
	    !watched_of(EVENT_BIT(EVENT_TCP_CLOSE), &origin))
		return 0;
	user = user_call();
	if (OF_TASK(flags) & PF_EXITING)
		user.number = NO_SYSCALL;
	known = connection_of(socket);
	if (known && known->record.header.cgroup_id != origin.cgroup_id)
		return 0;
	if (known && known->record.header.pid == process) {
		known->record.header.tid = (__u32)bpf_get_current_pid_tgid();
		known->record.header.syscall = user.number;
		known->record.header.abi = user.abi;
		bpf_get_current_comm(known->record.header.comm, COMM_LENGTH);
		return 0;
	}
	own = socket_group(sk);
	if (!known && own != origin.cgroup_id && watched_closes(own))
		return 0;
	origin.syscall = user.number;
	origin.abi = user.abi;
	a = begin_record(EVENT_TCP_CLOSE, &origin, sizeof(*record));
	if (!a)
		return 0;
	record = (struct socket_record *)a->data;
	read_addresses(record, sk);
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (known) {
		record->peer_cgroup = known->record.peer_cgroup;
		record->peer_pid = known->record.peer_pid;
	}
	if (!OF_TASK(mm))
		append_left_exe(a);
	a->finish = FINISH_KEEP_CONNECTION;
	a->object = socket;
	finish(ctx, a);
	return 0;
}

static __always_inline void fill_end(struct socket_record *record, struct sock *sk, const struct group *group)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u64 socket = (__u64)sk;
	__u64 *since;

	record->header.kind = EVENT_TCP_CLOSE;
	record->header.flags &= RECORD_SET_UP;
	record->header.timestamp = bpf_ktime_get_boot_ns();
	record->header.target = group->target;
	record->header.share = group->share;
	record->header.result = -BPF_CORE_READ(sk, sk_err);
	read_addresses(record, sk);
	record->net_ns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	record->bytes_in = BPF_CORE_READ(tp, bytes_received);
	/* The kernel counts the end of the other side as one. */
	if (record->bytes_in && BPF_CORE_READ(sk, __sk_common.skc_flags) & (1UL << SOCK_DONE_BIT))
		record->bytes_in--;
	record->bytes_out = BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);
	since = bpf_map_lookup_elem(&established, &socket);
	if (since)
		record->duration = record->header.timestamp - *since;
	if (!name_server(record, sk))
		name_client(record, sk);
}

static __always_inline void nobody(struct connection *draft, struct sock *sk, const struct group *group)
{
	__builtin_memset(draft, 0, sizeof(*draft));
	draft->record.header.cgroup_id = socket_group(sk);
	copy_invocation(draft->record.header.invocation, group->invocation);
	draft->record.header.auid = NO_NUMBER;
	draft->record.header.session = NO_NUMBER;
	draft->record.header.syscall = NO_SYSCALL;
}

/* True if it was told of. */
static __always_inline int on_connection_end(struct sock *sk)
{
	__u64 socket = (__u64)sk;
	struct connection *known = connection_of(socket), *draft;
	struct group *group = watched_closes(known ? known->record.header.cgroup_id : socket_group(sk));
	__u32 target;

	if (!group) {
		forget_connection(socket);
		return 0;
	}
	target = group->target;
	draft = begin_draft(group->share);
	/* Who forgets the note tells. The verifier wants just one look at whether there is a draft. */
	if (!draft) {
		if (known && forget_connection(socket))
			return 0;
		count_lost_ring(target, EVENT_TCP_CLOSE);
		return 1;
	}
	if (known)
		copy_connection(draft, known);
	else
		nobody(draft, sk, group);
	if (known && forget_connection(socket)) {
		bpf_ringbuf_discard(draft, 0);
		return 0;
	}
	fill_end(&draft->record, sk, group);
	send_draft(draft, target, EVENT_TCP_CLOSE);
	return 1;
}

/* The socket changes its state. `again`: the second of the two programs, see traceleft.bpf.c. */
static __always_inline int on_close_state(struct sock *sk, int before, int state, int again)
{
	__u64 socket = (__u64)sk, now;
	int told = 0;
	__u32 one = 1;

	if (!is_to_see_to(sk, state, FOLLOWING_CLOSE, again))
		return 0;
	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP_NUMBER)
		return 0;
	if (state == TCP_ESTABLISHED_STATE) {
		/* To find that it is there takes less than to have room made for it. */
		if (again && bpf_map_lookup_elem(&established, &socket))
			return 0;
		now = bpf_ktime_get_boot_ns();
		bpf_map_update_elem(&established, &socket, &now, again ? BPF_NOEXIST : BPF_ANY);
	} else {
		if (again && !bpf_map_delete_elem(&ended, &socket))
			return 0;
		if (!was_connected(before))
			forget_connection(socket);
		else
			told = on_connection_end(sk);
		if (told && !again)
			bpf_map_update_elem(&ended, &socket, &one, BPF_ANY);
		bpf_map_delete_elem(&established, &socket);
	}
	if (!told && !again)
		note_seen_to(sk, FOLLOWING_CLOSE);
	return 0;
}

/* The socket is freed. What is still known of it is a connection whose end was missed. */
static __always_inline int on_socket_freed(struct sock *sk)
{
	__u64 socket = (__u64)sk;

	if (connection_of(socket))
		on_connection_end(sk);
	return 0;
}
