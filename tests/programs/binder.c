/*
 * binder DIR: gives sockets their addresses, and has them listen, in every way that there is. Its working directory
 * is DIR.
 */
#include <linux/if_packet.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <fcntl.h>

#include "sockets.h"

static int way;

static void tell(const char *event, const char *name, int fd, long result)
{
	account_begin(event, name);
	account_word("syscall", way_name(way, event));
	account_socket(fd);
	account_result(result);
}

/* The address passed is asked for at `from`, which may be no memory. */
static long do_bind_at(const char *name, int fd, const void *from, const struct name *asked)
{
	long args[6] = { fd, (long)from, (int)asked->length };
	long result = socket_call(way, SYS_bind, SYS_BIND, args);

	tell("bind", name, fd, result);
	if (result == 0) {
		struct name got = local_name(fd);
		int family = got.address.any.sa_family;

		if (family == AF_INET || family == AF_INET6)
			account_inet("s", &got);
		if (family == AF_UNIX && asked->length > sizeof(sa_family_t))
			account_unix(asked, 1);
		else if (family == AF_UNIX)
			account_unix(&got, 1);
	}
	return result;
}

static long do_bind(const char *name, int fd, struct name asked)
{
	long result = do_bind_at(name, fd, &asked.address, &asked);
	int family = asked.address.any.sa_family;

	if (result < 0 && (family == AF_INET || family == AF_INET6) &&
	    asked.length >= sizeof(asked.address.v4)) {
		account_inet("s", &asked);
		account_number("asked_family", family);
	}
	if (result < 0 && family == AF_UNIX)
		account_unix(&asked, 0);
	account_end();
	return result;
}

/* What is passed is no address that the kernel would look at. */
static void bad_bind(const char *name, int fd, const void *from, socklen_t length)
{
	struct name asked = { .length = length };

	do_bind_at(name, fd, from, &asked);
	account_end();
}

static void do_listen(const char *name, int fd, int backlog)
{
	long args[6] = { fd, backlog };
	long result = socket_call(way, SYS_listen, SYS_LISTEN, args);
	struct name own = { .length = sizeof(own.address) };

	tell("listen", name, fd, result);
	account_number("backlog", backlog);
	if (getsockname(fd, &own.address.any, &own.length) == 0) {
		int family = own.address.any.sa_family;
		const char *path = own.address.un.sun_path;

		if (family == AF_INET || family == AF_INET6)
			account_inet("s", &own);
		if (family == AF_UNIX && own.length > sizeof(sa_family_t) && !path[0])
			account_unix(&own, 0);
		if (family == AF_UNIX && own.length > sizeof(sa_family_t) && path[0])
			account_place(path, 1);
	}
	account_end();
}

static int make(int family, int type, int protocol)
{
	return MUST(socket(family, type | SOCK_CLOEXEC, protocol));
}

static void internet(void)
{
	int tcp = make(AF_INET, SOCK_STREAM, 0), other = make(AF_INET, SOCK_STREAM, 0), port, one = 1;
	int six = make(AF_INET6, SOCK_STREAM, 0), fd;
	struct name n = inet_name("127.0.0.1", 0);

	do_bind("port-chosen", tcp, n);
	n = local_name(tcp);
	port = name_port(&n);
	do_bind("in-use", other, n);
	do_bind("bound-already", tcp, inet_name("127.0.0.1", 0));
	do_bind("no-address-of-ours", other, inet_name("192.0.2.1", 80));
	do_bind("wrong-family", other, inet_name("::1", 80));
	do_bind("any", other, inet_name("0.0.0.0", 0));
	do_listen("listen", tcp, 7);
	do_listen("again", tcp, 100000);
	do_listen("negative", other, -1);
	close(other);
	close(tcp);

	tcp = make(AF_INET, SOCK_STREAM, 0);
	do_bind("port-given", tcp, inet_name("127.0.0.1", port));
	close(tcp);
	tcp = make(AF_INET, SOCK_STREAM, 0);
	do_listen("unbound", tcp, 1);
	close(tcp);

	n = inet_name("0.0.0.0", 0);
	n.address.any.sa_family = AF_UNSPEC;
	tcp = make(AF_INET, SOCK_STREAM, 0);
	do_bind("no-family", tcp, n);
	close(tcp);

	do_bind("short", six, (struct name){ inet_name("::1", 80).address, 8 });
	do_bind("ipv4-address", six, inet_name("127.0.0.1", 80));
	do_bind("ipv6", six, inet_name("::1", 0));
	do_listen("ipv6", six, 3);
	close(six);
	six = make(AF_INET6, SOCK_STREAM, 0);
	do_bind("mapped", six, inet_name("::ffff:127.0.0.1", 0));
	do_listen("mapped", six, 3);
	close(six);

	/* Two may have a port, but one may listen there. */
	tcp = make(AF_INET, SOCK_STREAM, 0);
	other = make(AF_INET, SOCK_STREAM, 0);
	MUST(setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	do_bind("shared", tcp, inet_name("127.0.0.1", 0));
	do_bind("shared", other, local_name(tcp));
	do_listen("shared", tcp, 1);
	do_listen("shared-already", other, 1);
	close(other);
	close(tcp);

	fd = make(AF_INET, SOCK_DGRAM, 0);
	do_bind("udp", fd, inet_name("127.0.0.1", 0));
	do_listen("udp", fd, 1);
	close(fd);
	fd = make(AF_INET, SOCK_DGRAM, 0);
	do_bind("multicast", fd, inet_name("224.0.0.251", 0));
	close(fd);
	fd = make(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	do_bind("raw", fd, inet_name("127.0.0.1", 0));
	close(fd);
}

static void others(void)
{
	struct sockaddr_nl netlink = { .nl_family = AF_NETLINK };
	struct sockaddr_ll packet = { .sll_family = AF_PACKET,
				      .sll_protocol = htons(0x88b5),
				      .sll_ifindex = 1 };
	struct sockaddr_vm vsock = { .svm_family = AF_VSOCK,
				     .svm_port = VMADDR_PORT_ANY,
				     .svm_cid = VMADDR_CID_ANY };
	int fd = make(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	bad_bind("netlink", fd, &netlink, sizeof(netlink));
	close(fd);
	fd = make(AF_PACKET, SOCK_RAW, 0);
	bad_bind("packet", fd, &packet, sizeof(packet));
	close(fd);
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	bad_bind("vsock", fd, &vsock, sizeof(vsock));
	do_listen("vsock", fd, 1);
	close(fd);
}

static void unix_sockets(const char *dir)
{
	char path[PATH_MAX], longest[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd = make(AF_UNIX, SOCK_STREAM, 0), other = make(AF_UNIX, SOCK_STREAM, 0);

	do_listen("unix-unbound", fd, 1);
	snprintf(path, sizeof(path), "%s/absolute", dir);
	do_bind("unix", fd, unix_name(path));
	do_bind("unix-in-use", other, unix_name("absolute"));
	do_bind("unix-no-directory", other, unix_name("none/socket"));
	do_bind("unix-bytes", other, unix_name("./a\n\xff b"));
	do_listen("unix", fd, 5);
	do_listen("unix-bytes", other, 0);
	close(fd);
	close(other);
	MUST(unlink("absolute"));
	MUST(unlink("a\n\xff b"));

	memset(longest, 'x', sizeof(longest));
	fd = make(AF_UNIX, SOCK_SEQPACKET, 0);
	do_bind("unix-longest", fd, unix_bytes(longest, sizeof(longest)));
	do_listen("unix-seqpacket", fd, 5);
	close(fd);
	MUST(unlinkat(AT_FDCWD, strndupa(longest, sizeof(longest)), 0));

	fd = make(AF_UNIX, SOCK_DGRAM, 0);
	do_bind("unix-datagram", fd, unix_name("datagram"));
	do_listen("unix-datagram", fd, 5);
	close(fd);
	MUST(unlink("datagram"));

	fd = make(AF_UNIX, SOCK_STREAM, 0);
	other = make(AF_UNIX, SOCK_STREAM, 0);
	do_bind("abstract", fd, unix_bytes("\0traceleft\0test\n\xff", 17));
	do_bind("abstract-in-use", other, unix_bytes("\0traceleft\0test\n\xff", 17));
	do_listen("abstract", fd, 5);
	do_bind("abstract-chosen", other, unix_bytes("", 0));
	close(fd);
	close(other);
}

static void bad(void)
{
	static const char room[256];
	int fd = make(AF_INET, SOCK_STREAM, 0), closed = dup(fd), file = STDIN_FILENO;

	close(closed);
	bad_bind("fault", fd, (void *)8, 16);
	bad_bind("empty", fd, room, 0);
	bad_bind("too-long", fd, room, 129);
	bad_bind("negative", fd, room, -1);
	bad_bind("no-descriptor", -1, room, 16);
	bad_bind("closed", closed, room, 16);
	bad_bind("no-socket", file, room, 16);
	do_listen("no-descriptor", -1, 1);
	do_listen("closed", closed, 2);
	do_listen("no-socket", file, 3);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1])) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 2;
	}
	for (way = 0; way < WAYS; way++) {
		internet();
		others();
		unix_sockets(argv[1]);
		bad();
	}
	return 0;
}
