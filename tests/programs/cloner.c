/*
 * cloner CGROUP PATH PROGRAM: clones a child into the control group whose directory is CGROUP. The child opens PATH,
 * tells of it, and executes PROGRAM; the parent waits, and then tells of the child.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "account.h"

static void be_the_child(const char *path, char *program)
{
	char *arguments[] = { program, NULL };

	account_begin("open", "child");
	account_result(kernel_result(open(path, O_RDONLY | O_CLOEXEC)));
	account_end();
	execv(program, arguments);
	die(program);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	long child;
	int status;

	if (argc != 4) {
		fprintf(stderr, "usage: cloner CGROUP PATH PROGRAM\n");
		return 2;
	}
	args.cgroup = MUST(open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC));
	child = MUST(syscall(SYS_clone3, &args, sizeof(args)));
	if (!child)
		be_the_child(argv[2], argv[3]);
	MUST(waitpid(child, &status, 0));
	if (status)
		die("the child");
	account_begin("clone3", "parent");
	account_result(child);
	account_end();
	return 0;
}
