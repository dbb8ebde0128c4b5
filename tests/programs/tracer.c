/* tracer: asks of ptrace what there is to ask, of a process and of a thread, and fails in some. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "account.h"

#define NOBODY 65534
#define BAD_ADDRESS ((void *)1)

static long word = 7;

struct target {
	pid_t pid, tid;
	const char *comm; /* NULL: there is none, the id is that passed */
};

static long request_of(const char *request, const char *name, int number, struct target target, void *address,
		       void *data)
{
	long result = kernel_result(syscall(SYS_ptrace, number, target.tid, address, data));

	account_begin("ptrace", name);
	account_word("request", request);
	account_number("target", target.pid);
	account_number("target_tid", target.tid);
	if (target.comm)
		account_word("target_comm", target.comm);
	account_result(result);
	account_end();
	return result;
}

#define ASK(request, name, target, address, data) \
	request_of(#request, name, request, target, (void *)(address), (void *)(data))

static void *thread_of_its_own(void *told)
{
	prctl(PR_SET_NAME, "a thread");
	MUST(write(*(int *)told, &(pid_t){ syscall(SYS_gettid) }, sizeof(pid_t)));
	for (;;)
		pause();
	return NULL;
}

/* A process that waits, with a thread. */
static void start(struct target *process, struct target *thread)
{
	int tells[2];

	MUST(pipe(tells));
	process->comm = "victim";
	thread->comm = "a thread";
	process->pid = process->tid = thread->pid = MUST(fork());
	if (process->pid == 0) {
		pthread_t made;

		prctl(PR_SET_NAME, "victim");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pthread_create(&made, NULL, thread_of_its_own, &tells[1]))
			die("pthread_create");
		for (;;)
			pause();
	}
	MUST(read(tells[0], &thread->tid, sizeof(thread->tid)));
}

/* A child that lets its parent trace it. */
static void trace_me(void)
{
	struct target parent = { getpid(), getpid(), program_invocation_short_name };
	pid_t child = MUST(fork());

	if (child == 0) {
		long result = kernel_result(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0));

		for (int i = 0; i < 2; i++) {
			account_begin("ptrace", i ? "again" : "trace-me");
			account_word("request", "PTRACE_TRACEME");
			account_number("target", parent.pid);
			account_number("target_tid", parent.tid);
			account_word("target_comm", parent.comm);
			account_result(result);
			account_end();
			if (!i)
				result = kernel_result(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0));
		}
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}

static void traced(struct target process, struct target thread)
{
	struct user_regs_struct registers;

	ASK(PTRACE_ATTACH, "process", process, 0, 0);
	MUST(waitpid(process.pid, NULL, __WALL));
	ASK(PTRACE_PEEKDATA, "word", process, &word, &registers);
	ASK(PTRACE_POKEDATA, "word", process, &word, 8);
	ASK(PTRACE_PEEKDATA, "bad-address", process, BAD_ADDRESS, &registers);
	ASK(PTRACE_GETREGS, "registers", process, 0, &registers);
	ASK(PTRACE_SETREGS, "registers", process, 0, &registers);
	ASK(PTRACE_SETOPTIONS, "options", process, 0, PTRACE_O_TRACEFORK);
	ASK(PTRACE_SETOPTIONS, "bad-options", process, 0, 1L << 30);
	ASK(PTRACE_DETACH, "process", process, 0, 0);
	ASK(PTRACE_SEIZE, "thread", thread, 0, 0);
	ASK(PTRACE_INTERRUPT, "thread", thread, 0, 0);
	MUST(waitpid(thread.tid, NULL, __WALL));
	ASK(PTRACE_CONT, "thread", thread, 0, 0);
	ASK(PTRACE_CONT, "not-stopped", thread, 0, 0);
}

static void failures(struct target process)
{
	struct target self = { getpid(), getpid(), program_invocation_short_name };
	struct target gone = { 0, 0, NULL };
	pid_t child = MUST(fork());

	if (child == 0)
		_exit(0);
	MUST(waitpid(child, NULL, 0));
	gone.pid = gone.tid = child;
	ASK(PTRACE_ATTACH, "itself", self, 0, 0);
	ASK(PTRACE_ATTACH, "gone", gone, 0, 0);
	ASK(PTRACE_CONT, "not-traced", process, 0, 0);
	request_of("1234", "unknown", 1234, process, NULL, NULL);
	ASK(PTRACE_SEIZE, "bad-options", process, 0, 1L << 30);
	child = MUST(fork());
	if (child == 0) {
		MUST(setgid(NOBODY));
		MUST(setuid(NOBODY));
		ASK(PTRACE_ATTACH, "not-allowed", process, 0, 0);
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}

int main(void)
{
	struct target process, thread;

	start(&process, &thread);
	trace_me();
	traced(process, thread);
	failures(process);
	return 0;
}
