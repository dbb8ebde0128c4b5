/*
 * blocker N FIFO: N threads that block in open(FIFO) until they are killed. Each return
 * probe of a function on their way has an instance taken for as long.
 */
#include <fcntl.h>
#include <pthread.h>

#include "account.h"

static void *block(void *fifo)
{
	open(fifo, O_RDONLY);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: blocker N FIFO\n");
		return 2;
	}
	for (int n = atoi(argv[1]); n > 0; n--) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, block, argv[2]);
		if (errno)
			die("pthread_create");
	}
	account_begin("blocker", "blocking");
	account_end();
	for (;;)
		pause();
}
