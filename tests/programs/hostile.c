/*
 * hostile GROUP COUNT: makes COUNT control groups in GROUP, which is its own, then forks without end, until SIGTERM,
 * as fast as it can and as many at a time as it may. Tells how many groups it made.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "account.h"
#include "ended.h"

int main(int argc, char **argv)
{
	char name[PATH_MAX];
	long made = 0, count;

	if (argc < 3) {
		fprintf(stderr, "usage: hostile GROUP COUNT\n");
		return 2;
	}
	count = atol(argv[2]);
	end_at_sigterm();
	for (; made < count && !ended; made++) {
		snprintf(name, sizeof(name), "%s/%ld", argv[1], made);
		if (mkdir(name, 0755))
			die(name);
	}
	account_begin("hostile", "groups");
	account_number("made", made);
	account_end();
	fflush(stdout);
	while (!ended) {
		switch (fork()) {
		case 0:
			/* Each is a child that forks itself. */
			fork();
			_exit(0);
		case -1:
			while (wait(NULL) > 0)
				;
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return 0;
}
