/*
 * load SOCKET DIR: works when it is told to, and tells how much time of the processor that took.
 *
 * What it is told comes to SOCKET, a datagram each: "WORKLOAD BURSTS OPERATIONS PAUSE", so many operations at a
 * stretch, with a pause of so many milliseconds after each burst, in which the recorders catch up. The answer is the
 * time in nanoseconds that the bursts took, of this process and of those that it made and waited for. Datagrams, since
 * they take none of the calls that anybody here records. The files are below DIR.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A workload that fails measures something else. */
#define MUST(call)                               \
	({                                       \
		__typeof__(call) result_ = call; \
		if (result_ < 0) {               \
			perror(#call);           \
			exit(1);                 \
		}                                \
		result_;                         \
	})

static char nop[4096];
static int written, listener;
static struct sockaddr_in address;
static char buffer[64];

/* By number, so that it is these calls whatever the C library makes of their names. */
static void do_open(void)
{
	int fd = MUST((int)syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY));

	MUST(syscall(SYS_read, fd, buffer, sizeof(buffer)));
	MUST(syscall(SYS_close, fd));
}

static void do_meta(void)
{
	MUST(syscall(SYS_mkdir, "directory", 0755));
	MUST(syscall(SYS_chmod, "directory", 0700));
	MUST(syscall(SYS_chown, "directory", 1, 1));
	MUST(syscall(SYS_rmdir, "directory"));
}

static void do_exec(void)
{
	char *argv[] = { "nop", NULL }, *envp[] = { NULL };
	int status;
	pid_t child = MUST(fork());

	if (child == 0) {
		execve(nop, argv, envp);
		_exit(127);
	}
	MUST(waitpid(child, &status, 0));
	if (status != 0) {
		fprintf(stderr, "%s: status %d\n", nop, status);
		exit(1);
	}
}

static void do_tcp(void)
{
	int client = MUST(socket(AF_INET, SOCK_STREAM, 0)), server;

	MUST(connect(client, (struct sockaddr *)&address, sizeof(address)));
	server = MUST(accept(listener, NULL, NULL));
	MUST(close(client));
	MUST(close(server));
}

static void do_write(void)
{
	MUST(syscall(SYS_write, written, buffer, sizeof(buffer)));
}

static void do_getppid(void)
{
	syscall(SYS_getppid);
}

static const struct {
	const char *name;
	void (*operation)(void);
} workloads[] = {
	{ "open", do_open }, { "meta", do_meta },   { "exec", do_exec },
	{ "tcp", do_tcp },   { "write", do_write }, { "getppid", do_getppid },
};

static long long nanoseconds(void)
{
	struct timespec own;
	struct rusage children;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	return own.tv_sec * 1000000000LL + own.tv_nsec +
	       (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000000LL +
	       (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000LL;
}

static long long work(void (*operation)(void), long bursts, long operations, long pause)
{
	const struct timespec span = { .tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1000000 };
	long long took = 0;

	for (long i = 0; i < bursts; i++) {
		/* So that the file does not grow: to find room for it is another matter. */
		MUST(lseek(written, 0, SEEK_SET));
		/* So that all bursts begin alike. */
		if (operations)
			operation();
		took -= nanoseconds();
		for (long j = 0; j < operations; j++)
			operation();
		took += nanoseconds();
		nanosleep(&span, NULL);
	}
	return took;
}

static void prepare(const char *directory)
{
	socklen_t length = sizeof(address);

	MUST(chdir(directory));
	MUST(snprintf(nop, sizeof(nop), "%s/nop", directory));
	written = MUST(open("written", O_WRONLY | O_CREAT | O_TRUNC, 0600));
	MUST(write(MUST(open("file", O_WRONLY | O_CREAT | O_TRUNC, 0600)), buffer, sizeof(buffer)));

	listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(listener, (struct sockaddr *)&address, sizeof(address)));
	MUST(listen(listener, 16));
	MUST(getsockname(listener, (struct sockaddr *)&address, &length));
	MUST(mlockall(MCL_CURRENT | MCL_FUTURE));
}

int main(int argc, char **argv)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int orders = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));

	if (argc != 3) {
		fprintf(stderr, "usage: load SOCKET DIR\n");
		return 2;
	}
	prepare(argv[2]);
	MUST(snprintf(name.sun_path, sizeof(name.sun_path), "%s", argv[1]));
	MUST(bind(orders, (struct sockaddr *)&name, sizeof(name)));

	for (;;) {
		struct sockaddr_un from;
		socklen_t length = sizeof(from);
		char order[128], workload[16];
		long bursts, operations, pause;
		ssize_t size = MUST(
			recvfrom(orders, order, sizeof(order) - 1, 0, (struct sockaddr *)&from, &length));

		order[size] = '\0';
		if (sscanf(order, "%15s %ld %ld %ld", workload, &bursts, &operations, &pause) != 4) {
			fprintf(stderr, "not understood: %s\n", order);
			return 1;
		}
		snprintf(order, sizeof(order), "unknown");
		for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
			if (strcmp(workload, workloads[i].name) == 0)
				snprintf(order, sizeof(order), "%lld",
					 work(workloads[i].operation, bursts, operations, pause));
		MUST(sendto(orders, order, strlen(order), 0, (struct sockaddr *)&from, length));
	}
}
