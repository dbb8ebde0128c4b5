/*
 * ticker DIRECTORY COUNT PAUSE: makes the files 0, 1, 2, … in a directory, COUNT in a row, then waits PAUSE
 * milliseconds, and again, until SIGTERM. The last ones stay. Tells how many it made.
 */
#include <fcntl.h>
#include <limits.h>
#include <time.h>

#include "account.h"
#include "ended.h"

/* Files that stay. */
#define KEPT 100

int main(int argc, char **argv)
{
	struct timespec pause;
	long count, made = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: ticker DIRECTORY COUNT PAUSE\n");
		return 2;
	}
	count = atol(argv[2]);
	pause = (struct timespec){ atol(argv[3]) / 1000, atol(argv[3]) % 1000 * 1000000 };
	end_at_sigterm();
	while (!ended) {
		for (long i = 0; i < count; i++) {
			char name[PATH_MAX];
			int fd;

			snprintf(name, sizeof(name), "%s/%ld", argv[1], made);
			fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0)
				die(name);
			close(fd);
			snprintf(name, sizeof(name), "%s/%ld", argv[1], made - KEPT);
			if (made >= KEPT && unlink(name))
				die(name);
			made++;
		}
		nanosleep(&pause, NULL);
	}
	account_begin("ticker", "done");
	account_number("made", made);
	account_end();
	return 0;
}
