/*
 * blocker KIND N DIR: N threads that block in a call of this kind until they are killed. Each return probe of a
 * function on their way has an instance taken for as long. KIND is the event that the call would be: open, read, write,
 * tcp-accept, tcp-connect, unix-connect or fork. DIR is where a FIFO is made.
 */
#include <fcntl.h>
#include <pthread.h>

#include "directory.h"
#include "sockets.h"

/* Whatever the threads of this kind block at, and where to. */
static int fd;
static struct name to;

static int stream(const struct name *name)
{
	return MUST(socket(name->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static struct name listener(struct name name)
{
	fd = stream(&name);
	MUST(bind(fd, &name.address.any, name.length));
	MUST(listen(fd, 0));
	return local_name(fd);
}

/* Its queue has room for one, and has it. */
static void full_listener(struct name name)
{
	int first;

	to = listener(name);
	first = stream(&to);
	MUST(connect(first, &to.address.any, to.length));
}

static void prepare_open(void)
{
	MUST(mkfifo(in_dir("fifo"), 0600));
}

static void block_in_open(void)
{
	open(in_dir("fifo"), O_RDONLY);
}

static void prepare_read(void)
{
	int ends[2];

	MUST(pipe(ends));
	fd = ends[0];
}

static void block_in_read(void)
{
	char byte;

	MUST(read(fd, &byte, 1));
}

static void prepare_write(void)
{
	int ends[2];

	MUST(pipe2(ends, O_NONBLOCK));
	while (write(ends[1], account_line, 1 << 12) > 0)
		;
	MUST(fcntl(ends[1], F_SETFL, 0));
	fd = ends[1];
}

static void block_in_write(void)
{
	MUST(write(fd, "", 1));
}

static void prepare_accept(void)
{
	listener(inet_name("127.0.0.1", 0));
}

static void block_in_accept(void)
{
	MUST(accept4(fd, NULL, NULL, 0));
}

static void prepare_tcp_connect(void)
{
	full_listener(inet_name("127.0.0.1", 0));
}

static void prepare_unix_connect(void)
{
	full_listener(unix_bytes("\0traceleft-blocker", 18));
}

static void block_in_connect(void)
{
	int from = stream(&to);

	MUST(connect(from, &to.address.any, to.length));
}

static void prepare_fork(void)
{
}

/* The parent waits for what the child never does. */
static void block_in_fork(void)
{
	if (vfork() == 0)
		for (;;)
			pause();
}

static const struct kind {
	const char *name;
	void (*prepare)(void);
	void (*block)(void);
} kinds[] = {
	{ "open", prepare_open, block_in_open },
	{ "read", prepare_read, block_in_read },
	{ "write", prepare_write, block_in_write },
	{ "tcp-accept", prepare_accept, block_in_accept },
	{ "tcp-connect", prepare_tcp_connect, block_in_connect },
	{ "unix-connect", prepare_unix_connect, block_in_connect },
	{ "fork", prepare_fork, block_in_fork },
};

static void *block(void *argument)
{
	const struct kind *kind = argument;

	kind->block();
	die("it did not block");
}

int main(int argc, char **argv)
{
	const struct kind *kind = kinds;

	if (argc != 4) {
		fprintf(stderr, "usage: blocker KIND N DIR\n");
		return 2;
	}
	while (strcmp(kind->name, argv[1])) {
		if (++kind == kinds + sizeof(kinds) / sizeof(*kinds)) {
			fprintf(stderr, "blocker: no such kind: %s\n", argv[1]);
			return 2;
		}
	}
	snprintf(dir, sizeof(dir), "%s", argv[3]);
	kind->prepare();
	for (int n = atoi(argv[2]); n > 0; n--) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, block, (void *)kind);
		if (errno)
			die("pthread_create");
	}
	account_begin("blocker", "blocking");
	account_end();
	for (;;)
		pause();
}
