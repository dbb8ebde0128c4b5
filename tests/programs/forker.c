/*
 * forker CGROUP: makes processes in every way that there is, and fails in some. CGROUP is the directory of the
 * control group that one of them is put into. System calls are made by number, since the C library makes clone
 * of fork.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "account.h"

#define NOBODY 65534
#define BAD_ADDRESS ((void *)1)

static int go[2];

/* This process's id as the test sees it, whatever namespace it is in. */
static pid_t global_pid(void)
{
	char text[32] = "";

	MUST(readlink("/proc/self", text, sizeof(text) - 1));
	return atoi(text);
}

static long tell(const char *call, const char *name, const char *flags, long result, pid_t child)
{
	account_begin(call, name);
	account_number("caller", global_pid());
	if (flags)
		account_word("flags", flags);
	if (child > 0)
		account_number("child", child);
	account_result(result);
	account_end();
	return result;
}

/* Tells of a process that only ends. */
static void made(const char *call, const char *name, const char *flags, long result)
{
	result = kernel_result(result);
	tell(call, name, flags, result, result);
	if (result > 0)
		MUST(waitpid(result, NULL, __WALL));
}

/* A process that waits until it is told of. */
static pid_t helper(const char *name)
{
	pid_t child = MUST(syscall(SYS_fork));
	char byte;

	if (child == 0) {
		MUST(read(go[0], &byte, 1));
		return 0;
	}
	tell("fork", name, "SIGCHLD", child, child);
	MUST(write(go[1], "", 1));
	return child;
}

static int end(void *unused)
{
	(void)unused;
	_exit(0);
}

static void *end_thread(void *unused)
{
	return unused;
}

static long clone3(struct clone_args *args)
{
	return syscall(SYS_clone3, args, sizeof(*args));
}

static void successes(const char *cgroup)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct clone_args plain = { .exit_signal = SIGCHLD };
	struct clone_args elsewhere = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	pthread_t thread;
	long child;

	child = syscall(SYS_fork);
	if (!child)
		_exit(0);
	made("fork", "plain", "SIGCHLD", child);
	child = vfork();
	if (!child)
		_exit(0);
	made("vfork", "plain", "CLONE_VM|CLONE_VFORK|SIGCHLD", child);
	child = fork();
	if (!child)
		_exit(0);
	made("clone", "library", "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD", child);
	signal(SIGUSR1, SIG_IGN);
	child = clone(end, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGUSR1, NULL);
	made("clone", "other-signal", "CLONE_VM|CLONE_VFORK|SIGUSR1", child);
	child = clone(end, stack + sizeof(stack), CLONE_VM | CLONE_VFORK, NULL);
	made("clone", "no-signal", "CLONE_VM|CLONE_VFORK", child);
	child = syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (!child)
		_exit(0);
	made("clone", "no-flags", "0", child);
	child = clone3(&plain);
	if (!child)
		_exit(0);
	made("clone3", "plain", "SIGCHLD", child);
	elsewhere.cgroup = MUST(open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC));
	child = clone3(&elsewhere);
	if (!child)
		_exit(0);
	made("clone3", "into-cgroup", "CLONE_INTO_CGROUP|SIGCHLD", child);
	child = syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (!child)
		_exit(0);
	made("clone", "namespaces", "CLONE_NEWNS|CLONE_NEWPID|SIGCHLD", child);
	/* Threads are none. */
	if (pthread_create(&thread, NULL, end_thread, NULL) || pthread_join(thread, NULL))
		die("pthread_create");
}

/* What is made by a process in a pid namespace has another id there. */
static void in_namespace(void)
{
	pid_t first, second, told = 0;
	int tells[2];

	if ((first = helper("for-namespace"))) {
		MUST(waitpid(first, NULL, 0));
		return;
	}
	MUST(unshare(CLONE_NEWPID));
	first = helper("first-of-namespace");
	if (first) {
		MUST(waitpid(first, NULL, 0));
		_exit(0);
	}
	MUST(pipe2(tells, O_CLOEXEC));
	second = MUST(syscall(SYS_fork));
	if (!second) {
		told = global_pid();
		MUST(write(tells[1], &told, sizeof(told)));
		_exit(0);
	}
	MUST(read(tells[0], &told, sizeof(told)));
	tell("fork", "in-namespace", "SIGCHLD", second, told);
	MUST(waitpid(second, NULL, 0));
	_exit(0);
}

static void no_room(void)
{
	struct rlimit none = { 0, 0 };
	pid_t child = helper("for-limit");

	if (child) {
		MUST(waitpid(child, NULL, 0));
		return;
	}
	MUST(setrlimit(RLIMIT_NPROC, &none));
	MUST(setgid(NOBODY));
	MUST(setuid(NOBODY));
	made("fork", "limit", "SIGCHLD", syscall(SYS_fork));
	_exit(0);
}

static void failures(void)
{
	struct clone_args bad = { .flags = CLONE_SIGHAND, .exit_signal = SIGCHLD };
	struct clone_args unknown = { .flags = 1ULL << 60, .exit_signal = SIGCHLD };
	struct clone_args bad_signal = { .exit_signal = 999 };
	struct clone_args thread = { .flags = CLONE_THREAD };

	made("clone", "invalid", "CLONE_SIGHAND|SIGCHLD",
	     syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
	made("clone3", "invalid", "CLONE_SIGHAND|SIGCHLD", clone3(&bad));
	made("clone3", "unknown-flag", "0x1000000000000000|SIGCHLD", clone3(&unknown));
	made("clone3", "bad-signal", "999", clone3(&bad_signal));
	made("clone3", "too-big", "SIGCHLD",
	     syscall(SYS_clone3, &(struct clone_args){ .exit_signal = SIGCHLD }, 65536));
	made("clone3", "fault", NULL, syscall(SYS_clone3, BAD_ADDRESS, sizeof(bad)));
	/* Would be a thread; by its size the test knows it again. */
	if (syscall(SYS_clone3, &thread, 64) != -1)
		die("clone3");
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: forker CGROUP\n");
		return 2;
	}
	MUST(pipe2(go, O_CLOEXEC));
	successes(argv[1]);
	in_namespace();
	no_room();
	failures();
	return 0;
}
