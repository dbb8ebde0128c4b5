/*
 * talker all: makes TCP connections to itself, accepts them in every way that there is, moves a known number of
 * bytes, and ends them in every way; it tells of each accept, and of each end of a connection.
 * talker many N: N connections, of which it tells only how many there were.
 * talker listen ADDRESS PORT: accepts one connection, on the socket that systemd passed if there is one, and
 * reads until the other side closes.
 * talker dial ADDRESS PORT: connects, sends, and waits until the other side closes.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "account.h"
#include "uring.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A connection between a client and a server of this program. */
struct pair {
	int client, server;
};

static union address make_address(const char *text, int port)
{
	union address a = { 0 };

	if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
	} else {
		errno = EINVAL;
		die(text);
	}
	return a;
}

static socklen_t address_length(const union address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static int address_port(const union address *a)
{
	return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

static void account_address(const char *who, const union address *a)
{
	char text[INET6_ADDRSTRLEN], key[32];
	int family = a->any.sa_family;

	inet_ntop(family, family == AF_INET ? (void *)&a->v4.sin_addr : (void *)&a->v6.sin6_addr, text,
		  sizeof(text));
	snprintf(key, sizeof(key), "%s_addr", who);
	account_word(key, text);
	snprintf(key, sizeof(key), "%s_port", who);
	account_number(key, address_port(a));
}

static void account_names(int fd)
{
	union address a;
	socklen_t length = sizeof(a);
	struct stat st;

	MUST(getsockname(fd, &a.any, &length));
	account_word("family", a.any.sa_family == AF_INET ? "inet" : "inet6");
	account_address("local", &a);
	length = sizeof(a);
	if (getpeername(fd, &a.any, &length) == 0)
		account_address("peer", &a);
	MUST(stat("/proc/self/ns/net", &st));
	account_number("netns", st.st_ino);
}

static int make_listener(const char *text, int port, int flags)
{
	union address a = make_address(text, port);
	int fd = MUST(socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, IPPROTO_TCP));

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)));
	MUST(bind(fd, &a.any, address_length(&a)));
	MUST(listen(fd, 128));
	return fd;
}

static int port_of(int fd)
{
	union address a;
	socklen_t length = sizeof(a);

	MUST(getsockname(fd, &a.any, &length));
	return address_port(&a);
}

static int dial(const char *text, int port)
{
	union address a = make_address(text, port);
	int fd = MUST(socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));

	MUST(connect(fd, &a.any, address_length(&a)));
	return fd;
}

/* One accept by io_uring; -ENOSYS where it has no table of its own for that. */
static long uring_accept(int listener, int fixed)
{
	struct ring ring = setup(0);
	struct io_uring_sqe sqe = { .opcode = IORING_OP_ACCEPT, .fd = listener, .file_index = fixed };
	int none[4] = { -1, -1, -1, -1 };
	long result;

	if (fixed)
		MUST(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, none, 4));
	result = request(&ring, &sqe);
	close(ring.fd);
	return result == -EINVAL && fixed ? -ENOSYS : result;
}

static long do_accept(const char *way, int listener, void *address)
{
	socklen_t length = sizeof(union address);

	if (strcmp(way, "accept") == 0)
		return kernel_result(accept(listener, address, address ? &length : NULL));
	if (strcmp(way, "accept4") == 0)
		return kernel_result(accept4(listener, address, address ? &length : NULL, SOCK_CLOEXEC));
#ifdef SYS_socketcall
	if (strcmp(way, "socketcall") == 0) {
		unsigned long args[] = { listener, (unsigned long)address,
					 (unsigned long)(address ? &length : 0) };

		return kernel_result(syscall(SYS_socketcall, 5, args));
	}
#endif
	return uring_accept(listener, strcmp(way, "io_uring-fixed") == 0);
}

/* Tells of an accept that something came of. */
static void account_accept(const char *way, const char *name, int listener, long result)
{
	account_begin(way, name);
	account_number("fd", listener);
	account_result(result);
	account_names(result > 0 ? (int)result : listener);
	account_end();
}

/* Tells of one end of a connection, while it is there; `closer`: who closes it. */
static void account_end_of(const char *name, int fd, long in, long out, pid_t closer, int error)
{
	account_begin("close", name);
	account_number("in", in);
	account_number("out", out);
	account_number("closer", closer);
	account_result(-error);
	account_names(fd);
	account_end();
}

static struct pair make_pair(const char *way, const char *name, const char *address, int listener)
{
	struct pair pair = { .client = dial(address, port_of(listener)) };
	long result = do_accept(way, listener, NULL);

	if (result < 0)
		die(way);
	pair.server = result;
	account_accept(way, name, listener, result);
	return pair;
}

static void transfer(int from, int to, size_t count)
{
	static char data[1 << 16];

	while (count) {
		size_t chunk = count < sizeof(data) ? count : sizeof(data);
		size_t got = 0;

		MUST(write(from, data, chunk));
		while (got < chunk)
			got += MUST(read(to, data, chunk - got));
		count -= chunk;
	}
}

static void expect_end(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 0)
		die("there is more to read");
}

/* Both sides close, the one after the other has. */
static void end_in_order(const char *name, struct pair pair, long in, long out, int client_first)
{
	int first = client_first ? pair.client : pair.server,
	    second = client_first ? pair.server : pair.client;

	account_end_of(name, pair.client, in, out, getpid(), 0);
	account_end_of(name, pair.server, out, in, getpid(), 0);
	close(first);
	expect_end(second);
	close(second);
}

static void ends(const char *address)
{
	int listener = make_listener(address, 0, 0), status;
	struct pair pair;
	pid_t child;

	pair = make_pair("accept4", "client-first", address, listener);
	transfer(pair.client, pair.server, 5);
	transfer(pair.server, pair.client, 100000);
	end_in_order("client-first", pair, 100000, 5, 1);

	pair = make_pair("accept4", "server-first", address, listener);
	transfer(pair.client, pair.server, 300000);
	end_in_order("server-first", pair, 0, 300000, 0);

	pair = make_pair("accept4", "nothing-sent", address, listener);
	end_in_order("nothing-sent", pair, 0, 0, 1);

	pair = make_pair("accept4", "shutdown", address, listener);
	transfer(pair.client, pair.server, 7);
	MUST(shutdown(pair.client, SHUT_WR));
	expect_end(pair.server);
	transfer(pair.server, pair.client, 9);
	account_end_of("shutdown", pair.client, 9, 7, getpid(), 0);
	account_end_of("shutdown", pair.server, 7, 9, getpid(), 0);
	close(pair.server);
	expect_end(pair.client);
	close(pair.client);

	pair = make_pair("accept4", "reset", address, listener);
	transfer(pair.client, pair.server, 11);
	account_end_of("reset", pair.client, 0, 11, getpid(), 0);
	account_end_of("reset", pair.server, 11, 0, getpid(), ECONNRESET);
	MUST(setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
			sizeof(struct linger)));
	close(pair.client);
	close(pair.server);

	pair = make_pair("accept4", "unread", address, listener);
	MUST(write(pair.client, "thirteen bytes", 13));
	while (MUST(recv(pair.server, (char[16]){ 0 }, 16, MSG_PEEK)) < 13)
		;
	account_end_of("unread", pair.client, 0, 13, getpid(), ECONNRESET);
	account_end_of("unread", pair.server, 13, 0, getpid(), 0);
	close(pair.server);
	close(pair.client);

	for (int killed = 0; killed < 2; killed++) {
		const char *name = killed ? "killed" : "inherited";
		int ready[2];

		pair = make_pair("accept4", name, address, listener);
		MUST(pipe(ready));
		child = MUST(fork());
		if (child == 0) {
			close(pair.client);
			close(ready[1]);
			MUST(read(ready[0], &status, 1));
			if (killed)
				raise(SIGKILL);
			_exit(0);
		}
		account_end_of(name, pair.client, 0, 0, getpid(), 0);
		account_end_of(name, pair.server, 0, 0, child, 0);
		close(pair.server);
		close(ready[1]);
		MUST(waitpid(child, &status, 0));
		close(ready[0]);
		expect_end(pair.client);
		close(pair.client);
	}
	close(listener);
}

static void failures(void)
{
	int listener = make_listener("127.0.0.1", 0, SOCK_NONBLOCK);
	int idle = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct rlimit before, limit;
	union address any = { .v4 = { .sin_family = AF_INET } };
	long result;
	int fd;

	/* Nothing is there: nothing happened. */
	if (do_accept("accept4", listener, NULL) != -EAGAIN)
		die("accept of nothing");
	MUST(bind(idle, &any.any, sizeof(any.v4)));
	account_accept("accept4", "not-listening", idle, do_accept("accept4", idle, NULL));
	account_accept("io_uring", "not-listening", idle, uring_accept(idle, 0));

	fd = dial("127.0.0.1", port_of(listener));
	MUST(getrlimit(RLIMIT_NOFILE, &before));
	limit = before;
	limit.rlim_cur = 0;
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	result = do_accept("accept", listener, NULL);
	MUST(setrlimit(RLIMIT_NOFILE, &before));
	account_accept("accept", "no-descriptor", listener, result);

	/* It was accepted, and is closed again since the address cannot be told. */
	account_begin("accept", "bad-address");
	account_number("fd", listener);
	{
		union address local, remote;
		socklen_t length = sizeof(local);

		MUST(getsockname(fd, &remote.any, &length));
		length = sizeof(local);
		MUST(getpeername(fd, &local.any, &length));
		account_result(do_accept("accept", listener, (void *)8));
		account_word("family", "inet");
		account_address("local", &local);
		account_address("peer", &remote);
		account_number("netns", 0);
	}
	account_end();
	close(fd);
	close(idle);
	close(listener);
}

static void all(void)
{
	static const char *const addresses[][2] = {
		{ "127.0.0.1", "127.0.0.1" },
		{ "::1", "::1" },
		{ "::", "127.0.0.1" },
		{ "::", "::ffff:127.0.0.1" },
	};
	static const char *const ways[] = {
		"accept",
		"accept4",
#ifdef SYS_socketcall
		"socketcall",
#else
		"io_uring",
		"io_uring-fixed",
#endif
	};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++)
		for (size_t j = 0; j < sizeof(ways) / sizeof(*ways); j++) {
			int listener = make_listener(addresses[i][0], 0, 0);
			int client = dial(addresses[i][1], port_of(listener));
			long result = do_accept(ways[j], listener, NULL);
			union address local, remote;
			socklen_t length = sizeof(local);

			if (result == -ENOSYS) {
				close(client);
				close(listener);
				continue;
			}
			/* A table's connection has no descriptor that could be asked; it closed with its ring. */
			MUST(getsockname(client, &remote.any, &length));
			length = sizeof(local);
			MUST(getpeername(client, &local.any, &length));
			account_begin(ways[j], "accepted");
			account_number("fd", listener);
			account_result(result);
			account_word("family", addresses[i][0][0] == ':' ? "inet6" : "inet");
			account_address("local", &local);
			account_address("peer", &remote);
			account_number("netns", 0);
			account_end();
			if (result > 0)
				close(result);
			close(client);
			close(listener);
		}
	failures();
	ends("127.0.0.1");
	ends("::1");
}

static void many(int count)
{
	int listener = make_listener("127.0.0.1", 0, 0), port = port_of(listener);

	for (int i = 0; i < count; i++) {
		struct pair pair = { .client = dial("127.0.0.1", port) };

		pair.server = MUST(accept4(listener, NULL, NULL, 0));
		close(i % 2 ? pair.client : pair.server);
		expect_end(i % 2 ? pair.server : pair.client);
		close(i % 2 ? pair.server : pair.client);
	}
	account_begin("many", "many");
	account_number("count", count);
	account_end();
}

static void listen_once(const char *address, int port)
{
	int listener = getenv("LISTEN_FDS") ? 3 : make_listener(address, port, 0), fd;
	char data[16];

	account_begin("ready", "ready");
	account_end();
	fd = MUST(accept4(listener, NULL, NULL, 0));
	while (MUST(read(fd, data, sizeof(data))) > 0)
		;
	account_accept("accept4", "once", listener, fd);
	account_end_of("once", fd, 5, 0, getpid(), 0);
	close(fd);
}

static void dial_once(const char *address, int port)
{
	int fd = dial(address, port);

	MUST(write(fd, "hello", 5));
	account_end_of("once", fd, 0, 5, getpid(), 0);
	MUST(shutdown(fd, SHUT_WR));
	expect_end(fd);
	close(fd);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "all") == 0) {
		all();
	} else if (argc == 3 && strcmp(argv[1], "many") == 0) {
		many(atoi(argv[2]));
	} else if (argc == 4 && strcmp(argv[1], "listen") == 0) {
		listen_once(argv[2], atoi(argv[3]));
	} else if (argc == 4 && strcmp(argv[1], "dial") == 0) {
		dial_once(argv[2], atoi(argv[3]));
	} else {
		fprintf(stderr, "usage: talker all | many N | listen ADDRESS PORT | dial ADDRESS PORT\n");
		return 2;
	}
	return 0;
}
