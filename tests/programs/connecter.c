/*
 * connecter --listen: connects by TCP in every way that there is, to listeners of its own;
 * then in a network namespace of its own.
 * connecter ADDRESS PORT: connects once and closes.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "account.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
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
	account_address("local", &a);
	length = sizeof(a);
	if (getpeername(fd, &a.any, &length) == 0)
		account_address("peer", &a);
	MUST(stat("/proc/self/ns/net", &st));
	account_number("netns", st.st_ino);
}

static int make_socket(int family, int flags)
{
	return MUST(socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, IPPROTO_TCP));
}

static int make_listener(const char *text, int backlog, int *port)
{
	union address a = make_address(text, 0);
	socklen_t length = sizeof(a);
	int fd = make_socket(a.any.sa_family, 0);

	MUST(bind(fd, &a.any, address_length(&a)));
	MUST(listen(fd, backlog));
	MUST(getsockname(fd, &a.any, &length));
	*port = address_port(&a);
	return fd;
}

/* Connects and tells of it; the final error is known at once, or after poll. */
static void do_connect(const char *name, int fd, const char *text, int port, int wait)
{
	union address a = make_address(text, port);
	long result = kernel_result(connect(fd, &a.any, address_length(&a)));
	int final = -result;
	socklen_t length = sizeof(final);

	if (result == -EINPROGRESS && wait) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		MUST(poll(&p, 1, -1));
		MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &final, &length));
	}
	account_begin("connect", name);
	account_number("fd", fd);
	account_address("to", &a);
	account_result(result);
	account_number("final", -final);
	account_names(fd);
	account_end();
}

static void plain(const char *name, const char *text, int port, int flags)
{
	int fd = make_socket(strchr(text, ':') ? AF_INET6 : AF_INET, flags);

	do_connect(name, fd, text, port, 1);
	close(fd);
}

static void bound(const char *text, int port)
{
	int source, placeholder = make_listener(text, 1, &source), fd = make_socket(AF_INET, 0);
	union address a = make_address(text, source);

	close(placeholder);
	MUST(bind(fd, &a.any, address_length(&a)));
	do_connect("bound", fd, text, port, 1);
	close(fd);
}

/* With the queue of the listener full, the next connection gets no answer. */
static void unanswered(const char *text)
{
	int port, full = make_listener(text, 0, &port), first = make_socket(AF_INET, 0), second;
	struct timeval soon = { .tv_usec = 50000 };
	int fd, one = 1;

	do_connect("fills-queue", first, text, port, 1);
	second = make_socket(AF_INET, SOCK_NONBLOCK);
	do_connect("closed-before", second, text, port, 0);
	close(second);
	fd = make_socket(AF_INET, 0);
	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	do_connect("send-timeout", fd, text, port, 0);
	close(fd);
	fd = make_socket(AF_INET, 0);
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &one, sizeof(one)));
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){ 500 }, sizeof(int)));
	do_connect("timed-out", fd, text, port, 1);
	close(fd);
	close(first);
	close(full);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = make_socket(AF_INET, 0);

	MUST(ioctl(fd, SIOCGIFFLAGS, &request));
	request.ifr_flags |= IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

static void every_way(void)
{
	int port4, port6, gone4, gone6, listener;

	make_listener("127.0.0.1", 64, &port4);
	make_listener("::1", 64, &port6);
	listener = make_listener("127.0.0.1", 1, &gone4);
	close(listener);
	listener = make_listener("::1", 1, &gone6);
	close(listener);

	plain("blocking", "127.0.0.1", port4, 0);
	plain("blocking", "::1", port6, 0);
	plain("v4-mapped", "::ffff:127.0.0.1", port4, 0);
	plain("non-blocking", "127.0.0.1", port4, SOCK_NONBLOCK);
	plain("non-blocking", "::1", port6, SOCK_NONBLOCK);
	bound("127.0.0.1", port4);
	plain("refused", "127.0.0.1", gone4, 0);
	plain("refused", "::1", gone6, 0);
	plain("refused-non-blocking", "127.0.0.1", gone4, SOCK_NONBLOCK);
	plain("refused-non-blocking", "::1", gone6, SOCK_NONBLOCK);
	unanswered("127.0.0.1");

	MUST(unshare(CLONE_NEWNET));
	loopback_up();
	make_listener("127.0.0.1", 64, &port4);
	plain("namespace", "127.0.0.1", port4, 0);
	plain("unreachable", "192.0.2.1", 80, 0);
	plain("unreachable", "2001:db8::1", 80, 0);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--listen") == 0) {
		every_way();
	} else if (argc == 3) {
		plain("once", argv[1], atoi(argv[2]), 0);
	} else {
		fprintf(stderr, "usage: connecter --listen | ADDRESS PORT\n");
		return 2;
	}
	return 0;
}
