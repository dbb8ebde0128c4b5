/*
 * closer DIR: closes descriptors in every way that there is, in the empty directory DIR.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "account.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define NO_FILE 777

/* What is told of a descriptor must be known before it is closed. */
static void begin(const char *call, const char *name, int fd)
{
	char link[64], target[PATH_MAX];
	struct stat st;
	ssize_t length;

	account_begin(call, name);
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

static void end(long result)
{
	account_result(kernel_result(result));
	account_end();
}

static void do_close(const char *name, int fd)
{
	begin("close", name, fd);
	end(close(fd));
}

static int file(const char *name)
{
	return MUST(open(name, O_RDWR | O_CREAT, 0644));
}

/* One call, which closes each open descriptor of the range. */
static void do_range(const char *name, unsigned int first, unsigned int last, unsigned int flags)
{
	static char told[16][4096];
	size_t length[16];
	int n = 0;
	long result;

	for (unsigned int fd = first; fd <= last && fd < 600; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		begin("close_range", name, fd);
		length[n] = account_length;
		memcpy(told[n++], account_line, account_length);
	}
	result = kernel_result(syscall(SYS_close_range, first, last, flags));
	/* A call that fails closes nothing, and is told once. */
	if (result < 0) {
		begin("close_range", name, -1);
		account_result(result);
		account_end();
		return;
	}
	for (int i = 0; i < n; i++) {
		memcpy(account_line, told[i], length[i]);
		account_length = length[i];
		account_result(0);
		account_end();
	}
}

static void ways(void)
{
	int fd, pipes[2], sockets[2];

	do_close("plain", file("plain"));
	fd = file("plain");
	do_close("duplicate", MUST(dup(fd)));
	do_close("plain", fd);
	do_close("closed", fd);
	do_close("never-open", NO_FILE);
	do_close("negative", -1);
	fd = file("deleted");
	MUST(unlink("deleted"));
	do_close("deleted", fd);
	do_close("directory", MUST(open(".", O_RDONLY | O_DIRECTORY)));
	do_close("path", MUST(open("plain", O_PATH)));
	do_close("device", MUST(open("/dev/null", O_RDWR)));
	MUST(pipe(pipes));
	do_close("pipe", pipes[0]);
	do_close("pipe", pipes[1]);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	do_close("socket", sockets[0]);
	do_close("socket", sockets[1]);
	do_close("memory", MUST(memfd_create("memory", 0)));
}

static void duplicates(void)
{
	int fd = file("kept"), over = file("over");

#ifdef SYS_dup2
	begin("dup2", "over", over);
	MUST(syscall(SYS_dup2, fd, over));
	end(0);
	/* Nothing is closed. */
	MUST(syscall(SYS_dup2, fd, 400));
	MUST(syscall(SYS_dup2, fd, fd));
	do_close("duplicate", 400);
#endif
	begin("dup3", "over", over);
	MUST(syscall(SYS_dup3, fd, over, O_CLOEXEC));
	end(0);
	do_close("over", over);
	do_close("kept", fd);
}

static void ranges(void)
{
	for (int fd = 500; fd < 510; fd++)
		if (fd != 503 && fd != 505)
			MUST(dup2(1, fd));
	MUST(dup2(file("range"), 503));
	do_close("named", MUST(open("range", O_RDONLY)));
	do_range("some", 500, 502, 0);
	do_range("one", 503, 503, 0);
	do_range("gap", 504, 506, 0);
	do_range("none", 600, 700, 0);
	do_range("reversed", 10, 5, 0);
	do_range("bad-flags", 500, 600, 1 << 20);
	do_range("unshared", 507, 599, CLOSE_RANGE_UNSHARE);
}

/* Descriptors that are open at the end, and when a program is executed, are closed by nobody. */
static void implicit(const char *self)
{
	pid_t child = MUST(fork());

	if (!child) {
		MUST(open("plain", O_RDONLY));
		MUST(open("plain", O_RDONLY | O_CLOEXEC));
		execl(self, self, "end", NULL);
		die("execl");
	}
	MUST(waitpid(child, NULL, 0));
}

/* An overlay has something to flush. */
static void flushed(void)
{
	MUST(mkdir("lower", 0755));
	MUST(mkdir("upper", 0755));
	MUST(mkdir("work", 0755));
	MUST(mkdir("overlay", 0755));
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("tmpfs", "work", "tmpfs", 0, NULL));
	MUST(mkdir("work/upper", 0755));
	MUST(mkdir("work/work", 0755));
	MUST(mount("overlay", "overlay", "overlay", 0,
		   "lowerdir=lower,upperdir=work/upper,workdir=work/work"));
	do_close("flushed", file("overlay/file"));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "end"))
		return 0;
	if (argc != 2) {
		fprintf(stderr, "usage: closer DIR\n");
		return 2;
	}
	MUST(chdir(argv[1]));
	ways();
	duplicates();
	ranges();
	implicit(argv[0]);
	flushed();
	return 0;
}
