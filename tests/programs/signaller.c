/*
 * signaller: sends signals in every way that there is, to one and to many, and fails in some. It tells of each
 * process that a call concerns; those of one call have the same number.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "account.h"

#define NOBODY 65534
#define BAD_ADDRESS ((void *)1)
#define NONE (-1000)

/* PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9 */
#define TO_PROCESS_GROUP (1 << 2)

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* What is used by several processes. */
static struct {
	int call;
	pid_t members[4];
	long results[4]; /* of each member, where they differ */
} *shared;

struct target {
	pid_t pid, tid;
	const char *comm; /* NULL: there is none, the ids are those passed */
};

static pid_t global_pid(void)
{
	char text[32] = "";

	MUST(readlink("/proc/self", text, sizeof(text) - 1));
	return atoi(text);
}

static void tell(const char *call, const char *name, int number, int signal, struct target target,
		 long result)
{
	account_begin(call, name);
	account_number("caller", global_pid());
	account_number("number", number);
	account_number("signal", signal);
	if (target.pid != NONE)
		account_number("target", target.pid);
	if (target.tid != NONE)
		account_number("target_tid", target.tid);
	if (target.comm)
		account_word("target_comm", target.comm);
	account_result(result);
	account_end();
}

static void sent(const char *call, const char *name, int signal, struct target target, long result)
{
	tell(call, name, shared->call++, signal, target, kernel_result(result));
}

static struct target process(pid_t pid, const char *comm)
{
	return (struct target){ pid, comm ? pid : NONE, comm };
}

/* A process that stays, whatever it is sent. */
static pid_t victim(const char *comm, pid_t group, int user)
{
	sigset_t all;
	pid_t child;
	int ready[2];
	char byte;

	sigfillset(&all);
	MUST(sigprocmask(SIG_BLOCK, &all, NULL));
	MUST(pipe(ready));
	child = MUST(fork());
	if (child == 0) {
		if (group >= 0)
			MUST(setpgid(0, group));
		MUST(setuid(user));
		prctl(PR_SET_NAME, comm);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		MUST(write(ready[1], "", 1));
		for (;;)
			pause();
	}
	MUST(read(ready[0], &byte, 1));
	close(ready[0]);
	close(ready[1]);
	return child;
}

static void fill(siginfo_t *info, int code)
{
	memset(info, 0, sizeof(*info));
	info->si_code = code;
}

static void to_one(pid_t pid)
{
	struct target target = process(pid, "victim");
	siginfo_t info;
	long fd = syscall(SYS_pidfd_open, pid, 0);

	fill(&info, SI_QUEUE);
	sent("kill", "plain", SIGUSR1, target, syscall(SYS_kill, pid, SIGUSR1));
	sent("kill", "nothing", 0, target, syscall(SYS_kill, pid, 0));
	sent("kill", "real-time", 34, target, syscall(SYS_kill, pid, 34));
	sent("kill", "last", 64, target, syscall(SYS_kill, pid, 64));
	sent("tkill", "plain", SIGUSR2, target, syscall(SYS_tkill, pid, SIGUSR2));
	sent("tgkill", "plain", SIGHUP, target, syscall(SYS_tgkill, pid, pid, SIGHUP));
	sent("rt_sigqueueinfo", "plain", 35, target, syscall(SYS_rt_sigqueueinfo, pid, 35, &info));
	sent("rt_tgsigqueueinfo", "plain", 36, target, syscall(SYS_rt_tgsigqueueinfo, pid, pid, 36, &info));
	MUST(fd);
	sent("pidfd_send_signal", "plain", SIGTERM, target,
	     syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
}

static void *thread_of_its_own(void *told)
{
	prctl(PR_SET_NAME, "a thread");
	__atomic_store_n((pid_t *)told, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

static void to_thread(void)
{
	struct target target = { getpid(), 0, "a thread" };
	pthread_t thread;
	siginfo_t info;

	fill(&info, SI_QUEUE);
	if (pthread_create(&thread, NULL, thread_of_its_own, &target.tid))
		die("pthread_create");
	while (!__atomic_load_n(&target.tid, __ATOMIC_SEQ_CST))
		sched_yield();
	sent("tgkill", "thread", SIGUSR1, target, syscall(SYS_tgkill, target.pid, target.tid, SIGUSR1));
	sent("tkill", "thread", SIGUSR2, target, syscall(SYS_tkill, target.tid, SIGUSR2));
	sent("rt_tgsigqueueinfo", "thread", 35, target,
	     syscall(SYS_rt_tgsigqueueinfo, target.pid, target.tid, 35, &info));
	sent("tgkill", "other-process", SIGUSR1, (struct target){ 1, target.tid, NULL },
	     syscall(SYS_tgkill, 1, target.tid, SIGUSR1));
}

/* Tells of all that one call concerned. */
static void sent_to_all(const char *call, const char *name, int signal, long result)
{
	int number = shared->call++;

	result = kernel_result(result);
	for (int i = 0; i < 4 && shared->members[i]; i++)
		tell(call, name, number, signal, process(shared->members[i], "member"),
		     shared->results[i] ? shared->results[i] : result);
}

/* Does it as somebody who may not, in a process of its own. */
#define AS_NOBODY(...)                          \
	do {                                    \
		pid_t child_ = MUST(fork());    \
		if (child_ == 0) {              \
			MUST(setgid(NOBODY));   \
			MUST(setuid(NOBODY));   \
			__VA_ARGS__;            \
			_exit(0);               \
		}                               \
		MUST(waitpid(child_, NULL, 0)); \
	} while (0)

static void to_group(void)
{
	pid_t group = victim("member", 0, 0);
	long fd, result;

	shared->members[0] = group;
	for (int i = 1; i < 3; i++)
		shared->members[i] = victim("member", group, NOBODY);
	sent_to_all("kill", "group", SIGUSR1, syscall(SYS_kill, -group, SIGUSR1));
	/* It is enough that one of them may be sent it. */
	shared->results[0] = -EPERM;
	AS_NOBODY(sent_to_all("kill", "group-partly", SIGUSR1, syscall(SYS_kill, -group, SIGUSR1)));
	shared->results[0] = 0;
	fd = MUST(syscall(SYS_pidfd_open, group, 0));
	result = syscall(SYS_pidfd_send_signal, fd, SIGHUP, NULL, TO_PROCESS_GROUP);
	/* Not before Linux 6.9. */
	if (result == -1 && errno == EINVAL)
		sent("pidfd_send_signal", "group", SIGHUP, (struct target){ NONE, NONE, NULL }, result);
	else
		sent_to_all("pidfd_send_signal", "group", SIGHUP, result);
	sent("kill", "group-invalid", 99, process(-group, NULL), syscall(SYS_kill, -group, 99));
	sent_to_all("kill", "group-end", SIGKILL, syscall(SYS_kill, -group, SIGKILL));
	for (int i = 0; i < 3; i++)
		MUST(waitpid(shared->members[i], NULL, 0));
	memset(shared->members, 0, sizeof(shared->members));
}

/* To all that there are, which are few in a namespace. */
static void to_everybody(void)
{
	pid_t child = MUST(fork());

	if (child) {
		MUST(waitpid(child, NULL, 0));
		return;
	}
	MUST(unshare(CLONE_NEWPID));
	child = MUST(fork());
	if (child) {
		MUST(waitpid(child, NULL, 0));
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		child = MUST(fork());
		if (child == 0) {
			prctl(PR_SET_NAME, "member");
			__atomic_store_n(&shared->members[i], global_pid(), __ATOMIC_SEQ_CST);
			for (;;)
				pause();
		}
		while (!__atomic_load_n(&shared->members[i], __ATOMIC_SEQ_CST))
			sched_yield();
	}
	sent_to_all("kill", "everybody", SIGUSR1, syscall(SYS_kill, -1, SIGUSR1));
	_exit(0);
}

static void failures(pid_t pid)
{
	struct target target = process(pid, "victim");
	struct rlimit none = { 0, 0 };
	siginfo_t info, forged;
	pid_t gone = MUST(fork());

	if (gone == 0)
		_exit(0);
	MUST(waitpid(gone, NULL, 0));
	fill(&info, SI_QUEUE);
	fill(&forged, SI_USER);

	AS_NOBODY(sent("kill", "not-allowed", SIGTERM, target, syscall(SYS_kill, pid, SIGTERM)));
	AS_NOBODY(sent("kill", "nothing-not-allowed", 0, target, syscall(SYS_kill, pid, 0)));
	AS_NOBODY(sent("tgkill", "not-allowed", SIGTERM, target, syscall(SYS_tgkill, pid, pid, SIGTERM)));
	AS_NOBODY(sent("rt_sigqueueinfo", "not-allowed", SIGTERM, target,
		       syscall(SYS_rt_sigqueueinfo, pid, SIGTERM, &info)));
	AS_NOBODY(MUST(setrlimit(RLIMIT_SIGPENDING, &none));
		  sent("rt_sigqueueinfo", "no-room", 40,
		       (struct target){ getpid(), getpid(), program_invocation_short_name },
		       syscall(SYS_rt_sigqueueinfo, getpid(), 40, &info)));
	sent("rt_sigqueueinfo", "forged", SIGTERM, process(pid, NULL),
	     syscall(SYS_rt_sigqueueinfo, pid, SIGTERM, &forged));
	sent("rt_tgsigqueueinfo", "forged", SIGTERM, (struct target){ pid, pid, NULL },
	     syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGTERM, &forged));
	sent("rt_sigqueueinfo", "fault", SIGTERM, process(pid, NULL),
	     syscall(SYS_rt_sigqueueinfo, pid, SIGTERM, BAD_ADDRESS));
	sent("kill", "gone", SIGTERM, process(gone, NULL), syscall(SYS_kill, gone, SIGTERM));
	sent("kill", "no-group", SIGTERM, process(-gone, NULL), syscall(SYS_kill, -gone, SIGTERM));
	sent("kill", "invalid", 99, process(pid, NULL), syscall(SYS_kill, pid, 99));
	sent("kill", "negative", -1, process(pid, NULL), syscall(SYS_kill, pid, -1));
	sent("tkill", "gone", SIGTERM, (struct target){ NONE, gone, NULL },
	     syscall(SYS_tkill, gone, SIGTERM));
	sent("tkill", "invalid", SIGTERM, (struct target){ NONE, 0, NULL }, syscall(SYS_tkill, 0, SIGTERM));
	sent("tgkill", "invalid", SIGTERM, (struct target){ -1, pid, NULL },
	     syscall(SYS_tgkill, -1, pid, SIGTERM));
	sent("pidfd_send_signal", "bad-descriptor", SIGTERM, (struct target){ NONE, NONE, NULL },
	     syscall(SYS_pidfd_send_signal, 77, SIGTERM, NULL, 0));
	sent("pidfd_send_signal", "no-process", SIGTERM, (struct target){ NONE, NONE, NULL },
	     syscall(SYS_pidfd_send_signal, 1, SIGTERM, NULL, 0));
}

int main(void)
{
	pid_t pid;

	shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pid = victim("victim", -1, 0);
	to_one(pid);
	to_thread();
	to_group();
	to_everybody();
	failures(pid);
	sent("kill", "end", SIGKILL, process(pid, "victim"), syscall(SYS_kill, pid, SIGKILL));
	return 0;
}
