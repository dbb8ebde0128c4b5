/*
 * flood N PATH [THREADS]: opens PATH N times; if it is a directory, the files 0 to N-1 in
 * it, making them. With THREADS, each thread does its share. Tells how many opens succeeded
 * and how many failed.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "account.h"

static const char *path;
static int is_directory;

struct share {
	pthread_t thread;
	long first, end, opened, failed;
};

static void *open_share(void *argument)
{
	struct share *share = argument;

	for (long n = share->first; n < share->end; n++) {
		char name[PATH_MAX];
		int fd;

		if (is_directory) {
			snprintf(name, sizeof(name), "%s/%ld", path, n);
			fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		} else {
			fd = open(path, O_RDONLY | O_CLOEXEC);
		}
		if (fd < 0) {
			share->failed++;
		} else {
			share->opened++;
			close(fd);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long opened = 0, failed = 0, total, threads;
	struct share *shares;
	struct stat st;

	if (argc < 3) {
		fprintf(stderr, "usage: flood N PATH [THREADS]\n");
		return 2;
	}
	total = atol(argv[1]);
	path = argv[2];
	threads = argc > 3 ? atol(argv[3]) : 1;
	is_directory = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	shares = calloc(threads, sizeof(*shares));
	for (long i = 0; i < threads; i++) {
		shares[i].first = total * i / threads;
		shares[i].end = total * (i + 1) / threads;
		errno = pthread_create(&shares[i].thread, NULL, open_share, &shares[i]);
		if (errno)
			die("pthread_create");
	}
	for (long i = 0; i < threads; i++) {
		pthread_join(shares[i].thread, NULL);
		opened += shares[i].opened;
		failed += shares[i].failed;
	}
	account_begin("flood", "done");
	account_number("opened", opened);
	account_number("failed", failed);
	account_end();
	return 0;
}
