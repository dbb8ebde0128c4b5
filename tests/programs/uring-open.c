/*
 * uring-open DIR: opens files of DIR through io_uring, by hand, in each way that the
 * kernel may go about it: at once, in a worker, and in the thread that polls the queue.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "account.h"

struct ring {
	int fd;
	unsigned int flags;
	unsigned int *sq_tail, *sq_mask, *sq_array, *sq_flags;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_cqe *cqes;
	struct io_uring_sqe *sqes;
};

static void *map(int fd, size_t size, off_t what)
{
	return MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what));
}

static struct ring setup(unsigned int flags)
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
static int request(struct ring *r, const struct io_uring_sqe *sqe)
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

static void do_open(struct ring *r, int sqe_flags, int opcode, const char *name, const char *path, int flags,
		    unsigned int mode)
{
	struct open_how how = { .flags = flags, .mode = mode };
	struct io_uring_sqe sqe = {
		.opcode = opcode, .flags = sqe_flags, .fd = AT_FDCWD, .addr = (unsigned long)path
	};
	int result;

	if (opcode == IORING_OP_OPENAT2) {
		sqe.len = sizeof(how);
		sqe.off = (unsigned long)&how;
	} else {
		sqe.len = mode;
		sqe.open_flags = flags;
	}
	result = request(r, &sqe);

	account_begin(opcode == IORING_OP_OPENAT2 ? "io_uring-openat2" : "io_uring-openat", name);
	account_word("way", r->flags & IORING_SETUP_SQPOLL ? "sqpoll" :
			    sqe_flags & IOSQE_ASYNC	   ? "async" :
							     "inline");
	account_number("dirfd", AT_FDCWD);
	account_bytes("arg", path);
	account_number("flags", flags);
	account_number("mode", mode);
	account_result(result);
	if (result >= 0) {
		char link[64], target[PATH_MAX];
		struct stat st;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", result);
		target[MUST(readlink(link, target, sizeof(target) - 1))] = 0;
		account_bytes("path", target);
		MUST(fstat(result, &st));
		account_number("major", major(st.st_dev));
		account_number("minor", minor(st.st_dev));
		account_number("inode", st.st_ino);
		account_number("st_mode", st.st_mode);
		close(result);
	}
	account_end();
}

int main(int argc, char **argv)
{
	static const struct {
		unsigned int setup;
		int sqe;
	} ways[] = { { 0, 0 }, { 0, IOSQE_ASYNC }, { IORING_SETUP_SQPOLL, 0 } };

	if (argc != 2) {
		fprintf(stderr, "usage: uring-open DIR\n");
		return 2;
	}
	umask(0);
	MUST(chdir(argv[1]));
	MUST(mknod("file", S_IFREG | 0644, 0));
	MUST(mkdir("directory", 0755));
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct ring ring = setup(ways[i].setup);
		char created[16];

		snprintf(created, sizeof(created), "created%zu", i);
		for (int opcode = IORING_OP_OPENAT;; opcode = IORING_OP_OPENAT2) {
			do_open(&ring, ways[i].sqe, opcode, "plain", "file", O_RDONLY | O_CLOEXEC, 0);
			do_open(&ring, ways[i].sqe, opcode, "create", created, O_RDWR | O_CREAT, 0640);
			do_open(&ring, ways[i].sqe, opcode, "no-entry", "nothing", O_RDONLY, 0);
			do_open(&ring, ways[i].sqe, opcode, "is-a-directory", "directory", O_WRONLY, 0);
			do_open(&ring, ways[i].sqe, opcode, "exists", "file", O_WRONLY | O_CREAT | O_EXCL,
				0600);
			if (opcode == IORING_OP_OPENAT2)
				break;
		}
	}
	return 0;
}
