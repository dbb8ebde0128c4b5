/*
 * udp-sender: sends datagrams in every way that there is, to sockets of its own. Tells of those of their socket to a
 * destination until the first that is sent.
 */
#include <linux/net.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "sockets.h"

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif

enum {
	KNOWN,
	FIRST
};

static int way;

static int make(int family, int protocol)
{
	return MUST(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, protocol));
}

static struct name receiver(const char *text, int *fd)
{
	struct name n = inet_name(text, 0);

	*fd = make(n.address.any.sa_family, 0);
	MUST(bind(*fd, &n.address.any, n.length));
	return local_name(*fd);
}

static void tell(int first, const char *name, const char *call, int fd, const struct name *to, long result)
{
	struct name own = local_name(fd);

	if (!first)
		return;
	account_begin("udp-send", name);
	account_word("syscall", call);
	account_socket(fd);
	account_result(result);
	account_inet("s", &own);
	if (to)
		account_inet("d", to);
	account_end();
}

static long send_bytes(int fd, const void *bytes, size_t length, int flags, const struct name *to)
{
	long args[6] = { fd, (long)bytes, length, flags, to ? (long)&to->address : 0, to ? to->length : 0 };

	return socket_call(way, SYS_sendto, SYS_SENDTO, args);
}

static void do_sendto(int first, const char *name, int fd, size_t length, const struct name *to)
{
	static const char bytes[100000];

	tell(first, name, way_name(way, "sendto"), fd, to, send_bytes(fd, bytes, length, 0, to));
}

static struct msghdr message(const struct name *to)
{
	static struct iovec part = { "hello", 5 };

	return (struct msghdr){ .msg_name = to ? (void *)&to->address : NULL,
				.msg_namelen = to ? to->length : 0,
				.msg_iov = &part,
				.msg_iovlen = 1 };
}

static void do_sendmsg(int first, const char *name, int fd, const struct name *to,
		       const struct name *connected)
{
	struct msghdr m = message(to);
	long args[6] = { fd, (long)&m, 0 };

	tell(first, name, way_name(way, "sendmsg"), fd, to ? to : connected,
	     socket_call(way, SYS_sendmsg, SYS_SENDMSG, args));
}

/* Two destinations, the first of which is known. */
static void do_sendmmsg(int fd, const struct name *known, const struct name *first)
{
	struct mmsghdr m[3] = { { .msg_hdr = message(known) },
				{ .msg_hdr = message(first) },
				{ .msg_hdr = message(first) } };
	long args[6] = { fd, (long)m, 3, 0 };

	if (socket_call(way, SYS_sendmmsg, SYS_SENDMMSG, args) != 3)
		die("sendmmsg");
	tell(FIRST, "several", way_name(way, "sendmmsg"), fd, first, m[1].msg_len);
}

static void ipv4(void)
{
	int a_fd, b_fd, fd = make(AF_INET, 0), one = 1, number;
	struct name a = receiver("127.0.0.1", &a_fd), b = receiver("127.0.0.2", &b_fd), n;

	do_sendto(FIRST, "first", fd, 5, &a);
	do_sendto(KNOWN, "second", fd, 5, &a);
	do_sendto(FIRST, "too-large", fd, 70000, &b);
	do_sendto(FIRST, "nothing", fd, 0, &b);
	do_sendto(KNOWN, "nothing-again", fd, 0, &b);
	do_sendto(FIRST, "no-address-of-ours", fd, 3, (n = inet_name("127.0.0.3", 9), &n));
	do_sendto(FIRST, "port-0", fd, 3, (n = inet_name("127.0.0.1", 0), &n));
	do_sendto(FIRST, "broadcast-refused", fd, 3, (n = inet_name("127.255.255.255", 9), &n));
	MUST(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)));
	do_sendto(FIRST, "broadcast", fd, 3, &n);
	tell(FIRST, "unconnected", way_name(way, "sendto"), fd, NULL, send_bytes(fd, "x", 1, 0, NULL));
	n = inet_name("127.0.0.4", 9);
	tell(FIRST, "fault", way_name(way, "sendto"), fd, &n, send_bytes(fd, (void *)8, 1, 0, &n));
	n = b;
	n.address.any.sa_family = AF_UNIX;
	tell(FIRST, "wrong-family", way_name(way, "sendto"), fd, NULL, send_bytes(fd, "x", 1, 0, &n));
	number = fd;
	close(fd);

	/* The same number, not the same socket. */
	fd = make(AF_INET, 0);
	if (fd != number)
		die("another descriptor");
	do_sendmsg(FIRST, "message", fd, &a, NULL);
	do_sendmmsg(fd, &a, &b);
	do_sendmsg(KNOWN, "message-again", fd, &b, NULL);
	close(fd);

	fd = make(AF_INET, 0);
	MUST(connect(fd, &a.address.any, a.length));
	tell(FIRST, "written", "write", fd, &a, kernel_result(syscall(SYS_write, fd, "hello", 5)));
	do_sendmsg(KNOWN, "connected-again", fd, NULL, &a);
	do_sendto(KNOWN, "named-again", fd, 2, &a);
	do_sendmsg(FIRST, "another-of-connected", fd, &b, NULL);
	close(fd);

	fd = make(AF_INET, 0);
	MUST(connect(fd, &b.address.any, b.length));
	do_sendmsg(FIRST, "connected", fd, NULL, &b);
	MUST(connect(fd, &a.address.any, a.length));
	tell(FIRST, "several-parts", "writev", fd, &a,
	     kernel_result(syscall(SYS_writev, fd, &(struct iovec){ "hello", 5 }, 1)));
	close(fd);

	/* The error of the first comes back to the second; the destination is known by then. */
	fd = make(AF_INET, 0);
	close(b_fd);
	MUST(connect(fd, &b.address.any, b.length));
	do_sendmsg(FIRST, "nobody-there", fd, NULL, &b);
	do_sendmsg(KNOWN, "refused", fd, NULL, &b);
	close(fd);

	/* Not in the event: UDP-Lite. */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);
	if (fd >= 0) {
		MUST(sendto(fd, "x", 1, 0, &a.address.any, a.length));
		close(fd);
	}
	close(a_fd);
}

static void ipv6(void)
{
	int a_fd, b_fd, fd = make(AF_INET6, 0), only = make(AF_INET6, 0), one = 1;
	struct name a = receiver("::1", &a_fd), b = receiver("127.0.0.1", &b_fd), n;

	do_sendto(FIRST, "ipv6", fd, 5, &a);
	do_sendto(KNOWN, "ipv6-again", fd, 5, &a);
	n = inet_name("::ffff:127.0.0.1", name_port(&b));
	do_sendto(FIRST, "mapped", fd, 5, &n);
	do_sendto(KNOWN, "mapped-again", fd, 5, &n);
	/* The same destination in other words. */
	do_sendto(KNOWN, "ipv4-of-ipv6", fd, 5, &b);
	close(fd);

	fd = make(AF_INET6, 0);
	do_sendto(FIRST, "ipv4-first", fd, 5, &b);
	close(fd);
	fd = make(AF_INET6, 0);
	MUST(connect(fd, &n.address.any, n.length));
	do_sendmsg(FIRST, "mapped-connected", fd, NULL, &n);
	close(fd);
	fd = make(AF_INET6, 0);
	MUST(connect(fd, &a.address.any, a.length));
	do_sendmsg(FIRST, "ipv6-connected", fd, NULL, &a);
	close(fd);

	MUST(setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)));
	do_sendto(FIRST, "ipv6-only", only, 5, &n);
	close(only);
	close(a_fd);
	close(b_fd);
}

/* A network namespace of its own, where loopback has multicast. */
static void multicast(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = make(AF_INET, 0);
	struct name to = inet_name("224.0.0.251", 5353);
	struct in_addr loopback = { htonl(INADDR_LOOPBACK) };

	MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof(loopback)));
	do_sendto(FIRST, "multicast", fd, 5, &to);
	do_sendto(KNOWN, "multicast-again", fd, 5, &to);
	close(fd);

	MUST(unshare(CLONE_NEWNET));
	fd = make(AF_INET, 0);
	do_sendto(FIRST, "no-network", fd, 5, (to = inet_name("192.0.2.1", 53), &to));
	request.ifr_flags = IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	do_sendto(FIRST, "own-network", fd, 5, (to = inet_name("127.0.0.1", 53), &to));
	close(fd);
}

int main(void)
{
	for (way = 0; way < WAYS; way++) {
		ipv4();
		ipv6();
	}
	way = 0;
	multicast();
	return 0;
}
