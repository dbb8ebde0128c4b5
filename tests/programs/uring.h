/*
 * io_uring by hand, without a library: one request at a time, and its result.
 */
#ifndef URING_H
#define URING_H

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>

#include "account.h"

struct ring {
	int fd;
	unsigned int flags;
	unsigned int *sq_tail, *sq_mask, *sq_array, *sq_flags;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_cqe *cqes;
	struct io_uring_sqe *sqes;
};

static inline void *map(int fd, size_t size, off_t what)
{
	return MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what));
}

static inline struct ring setup(unsigned int flags)
{
	struct io_uring_params p = { .flags = flags, .sq_thread_idle = 50 };
	struct ring r = { .fd = MUST(syscall(SYS_io_uring_setup, 4, &p)), .flags = flags };
	char *sq = map(r.fd, p.sq_off.array + p.sq_entries * sizeof(unsigned int), IORING_OFF_SQ_RING);
	char *cq = map(r.fd, p.cq_off.cqes + p.cq_entries * sizeof(*r.cqes), IORING_OFF_CQ_RING);

	r.sqes = map(r.fd, p.sq_entries * sizeof(*r.sqes), IORING_OFF_SQES);
	r.sq_tail = (void *)(sq + p.sq_off.tail);
	r.sq_mask = (void *)(sq + p.sq_off.ring_mask);
	r.sq_array = (void *)(sq + p.sq_off.array);
	r.sq_flags = (void *)(sq + p.sq_off.flags);
	r.cq_head = (void *)(cq + p.cq_off.head);
	r.cq_tail = (void *)(cq + p.cq_off.tail);
	r.cq_mask = (void *)(cq + p.cq_off.ring_mask);
	r.cqes = (void *)(cq + p.cq_off.cqes);
	return r;
}

/* One request, and its result. */
static inline int request(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *r->sq_tail, index = tail & *r->sq_mask, head = *r->cq_head;
	unsigned int flags = IORING_ENTER_GETEVENTS, submit = 1;
	int result;

	r->sqes[index] = *sqe;
	r->sq_array[index] = index;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	if (r->flags & IORING_SETUP_SQPOLL) {
		submit = 0;
		/* The tail must be out before the flag is read, or both sides sleep. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(r->sq_flags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP)
			flags |= IORING_ENTER_SQ_WAKEUP;
	}
	do {
		MUST(syscall(SYS_io_uring_enter, r->fd, submit, 1, flags, NULL, 0));
		submit = 0;
	} while (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head);
	result = r->cqes[head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

#endif
