/*
 * uring-io DIR: reads, writes and closes through io_uring in the directory DIR, in each way that the kernel may
 * go about it: at once, in a worker, in the thread that polls the queue, or when there is something to read.
 */
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "uring.h"

/* In pages that are no file's: others cannot be registered before v6.3. */
static char buffer[8192] __attribute__((aligned(4096)));
static const char *way;

/* Since v6.9. */
#define IORING_OP_FTRUNCATE_ 55

static void begin(const char *event, const char *name, int fd)
{
	char link[64], target[PATH_MAX];
	struct stat st;
	ssize_t length;

	account_begin("io_uring", name);
	account_word("event", event);
	account_word("way", way);
	account_number("fd", fd);
	if (fstat(fd, &st))
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = MUST(readlink(link, target, sizeof(target) - 1));
	target[length] = 0;
	account_bytes("path", target);
	account_number("major", major(st.st_dev));
	account_number("minor", minor(st.st_dev));
	account_number("inode", st.st_ino);
}

static void end(long long requested, const char *data, int result)
{
	if (requested)
		account_number("requested", requested);
	if (result > 0) {
		account_add(",\"data\":");
		account_hex(data, result);
	}
	account_result(result);
	account_end();
}

static void fill(void)
{
	static unsigned char next;

	for (size_t i = 0; i < sizeof(buffer); i++)
		buffer[i] = next++ * 7;
}

static void do_io(struct ring *r, const char *event, const char *name, int opcode, int fd, unsigned int size,
		  int flags, long long at)
{
	struct iovec v[2] = { { buffer, size / 2 }, { buffer + size / 2, size - size / 2 } };
	struct io_uring_sqe sqe = { .opcode = opcode, .flags = flags, .fd = fd, .off = at };
	int result;

	if (opcode == IORING_OP_READV || opcode == IORING_OP_WRITEV) {
		sqe.addr = (unsigned long)v;
		sqe.len = 2;
	} else {
		sqe.addr = (unsigned long)buffer;
		sqe.len = size;
	}
	/* Else it waits, O_NONBLOCK or not. */
	if (!strcmp(name, "pipe-empty"))
		sqe.rw_flags = RWF_NOWAIT;
	fill();
	result = request(r, &sqe);
	begin(event, name, fd);
	end(size, buffer, result);
}

static void do_close(struct ring *r, const char *name, int fd, int flags)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_CLOSE, .flags = flags, .fd = fd };
	int result;

	begin("close", name, fd);
	result = request(r, &sqe);
	/* A bad descriptor is found out before the request begins. */
	account_result(result);
	account_end();
}

/* Asked for before there is anything to read. */
static void wait_for_pipe(struct ring *r, int flags)
{
	int pipes[2];
	unsigned int head = *r->cq_head, tail = *r->sq_tail, index = tail & *r->sq_mask;

	MUST(pipe(pipes));
	r->sqes[index] = (struct io_uring_sqe){ .opcode = IORING_OP_READ,
						.flags = flags,
						.fd = pipes[0],
						.addr = (unsigned long)buffer,
						.len = 100 };
	r->sq_array[index] = index;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	MUST(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0));
	/* Not through a call that is watched. */
	MUST(vmsplice(pipes[1], &(struct iovec){ "later", 5 }, 1, 0));
	while (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head)
		MUST(syscall(SYS_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	begin("read", "pipe-later", pipes[0]);
	end(100, buffer, r->cqes[head & *r->cq_mask].res);
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
}

/* Both sides have a line. */
static void splice_file(struct ring *r, const char *name, int from, int to, int flags)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_SPLICE,
		.flags = flags,
		.fd = to,
		.off = -1ULL,
		.splice_off_in = 0,
		.splice_fd_in = from,
		.len = 10,
	};
	int result = request(r, &sqe);

	begin("read", name, from);
	end(10, buffer, result);
	begin("write", name, to);
	end(10, buffer, result);
}

/* What kernels since v5.19 do, and v6.9. */
static void change(struct ring *r, int fd, int flags)
{
	struct io_uring_sqe set = {
		.opcode = IORING_OP_SETXATTR,
		.flags = flags,
		.addr = (unsigned long)"user.by-ring",
		.addr2 = (unsigned long)"value",
		.addr3 = (unsigned long)"file",
		.len = 5,
		.xattr_flags = 1,
	};
	struct io_uring_sqe fset = {
		.opcode = IORING_OP_FSETXATTR,
		.flags = flags,
		.fd = fd,
		.addr = (unsigned long)"user.by-ring",
		.addr2 = (unsigned long)"value",
		.len = 5,
		.xattr_flags = 1,
	};
	struct io_uring_sqe cut = { .opcode = IORING_OP_FTRUNCATE_, .flags = flags, .fd = fd, .off = 3000 };
	int result = request(r, &set);

	if (result != -EINVAL) {
		begin("setxattr", "setxattr", fd);
		account_bytes("arg", "file");
		account_bytes("xattr", "user.by-ring");
		account_number("size", 5);
		end(0, buffer, result);
		set.addr3 = (unsigned long)"nothing";
		result = request(r, &set);
		begin("setxattr", "no-entry", -1);
		account_bytes("arg", "nothing");
		account_bytes("xattr", "user.by-ring");
		account_number("size", 5);
		end(0, buffer, result);
		result = request(r, &fset);
		begin("setxattr", "fsetxattr", fd);
		account_bytes("xattr", "user.by-ring");
		account_number("size", 5);
		end(0, buffer, result);
		MUST(fremovexattr(fd, "user.by-ring"));
	}
	result = request(r, &cut);
	if (result != -EINVAL) {
		begin("truncate", "ftruncate", fd);
		account_number("size", 3000);
		end(0, buffer, result);
	}
}

static void ways(struct ring *r, int flags)
{
	struct iovec registered = { buffer, sizeof(buffer) };
	int fd = MUST(open("file", O_RDWR)), empty[2], directory = MUST(open(".", O_RDONLY | O_DIRECTORY));
	int read_only = MUST(open("file", O_RDONLY));

	do_io(r, "write", "plain", IORING_OP_WRITE, fd, 1000, flags, 0);
	do_io(r, "write", "vector", IORING_OP_WRITEV, fd, 100, flags, 0);
	do_io(r, "read", "plain", IORING_OP_READ, fd, 100, flags, 0);
	do_io(r, "read", "short", IORING_OP_READ, fd, 5000, flags, 0);
	do_io(r, "read", "end", IORING_OP_READ, fd, 5000, flags, 5000);
	do_io(r, "read", "vector", IORING_OP_READV, fd, 100, flags, 0);
	do_io(r, "read", "directory", IORING_OP_READ, directory, 100, flags, 0);
	MUST(syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS, &registered, 1));
	do_io(r, "write", "registered", IORING_OP_WRITE_FIXED, fd, 100, flags, 10);
	do_io(r, "read", "registered", IORING_OP_READ_FIXED, fd, 100, flags, 10);
	MUST(pipe(empty));
	do_io(r, "read", "pipe-empty", IORING_OP_READ, empty[0], 10, flags, 0);
	do_io(r, "write", "pipe", IORING_OP_WRITE, empty[1], 10, flags, 0);
	do_io(r, "read", "pipe", IORING_OP_READ, empty[0], 100, flags, 0);
	if (!(r->flags & IORING_SETUP_SQPOLL))
		wait_for_pipe(r, flags);
	splice_file(r, "splice", fd, empty[1], flags);
	change(r, fd, flags);
	do_close(r, "plain", read_only, flags);
	do_close(r, "pipe", empty[1], flags);
	do_close(r, "closed", empty[1], flags);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned int setup;
		int sqe;
	} all[] = { { "inline", 0, 0 }, { "async", 0, IOSQE_ASYNC }, { "sqpoll", IORING_SETUP_SQPOLL, 0 } };

	if (argc != 2) {
		fprintf(stderr, "usage: uring-io DIR\n");
		return 2;
	}
	MUST(chdir(argv[1]));
	MUST(mknod("file", S_IFREG | 0644, 0));
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct ring r = setup(all[i].setup);

		way = all[i].name;
		ways(&r, all[i].sqe);
	}
	return 0;
}
