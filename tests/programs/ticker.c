/*
 * ticker DIRECTORY COUNT PAUSE: makes the files 0, 1, 2, … in a directory, COUNT in a row, then waits PAUSE
 * milliseconds, and again, until SIGTERM. Tells how many there are.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "account.h"

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = end };
	struct timespec pause;
	long count, made = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: ticker DIRECTORY COUNT PAUSE\n");
		return 2;
	}
	count = atol(argv[2]);
	pause = (struct timespec){ atol(argv[3]) / 1000, atol(argv[3]) % 1000 * 1000000 };
	sigaction(SIGTERM, &action, NULL);
	while (!ended) {
		for (long i = 0; i < count; i++) {
			char name[PATH_MAX];
			int fd;

			snprintf(name, sizeof(name), "%s/%ld", argv[1], made);
			fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0)
				die(name);
			close(fd);
			made++;
		}
		nanosleep(&pause, NULL);
	}
	account_begin("ticker", "done");
	account_number("made", made);
	account_end();
	return 0;
}
