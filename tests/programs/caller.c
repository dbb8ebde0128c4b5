/*
 * caller KIND N DIR: N calls of this kind that succeed and N that fail, in turn, all told of when they are done. KIND
 * is the event that they are: open, read, write, tcp-accept, tcp-connect, unix-connect or fork. What the calls need is
 * made by other calls. `mark` is what tells one call from another: a name, a size, a port, or the child.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "directory.h"
#include "sockets.h"

struct done {
	const char *call;
	long result;
	long number;
	char *text; /* instead of the number */
};

static int prepared[2];

static void settle(struct done *done, const char *call, long result)
{
	done->call = call;
	done->result = kernel_result(result);
}

/* A file that is there already, or cannot be. */
static void do_open(struct done *done, int n, int fails)
{
	char *path;
	int fd;

	MUST(asprintf(&path, "%s/%s%d", dir, fails ? "none/" : "", n));
	if (!fails)
		MUST(mknod(path, S_IFREG | 0600, 0));
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	settle(done, "openat", fd);
	if (fd >= 0)
		close(fd);
	done->text = path;
}

static void prepare_read(void)
{
	prepared[0] = MUST(open("/dev/zero", O_RDONLY));
	prepared[1] = MUST(open(dir, O_RDONLY | O_DIRECTORY));
}

static void do_read(struct done *done, int n, int fails)
{
	done->number = n + 1;
	settle(done, "read", read(prepared[fails], account_line, n + 1));
}

static void prepare_write(void)
{
	prepared[0] = MUST(open("/dev/null", O_WRONLY));
	prepared[1] = MUST(open("/dev/full", O_WRONLY));
}

static void do_write(struct done *done, int n, int fails)
{
	done->number = n + 1;
	settle(done, "write", write(prepared[fails], account_line, n + 1));
}

static int bound(struct name name)
{
	int fd = MUST(socket(name.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

	MUST(bind(fd, &name.address.any, name.length));
	return fd;
}

/* Where one can connect to, or nobody listens. */
static int target(struct name name, int fails)
{
	int fd = bound(name);

	if (!fails)
		MUST(listen(fd, 1));
	return fd;
}

static void do_accept(struct done *done, int n, int fails)
{
	int fd = target(inet_name("127.0.0.1", 0), fails), other = -1;
	struct name name = local_name(fd);
	long result;

	(void)n;
	done->number = name_port(&name);
	if (!fails) {
		other = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
		MUST(connect(other, &name.address.any, name.length));
	}
	result = syscall(SYS_accept4, fd, NULL, NULL, 0);
	settle(done, "accept4", result);
	if (result >= 0)
		close(result);
	if (other >= 0)
		close(other);
	close(fd);
}

static void connect_to(struct done *done, struct name name, int fails)
{
	int fd = target(name, fails), from;

	name = local_name(fd);
	from = MUST(socket(name.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	settle(done, "connect", syscall(SYS_connect, from, &name.address, name.length));
	close(from);
	close(fd);
	if (name.address.any.sa_family == AF_INET)
		done->number = name_port(&name);
}

static void do_tcp_connect(struct done *done, int n, int fails)
{
	(void)n;
	connect_to(done, inet_name("127.0.0.1", 0), fails);
}

static void do_unix_connect(struct done *done, int n, int fails)
{
	char name[32];
	int length = snprintf(name, sizeof(name), "%ctraceleft-%s-%d", 0, fails ? "deaf" : "caller", n);

	connect_to(done, unix_bytes(name, length), fails);
	done->text = strdup(name + 1);
}

/* One that only ends; or one that would share its handlers without its memory. */
static void do_fork(struct done *done, int n, int fails)
{
	long child = syscall(SYS_clone, fails ? CLONE_SIGHAND | SIGCHLD : SIGCHLD, 0, 0, 0, 0);

	(void)n;
	if (!child)
		_exit(0);
	settle(done, "clone", child);
	if (child > 0) {
		MUST(waitpid(child, NULL, 0));
		done->number = child;
	}
}

static void prepare_nothing(void)
{
}

static const struct kind {
	const char *name;
	void (*prepare)(void);
	void (*call)(struct done *done, int n, int fails);
} kinds[] = {
	{ "open", prepare_nothing, do_open },
	{ "read", prepare_read, do_read },
	{ "write", prepare_write, do_write },
	{ "tcp-accept", prepare_nothing, do_accept },
	{ "tcp-connect", prepare_nothing, do_tcp_connect },
	{ "unix-connect", prepare_nothing, do_unix_connect },
	{ "fork", prepare_nothing, do_fork },
};

int main(int argc, char **argv)
{
	const struct kind *kind = kinds;
	struct done *done;
	int calls;

	if (argc != 4) {
		fprintf(stderr, "usage: caller KIND N DIR\n");
		return 2;
	}
	while (strcmp(kind->name, argv[1])) {
		if (++kind == kinds + sizeof(kinds) / sizeof(*kinds)) {
			fprintf(stderr, "caller: no such kind: %s\n", argv[1]);
			return 2;
		}
	}
	calls = 2 * atoi(argv[2]);
	snprintf(dir, sizeof(dir), "%s", argv[3]);
	done = calloc(calls, sizeof(*done));
	kind->prepare();
	for (int n = 0; n < calls; n++)
		kind->call(&done[n], n / 2, n % 2);
	for (int n = 0; n < calls; n++) {
		account_begin(done[n].call, kind->name);
		if (done[n].text)
			account_bytes("mark", done[n].text);
		else
			account_number("mark", done[n].number);
		account_result(done[n].result);
		account_end();
	}
	return 0;
}
