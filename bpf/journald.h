/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What journald does with our records. Where journald is watched, to record that would be a record again, for ever.
 *
 * journald has one thread that waits for something to do (epoll_wait), does one thing, and waits again: a turn. A turn
 * in which it takes a datagram of the daemon is not recorded from there on.
 *
 * When a file of the journal is full, another thread of it reads and closes that: it has no other work, and is left out
 * once journald has taken a datagram of the daemon.
 *
 * Some time after an entry it tells readers of all that have come since, by truncating the file to the length that it
 * has. It does so when a timer expires, of which it reads; or when it is up anyway, so that nothing says in what turn.
 * So these reads, and what truncates nothing, are left out whoever's the entries were.
 */
#pragma once

#include "call.h"

#define AF_UNIX_FAMILY 1

static __always_inline struct cgroup *above(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, self.parent, cgroup);
}

/*
 * By its control group, in which systemd alone puts processes: not by what was sent alone, since a process with
 * CAP_SYS_ADMIN may send in the name of any other.
 */
static __always_inline int is_journald(void)
{
	const char unit[] = "systemd-journald.service", slice[] = "system.slice";
	struct cgroup *cgroup = OF_TASK(cgroups, dfl_cgrp);

	return starts_with(BPF_CORE_READ(cgroup, kn, name), unit, sizeof(unit)) &&
	       starts_with(BPF_CORE_READ(above(cgroup), kn, name), slice, sizeof(slice)) &&
	       !above(above(above(cgroup)));
}

/* The process that has sent a datagram by a unix socket, as the first namespace numbers it. */
static __always_inline __u64 sender_of(struct sk_buff *skb)
{
	struct unix_skb_parms *parms = (void *)skb + bpf_core_field_offset(struct sk_buff, cb);

	if (!bpf_core_field_exists(parms->pid))
		return 0;
	return BPF_CORE_READ(parms, pid, numbers[0].nr);
}

static __always_inline void begin_handling(void)
{
	handling_thread = bpf_get_current_pid_tgid();
	handling_process = handling_thread >> 32;
}

/* __sock_recv_timestamp(): a datagram is taken from a socket that asks when it was sent, as journald's do. */
static __always_inline int on_datagram(struct sock *sk, struct sk_buff *skb)
{
	__u64 sender;

	if (BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX_FAMILY)
		return 0;
	sender = sender_of(skb);
	if (sender && (sender == own_process || sender == former_process) && is_journald())
		begin_handling();
	return 0;
}

/* timerfd_read(): the read under way is journald's of its clock. */
static __always_inline int on_timer(void)
{
	if (is_journald())
		drop_call(bpf_get_current_task());
	return 0;
}

/* A file of this length is to be truncated to it: the one under way changes nothing. */
static __always_inline int is_touch(struct file *file, __u64 length)
{
	return length == BPF_CORE_READ(file, f_inode, i_size) && is_journald();
}

/* The entry of epoll_wait and its like. */
static __always_inline int on_turn(void)
{
	if (bpf_get_current_pid_tgid() == handling_thread)
		handling_thread = 0;
	return 0;
}
