/*
 * unix-connecter DIR: connects unix sockets in every way that there is, to sockets of its own. Its working directory
 * is DIR.
 */
#include <fcntl.h>
#include <linux/net.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "sockets.h"

static int way;

static int make(int type)
{
	return MUST(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

static int bound(int type, struct name n)
{
	int fd = make(type);

	MUST(bind(fd, &n.address.any, n.length));
	return fd;
}

static int listener(int type, struct name n)
{
	int fd = bound(type, n);

	MUST(listen(fd, 4));
	return fd;
}

static void tell(const char *name, int fd, long result)
{
	int type = 0;
	socklen_t length = sizeof(type);

	account_begin("unix-connect", name);
	account_word("syscall", way_name(way, "connect"));
	account_socket(fd);
	account_result(result);
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
	/* The listeners are this program's own, or of the parent. */
	if (result == 0)
		account_number("peer", 1);
	if (result == 0 && type != SOCK_DGRAM)
		account_number("peer_pid", getenv("PEER") ? atoi(getenv("PEER")) : getpid());
}

static void do_connect(const char *name, int fd, struct name to)
{
	long args[6] = { fd, (long)&to.address, to.length };
	long result = socket_call(way, SYS_connect, SYS_CONNECT, args);

	tell(name, fd, result);
	if (to.address.any.sa_family == AF_UNIX)
		account_unix(&to, 1);
	account_end();
}

static void bad_connect(const char *name, int fd, const void *at, socklen_t length)
{
	long args[6] = { fd, (long)at, (int)length };

	tell(name, fd, socket_call(way, SYS_connect, SYS_CONNECT, args));
	account_end();
}

/* By a socket of its own. */
static void plain(const char *name, int type, struct name to)
{
	int fd = make(type);

	do_connect(name, fd, to);
	close(fd);
}

static void paths(const char *dir)
{
	int stream = listener(SOCK_STREAM, unix_name("stream")),
	    seqpacket = listener(SOCK_SEQPACKET, unix_name("a\n\xff"));
	int datagram = bound(SOCK_DGRAM, unix_name("datagram")), deaf = bound(SOCK_STREAM, unix_name("deaf")),
	    fd;
	char path[PATH_MAX], longest[sizeof(((struct sockaddr_un *)0)->sun_path)];

	MUST(symlink("stream", "link"));
	MUST(mknod("file", S_IFREG | 0600, 0));
	snprintf(path, sizeof(path), "%s/stream", dir);
	plain("absolute", SOCK_STREAM, unix_name(path));
	plain("relative", SOCK_STREAM, unix_name("./stream"));
	plain("link", SOCK_STREAM, unix_name("link"));
	plain("nonblocking", SOCK_STREAM | SOCK_NONBLOCK, unix_name("stream"));
	plain("bytes", SOCK_SEQPACKET, unix_name("a\n\xff"));
	plain("datagram", SOCK_DGRAM, unix_name("datagram"));
	plain("no-listener", SOCK_STREAM, unix_name("deaf"));
	plain("no-socket", SOCK_STREAM, unix_name("file"));
	plain("no-file", SOCK_STREAM, unix_name("none"));
	plain("no-file-datagram", SOCK_DGRAM, unix_name("none/none"));
	plain("wrong-type", SOCK_STREAM, unix_name("datagram"));
	plain("wrong-type-datagram", SOCK_DGRAM, unix_name("stream"));

	fd = bound(SOCK_STREAM, unix_name("closed"));
	close(fd);
	plain("closed", SOCK_STREAM, unix_name("closed"));

	memset(longest, 'x', sizeof(longest));
	fd = listener(SOCK_STREAM, unix_bytes(longest, sizeof(longest)));
	plain("longest", SOCK_STREAM, unix_bytes(longest, sizeof(longest)));
	close(fd);
	MUST(unlink(strndupa(longest, sizeof(longest))));

	for (const char *const *name = (const char *const[]){ "stream", "a\n\xff", "datagram", "deaf",
							      "closed", "link", "file", NULL };
	     *name; name++)
		MUST(unlink(*name));
	close(stream);
	close(seqpacket);
	close(datagram);
	close(deaf);
}

static void abstract(void)
{
	struct name name = unix_bytes("\0traceleft\0test\n\xff", 17),
		    none = unix_bytes("\0traceleft-none", 15);
	int stream = listener(SOCK_STREAM, name);

	plain("abstract", SOCK_STREAM, name);
	plain("abstract-none", SOCK_STREAM, none);
	close(stream);
	stream = bound(SOCK_DGRAM, name);
	plain("abstract-datagram", SOCK_DGRAM, name);
	close(stream);
}

static void again(void)
{
	struct name name = unix_bytes("\0traceleft-again", 16), other = unix_bytes("\0traceleft-other", 16);
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int first = bound(SOCK_DGRAM, name), second = bound(SOCK_DGRAM, other), fd = make(SOCK_DGRAM), full,
	    tries;

	do_connect("datagram-first", fd, name);
	do_connect("datagram-second", fd, other);
	/* That is no connect. */
	MUST(connect(fd, &nobody, sizeof(nobody)));
	close(fd);
	close(first);
	close(second);

	first = listener(SOCK_STREAM, name);
	fd = make(SOCK_STREAM);
	do_connect("connected", fd, name);
	do_connect("connected-already", fd, name);
	close(fd);
	close(first);

	first = bound(SOCK_STREAM, name);
	MUST(listen(first, 0));
	full = make(SOCK_STREAM);
	do_connect("fills-queue", full, name);
	for (tries = 0; tries < 2; tries++)
		plain("queue-is-full", SOCK_STREAM | SOCK_NONBLOCK, name);
	close(full);
	close(first);
}

static void bad(void)
{
	static const char room[256];
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int fd = make(SOCK_STREAM);

	bad_connect("fault", fd, (void *)8, 16);
	bad_connect("too-long", fd, room, 129);
	bad_connect("negative", fd, room, -1);
	bad_connect("no-family", fd, &nobody, sizeof(nobody));
	close(fd);
}

/* In a child, since it takes away what the parent needs. */
static void apart(const char *dir, void (*what)(const char *dir))
{
	char pid[16];
	int status;

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (MUST(fork()) == 0) {
		setenv("PEER", pid, 1);
		what(dir);
		_exit(0);
	}
	MUST(wait(&status));
	if (status)
		die("a child");
}

static void as_nobody(const char *dir)
{
	(void)dir;
	MUST(setresgid(65534, 65534, 65534));
	MUST(setresuid(65534, 65534, 65534));
	plain("not-writable", SOCK_STREAM, unix_name("stream"));
	plain("not-searchable", SOCK_STREAM, unix_name("private/stream"));
}

static void elsewhere(const char *dir)
{
	char path[PATH_MAX];

	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	snprintf(path, sizeof(path), "%s/place", dir);
	MUST(mount("private", path, NULL, MS_BIND, NULL));
	plain("bind-mounted", SOCK_STREAM, unix_name("place/stream"));
	MUST(chroot(path));
	MUST(chdir("/"));
	plain("root", SOCK_STREAM, unix_name("/stream"));
}

static void others(const char *dir)
{
	int stream, inner;

	MUST(mkdir("private", 0700));
	MUST(mkdir("place", 0700));
	stream = listener(SOCK_STREAM, unix_name("stream"));
	inner = listener(SOCK_STREAM, unix_name("private/stream"));
	MUST(chmod("stream", 0700));
	apart(dir, as_nobody);
	apart(dir, elsewhere);
	close(stream);
	close(inner);
	MUST(unlink("private/stream"));
	MUST(unlink("stream"));
	MUST(rmdir("private"));
	MUST(rmdir("place"));
}

/* The connect waits for room, unless the other end is quick. */
static void full_queue(void)
{
	struct name name = unix_bytes("\0traceleft-wait", 15);
	int server = bound(SOCK_STREAM, name), first = make(SOCK_STREAM), child;

	MUST(listen(server, 0));
	do_connect("fills-queue", first, name);
	child = MUST(fork());
	if (child == 0) {
		/* The listener was made by the parent. */
		char pid[16];

		snprintf(pid, sizeof(pid), "%d", getppid());
		setenv("PEER", pid, 1);
		plain("waited", SOCK_STREAM, name);
		_exit(0);
	}
	/* Let in whenever it comes. */
	close(MUST(accept(server, NULL, NULL)));
	close(MUST(accept(server, NULL, NULL)));
	MUST(waitpid(child, NULL, 0));
	close(first);
	close(server);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1])) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 2;
	}
	for (way = 0; way < WAYS; way++) {
		paths(argv[1]);
		abstract();
		again();
		bad();
		others(argv[1]);
		full_queue();
	}
	return 0;
}
