/*
 * io DIR: reads and writes in every way that there is and fails in most, in the empty directory DIR. A call
 * that reads one file and writes another is told twice, once for each side. The account itself is written to
 * standard output: each of its lines is one write more, of that line.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "account.h"

#ifdef __i386__
#define SENDFILE "sendfile64"
#else
#define SENDFILE "sendfile"
#endif
/* It is not known how many bytes were asked for. */
#define UNKNOWN (-1LL)
#define NO_FILE 777
#define CAPTURE_MAX 4096

/* The compiler need not know. */
static void *volatile bad_address = (void *)1;
static char buffer[CAPTURE_MAX * 4];

/* What a descriptor stands for. */
static void account_file(int fd)
{
	char link[64], target[PATH_MAX];
	struct stat st;
	ssize_t length;

	account_number("fd", fd);
	if (fd < 0 || fstat(fd, &st))
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = MUST(readlink(link, target, sizeof(target) - 1));
	target[length] = 0;
	account_bytes("path", target);
	account_number("major", major(st.st_dev));
	account_number("minor", minor(st.st_dev));
	account_number("inode", st.st_ino);
}

/* One record: of the file of that descriptor, and of the bytes that were moved, if they were in memory. */
static void tell(const char *event, const char *call, const char *name, int fd, long long requested,
		 long result, const struct iovec *data, int segments)
{
	long left = result < CAPTURE_MAX ? result : CAPTURE_MAX;

	result = kernel_result(result);
	account_begin(call, name);
	account_word("event", event);
	account_file(fd);
	account_number("requested", requested);
	if (data && left > 0) {
		account_add(",\"data\":\"");
		for (int i = 0; i < segments && left > 0; i++) {
			long part = (long)data[i].iov_len < left ? (long)data[i].iov_len : left;

			for (long n = 0; n < part; n++)
				account_add("%02x", ((unsigned char *)data[i].iov_base)[n]);
			left -= part;
		}
		account_add("\"");
	}
	account_result(result);
	account_end();
}

static void tell_buffer(const char *event, const char *call, const char *name, int fd, size_t size,
			long result)
{
	struct iovec data = { buffer, size };

	tell(event, call, name, fd, size, result, &data, 1);
}

static void do_read(const char *name, int fd, size_t size)
{
	tell_buffer("read", "read", name, fd, size, read(fd, buffer, size));
}

static void do_pread(const char *name, int fd, size_t size, off_t at)
{
	tell_buffer("read", "pread64", name, fd, size, pread(fd, buffer, size, at));
}

/* Binary, and different each time. */
static void fill(size_t size)
{
	static unsigned char next;

	for (size_t i = 0; i < size; i++)
		buffer[i] = next++ * 7;
}

static void do_write(const char *name, int fd, size_t size)
{
	fill(size);
	tell_buffer("write", "write", name, fd, size, write(fd, buffer, size));
}

static void do_pwrite(const char *name, int fd, size_t size, off_t at)
{
	fill(size);
	tell_buffer("write", "pwrite64", name, fd, size, pwrite(fd, buffer, size, at));
}

enum vector_call {
	PLAIN,
	AT,
	AT_FLAGS
};

static void do_vector(const char *name, int writes, enum vector_call how, int fd, const struct iovec *v,
		      int n, off_t at)
{
	static const char *const calls[2][3] = { { "readv", "preadv", "preadv2" },
						 { "writev", "pwritev", "pwritev2" } };
	long long sum = 0;
	long result;

	for (int i = 0; i < n && n <= 1024 && v != bad_address; i++)
		sum += v[i].iov_len;
	if (writes)
		fill(sum < (long long)sizeof(buffer) ? sum : 0);
	if (how == PLAIN)
		result = writes ? writev(fd, v, n) : readv(fd, v, n);
	else if (how == AT)
		result = writes ? pwritev(fd, v, n, at) : preadv(fd, v, n, at);
	else
		result = writes ? pwritev2(fd, v, n, at, 0) : preadv2(fd, v, n, at, 0);
	/* The kernel adds up a vector that it could copy, of a file that it could find. */
	if (!sum || n > 1024 || fd == NO_FILE)
		sum = UNKNOWN;
	tell(writes ? "write" : "read", calls[writes][how], name, fd, sum, result,
	     v == bad_address ? NULL : v, v == bad_address ? 0 : n);
}

/* A call of two files. */
static void tell_sides(const char *call, const char *name, int in, int out, size_t size, long result)
{
	int error = errno;

	tell("read", call, name, in, size, result, NULL, 0);
	errno = error;
	tell("write", call, name, out, size, result, NULL, 0);
}

static void do_sendfile(const char *name, int out, int in, off_t *at, size_t size)
{
	tell_sides(SENDFILE, name, in, out, size, sendfile(out, in, at, size));
}

static void do_splice(const char *name, int in, loff_t *in_at, int out, loff_t *out_at, size_t size)
{
	tell_sides("splice", name, in, out, size, splice(in, in_at, out, out_at, size, 0));
}

static void do_copy(const char *name, int in, loff_t *in_at, int out, size_t size)
{
	tell_sides("copy_file_range", name, in, out, size, copy_file_range(in, in_at, out, NULL, size, 0));
}

static int file(const char *name, int flags)
{
	return MUST(open(name, flags, 0644));
}

/* A file of that many bytes, which no call has read or written. */
static int sized(const char *name, off_t size)
{
	int fd = file(name, O_RDWR | O_CREAT);

	MUST(ftruncate(fd, size));
	return fd;
}

static void reads(void)
{
	struct iovec v[2] = { { buffer, 10 }, { buffer + 100, 20 } };
	struct iovec many[9], bad[1] = { { bad_address, 10 } };
	int fd = sized("reads", 10000), pipes[2], sockets[2], write_only = file("reads", O_WRONLY);
	int directory = file(".", O_RDONLY | O_DIRECTORY), path = file("reads", O_PATH);
	int null = file("/dev/zero", O_RDONLY);

	do_read("plain", fd, 100);
	do_read("more-than-captured", fd, 8000);
	do_read("short", fd, 8000);
	do_read("end", fd, 10);
	do_read("nothing", fd, 0);
	do_read("device", null, 5);
	do_pread("at", fd, 10, 5);
	do_pread("at-end", fd, 10, 20000);
	do_pread("negative", fd, 10, -5);
	MUST(lseek(fd, 0, SEEK_SET));
	do_vector("vector", 0, PLAIN, fd, v, 2, 0);
	do_vector("vector-at", 0, AT, fd, v, 2, 3);
	do_vector("vector-flags", 0, AT_FLAGS, fd, v, 2, 3);
	do_vector("vector-here", 0, AT_FLAGS, fd, v, 2, -1);
	do_vector("vector-none", 0, PLAIN, fd, v, 0, 0);
	for (int i = 0; i < 9; i++)
		many[i] = (struct iovec){ buffer + 10 * i, 1 };
	do_vector("vector-long", 0, AT, fd, many, 9, 0);
	do_vector("vector-fault", 0, PLAIN, fd, bad_address, 2, 0);
	do_vector("vector-too-long", 0, PLAIN, fd, v, 2000, 0);
	do_vector("vector-closed", 0, PLAIN, NO_FILE, v, 2, 0);
	do_vector("vector-at-closed", 0, AT, NO_FILE, v, 2, 0);
	do_vector("vector-buffer-fault", 0, AT, fd, bad, 1, 0);
	do_read("closed", NO_FILE, 10);
	do_read("negative", -1, 10);
	do_pread("closed", NO_FILE, 10, 0);
	do_read("write-only", write_only, 10);
	do_read("path", path, 10);
	do_read("directory", directory, 10);
	tell("read", "read", "fault", null, 10, read(null, bad_address, 10), NULL, 0);

	MUST(pipe2(pipes, O_NONBLOCK));
	do_read("pipe-empty", pipes[0], 10);
	do_pread("pipe-at", pipes[0], 10, 0);
	do_write("pipe", pipes[1], 50);
	do_read("pipe", pipes[0], 100);
	close(pipes[1]);
	do_read("pipe-end", pipes[0], 100);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	do_write("socket", sockets[0], 30);
	do_read("socket", sockets[1], 100);
}

/* Descriptors that came from elsewhere, or whose file has no name. */
static void descriptors(void)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec v = { buffer, 1 };
	struct msghdr message = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	int fd = sized("descriptors", 100), sockets[2], received, memory;
	pid_t child;

	do_read("duplicate", MUST(dup(fd)), 10);
	do_read("duplicate-to", MUST(dup2(fd, 300)), 10);
	child = MUST(fork());
	if (!child) {
		do_read("inherited", fd, 10);
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets));
	control.header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	MUST(sendmsg(sockets[0], &message, 0));
	MUST(recvmsg(sockets[1], &message, 0));
	memcpy(&received, CMSG_DATA(&control.header), sizeof(received));
	do_read("received", received, 10);
	received = MUST(syscall(SYS_pidfd_getfd, MUST(syscall(SYS_pidfd_open, getpid(), 0)), fd, 0));
	do_read("fetched", received, 10);
	memory = MUST(memfd_create("memory", 0));
	do_write("memory", memory, 10);
	MUST(unlink("descriptors"));
	do_read("deleted", fd, 10);
	for (int i = 0; i < 3; i++) {
		fd = file("short-lived", O_RDWR | O_CREAT);
		do_write("short-lived", fd, 10 + i);
		close(fd);
		MUST(unlink("short-lived"));
	}
}

static void writes(void)
{
	struct iovec v[2] = { { buffer, 10 }, { buffer + 10, 20 } };
	int fd = sized("writes", 0), append = file("writes", O_WRONLY | O_APPEND),
	    full = file("/dev/full", O_WRONLY);
	int read_only = file("writes", O_RDONLY), pipes[2];

	do_write("plain", fd, 100);
	do_write("more-than-captured", fd, 8000);
	do_write("nothing", fd, 0);
	do_write("append", append, 10);
	do_pwrite("at", fd, 10, 5);
	do_pwrite("negative", fd, 10, -5);
	do_vector("vector", 1, PLAIN, fd, v, 2, 0);
	do_vector("vector-at", 1, AT, fd, v, 2, 3);
	do_vector("vector-flags", 1, AT_FLAGS, fd, v, 2, 3);
	do_vector("vector-fault", 1, PLAIN, fd, bad_address, 2, 0);
	do_vector("vector-closed", 1, AT, NO_FILE, v, 2, 0);
	do_write("closed", NO_FILE, 10);
	do_pwrite("closed", NO_FILE, 10, 0);
	do_write("read-only", read_only, 10);
	do_write("full", full, 10);
	tell("write", "write", "fault", fd, 10, write(fd, bad_address, 10), NULL, 0);
	MUST(pipe2(pipes, 0));
	close(pipes[0]);
	do_write("pipe-closed", pipes[1], 10);
}

static void sides(void)
{
	int in = sized("in", 1000), out = sized("out", 0), append = file("out", O_WRONLY | O_APPEND);
	int read_only = file("in", O_RDONLY), directory = file(".", O_RDONLY | O_DIRECTORY);
	int pipes[2], other[2], sockets[2];
	loff_t at = 10;
	off_t small_at = 10;

	MUST(pipe2(pipes, 0));
	MUST(pipe2(other, 0));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	do_sendfile("file", out, in, NULL, 100);
	do_sendfile("at", out, in, &small_at, 100);
	do_sendfile("short", out, in, NULL, 5000);
	do_sendfile("end", out, in, NULL, 5000);
	do_sendfile("socket", sockets[0], in, &small_at, 100);
	do_sendfile("pipe", pipes[1], in, &small_at, 100);
	do_sendfile("in-closed", out, NO_FILE, NULL, 100);
	do_sendfile("out-closed", NO_FILE, in, NULL, 100);
	do_sendfile("read-only", read_only, in, NULL, 100);
	do_sendfile("append", append, in, NULL, 100);
	do_sendfile("fault", out, in, bad_address, 100);
	do_splice("pipe-pipe", pipes[0], NULL, other[1], NULL, 40);
	do_splice("pipe-file", pipes[0], NULL, out, NULL, 1000);
	do_splice("file-pipe", in, &at, pipes[1], NULL, 50);
	do_splice("no-pipe", in, NULL, out, NULL, 50);
	do_splice("closed", NO_FILE, NULL, pipes[1], NULL, 50);
	at = 0;
	do_copy("file", in, &at, out, 100);
	at = 0;
	do_copy("short", in, &at, out, 5000);
	do_copy("closed", NO_FILE, NULL, out, 100);
	do_copy("directory", directory, NULL, out, 100);
	do_copy("read-only", in, NULL, read_only, 100);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: io DIR\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	MUST(chdir(argv[1]));
	reads();
	descriptors();
	writes();
	sides();
	return 0;
}
