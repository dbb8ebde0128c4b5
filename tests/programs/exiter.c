/*
 * exiter DIR NOP: has processes that end in every way that there is, in the directory DIR; NOP is a program that
 * only exits.
 * exiter many N: has N processes that end at once, some at a time.
 * exiter sleepers N: has N processes that wait to be killed, as it does itself.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "account.h"

#define NOBODY 65534
#define AT_A_TIME 40

static const char *nop;
/* An address that cannot be written to. */
static volatile int *volatile nowhere = (int *)8;

/* Reaps a process, and tells how it ended and, if it did so itself, by which call. */
static void ended(const char *call, const char *name, pid_t child)
{
	int status;

	MUST(waitpid(child, &status, __WALL));
	account_begin(call, name);
	account_number("child", child);
	if (WIFEXITED(status)) {
		account_number("status", WEXITSTATUS(status));
	} else {
		account_number("signal", WTERMSIG(status));
		if (WCOREDUMP(status))
			account_number("core", 1);
	}
	account_end();
}

static void *exit_group_thread(void *unused)
{
	(void)unused;
	syscall(SYS_exit_group, 11);
	return NULL;
}

static void *pause_thread(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void *exec_thread(void *unused)
{
	execl(nop, "nop", NULL);
	return unused;
}

/* Ends when the first thread has. */
static void *last_thread(void *unused)
{
	char path[64], text[256], *state;

	(void)unused;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	do {
		int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
		ssize_t length = MUST(read(fd, text, sizeof(text) - 1));

		close(fd);
		text[length] = 0;
		state = strrchr(text, ')');
		sched_yield();
	} while (!state || state[2] != 'Z');
	syscall(SYS_exit, 5);
	return NULL;
}

static void thread(void *(*run)(void *))
{
	pthread_t made;

	if (pthread_create(&made, NULL, run, NULL))
		die("pthread_create");
}

#define CHILD(call, name, ...)               \
	do {                                 \
		pid_t child_ = MUST(fork()); \
		if (child_ == 0) {           \
			__VA_ARGS__;         \
			die(name);           \
		}                            \
		ended(call, name, child_);   \
	} while (0)

static void dump_core(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	MUST(setrlimit(RLIMIT_CORE, &all));
}

static void all_ways(void)
{
	struct rlimit none = { 0, RLIM_INFINITY };
	pid_t child;

	MUST(setrlimit(RLIMIT_CORE, &none));
	CHILD("exit_group", "zero", _exit(0));
	CHILD("exit_group", "most", _exit(255));
	CHILD("exit_group", "more", _exit(0x107));
	CHILD("exit", "thread-alone", syscall(SYS_exit, 9));
	CHILD("exit_group", "nobody", MUST(setgid(NOBODY)); MUST(setuid(NOBODY)); _exit(3));
	child = vfork();
	if (!child)
		_exit(4);
	ended("exit_group", "vfork", MUST(child));
	CHILD("", "kill", raise(SIGKILL));
	CHILD("", "term", raise(SIGTERM));
	CHILD("", "real-time", kill(getpid(), 35));
	CHILD("", "fault", raise(SIGSEGV));
	CHILD("", "core", dump_core(); *nowhere = 1);
	CHILD("", "abort", abort());
	CHILD("exit_group", "by-thread", thread(exit_group_thread); pause_thread(NULL));
	CHILD("exit", "last-thread", thread(last_thread); syscall(SYS_exit, 4));
	CHILD("", "kill-threads", thread(pause_thread); thread(pause_thread); raise(SIGKILL));
	CHILD("exit_group", "return-with-threads", thread(pause_thread); thread(pause_thread); _exit(12));
	CHILD("exit_group", "exec-by-thread", thread(exec_thread); pause_thread(NULL));
}

static void many(int n)
{
	int running = 0;

	for (int i = 0; i < n; i++) {
		if (MUST(fork()) == 0)
			_exit(i & 0xff);
		if (++running == AT_A_TIME) {
			MUST(wait(NULL));
			running--;
		}
	}
	while (running--)
		MUST(wait(NULL));
}

static void sleepers(int n)
{
	for (int i = 0; i < n; i++)
		if (MUST(fork()) == 0)
			pause_thread(NULL);
	account_begin("", "ready");
	account_end();
	pause_thread(NULL);
}

/* The kernel ends a process that takes more memory than its unit may have. */
static void out_of_memory(void)
{
	size_t size = 512 << 20;
	int fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
	char *memory;

	MUST(write(fd, "1000", 4));
	memory = MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "many")) {
		many(atoi(argv[2]));
	} else if (argc == 3 && !strcmp(argv[1], "sleepers")) {
		sleepers(atoi(argv[2]));
	} else if (argc == 2 && !strcmp(argv[1], "oom")) {
		CHILD("", "out-of-memory", out_of_memory());
	} else if (argc == 3) {
		MUST(chdir(argv[1]));
		nop = argv[2];
		all_ways();
	} else {
		fprintf(stderr, "usage: exiter DIR NOP | many N | sleepers N | oom\n");
		return 2;
	}
	return 0;
}
