/*
 * uring-open DIR: opens files of DIR through io_uring, by hand, in each way that the
 * kernel may go about it: at once, in a worker, and in the thread that polls the queue.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "account.h"
#include "uring.h"

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
