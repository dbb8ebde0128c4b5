/* What a test program says of a socket and of addresses, as the kernel tells it afterwards. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "account.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	char bytes[256];
};

/* An address and its length as it is passed. */
struct name {
	union address address;
	socklen_t length;
};

static inline struct name inet_name(const char *text, int port)
{
	struct name n = { 0 };

	if (inet_pton(AF_INET, text, &n.address.v4.sin_addr) == 1) {
		n.address.v4.sin_family = AF_INET;
		n.address.v4.sin_port = htons(port);
		n.length = sizeof(n.address.v4);
	} else if (inet_pton(AF_INET6, text, &n.address.v6.sin6_addr) == 1) {
		n.address.v6.sin6_family = AF_INET6;
		n.address.v6.sin6_port = htons(port);
		n.length = sizeof(n.address.v6);
	} else {
		errno = EINVAL;
		die(text);
	}
	return n;
}

/* Of so many bytes, without a NUL at the end. */
static inline struct name unix_bytes(const char *bytes, size_t length)
{
	struct name n = { .address.un.sun_family = AF_UNIX };

	memcpy(n.address.un.sun_path, bytes, length);
	n.length = offsetof(struct sockaddr_un, sun_path) + length;
	return n;
}

static inline struct name unix_name(const char *path)
{
	return unix_bytes(path, strlen(path) + 1);
}

static inline struct name local_name(int fd)
{
	struct name n = { .length = sizeof(n.address) };

	MUST(getsockname(fd, &n.address.any, &n.length));
	return n;
}

static inline int name_port(const struct name *n)
{
	return ntohs(n->address.v4.sin_port);
}

static inline void account_text(const char *key, const char *bytes, size_t length)
{
	account_add(",\"%s\":", key);
	account_hex(bytes, length);
}

/* Address and port, called KEYaddr and KEYport. */
static inline void account_inet(const char *key, const struct name *n)
{
	int family = n->address.any.sa_family;
	char text[INET6_ADDRSTRLEN], full[16];
	const void *bytes =
		family == AF_INET6 ? (void *)&n->address.v6.sin6_addr : (void *)&n->address.v4.sin_addr;

	inet_ntop(family == AF_INET6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
	snprintf(full, sizeof(full), "%saddr", key);
	account_word(full, text);
	snprintf(full, sizeof(full), "%sport", key);
	account_number(full, name_port(n));
}

/* Where a path leads; where it does not, or that is not asked, its place as far as the path itself says. */
static inline void account_place(const char *arg, int look)
{
	char path[2 * PATH_MAX];
	struct stat st;

	if (look && realpath(arg, path) && stat(path, &st) == 0) {
		account_bytes("path", path);
		account_number("major", major(st.st_dev));
		account_number("minor", minor(st.st_dev));
		account_number("inode", st.st_ino);
		return;
	}
	path[0] = 0;
	if (arg[0] != '/') {
		if (!getcwd(path, PATH_MAX))
			die("getcwd");
		strcat(path, "/");
	}
	strncat(path, arg, PATH_MAX);
	account_bytes("path", path);
}

/* A unix name, and where it leads. */
static inline void account_unix(const struct name *n, int look)
{
	const char *path = n->address.un.sun_path;
	size_t offset = offsetof(struct sockaddr_un, sun_path), length = n->length - offset;
	char copy[PATH_MAX] = "";

	if (n->length <= offset || n->length > sizeof(n->address.un))
		return;
	if (!path[0]) {
		account_text("abstract", path + 1, length - 1);
		return;
	}
	memcpy(copy, path, length);
	account_bytes("path_arg", copy);
	account_place(copy, look);
}

/* What it is; nothing of what is no socket. */
static inline void account_socket(int fd)
{
	static ino_t net_ns;
	int family, type;
	socklen_t length = sizeof(int);
	struct stat st;

	if (fd >= 0)
		account_number("fd", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length))
		return;
	MUST(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length));
	account_number("family", family);
	account_number("type", type);
	/* In a chroot there is no /proc; the namespace is still the one of before. */
	if (stat("/proc/self/ns/net", &st) == 0)
		net_ns = st.st_ino;
	account_number("net_ns", net_ns);
}

/*
 * A call of sockets: by itself, or by the one that 32-bit programs had instead until Linux 4.3.
 * An argument is as wide as a register.
 */
static inline long socket_call(int multiplexed, long number, int which, const long *args)
{
#ifdef SYS_socketcall
	if (multiplexed)
		return kernel_result(syscall(SYS_socketcall, which, args));
#endif
	(void)multiplexed;
	(void)which;
	return kernel_result(syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]));
}

/* Both, where there are both. */
#ifdef SYS_socketcall
#define WAYS 2
#else
#define WAYS 1
#endif

static inline const char *way_name(int multiplexed, const char *name)
{
	return multiplexed ? "socketcall" : name;
}

#endif
