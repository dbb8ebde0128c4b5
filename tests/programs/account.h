/*
 * The account: one JSON object a line on standard output, written by the program
 * itself about what it did. Bytes (paths, arguments) are in hexadecimal, so that any
 * byte arrives. Nothing here opens a file.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char account_line[1 << 20];
static size_t account_length;

__attribute__((noreturn)) static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(99);
}

/* For what the test needs and does not watch. */
#define MUST(call)                                      \
	({                                              \
		__typeof__(call) result_ = call;        \
		if (result_ == (__typeof__(result_))-1) \
			die(#call);                     \
		result_;                                \
	})

__attribute__((format(printf, 1, 2))) static inline void account_add(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	account_length +=
		vsnprintf(account_line + account_length, sizeof(account_line) - account_length, format, args);
	va_end(args);
	if (account_length >= sizeof(account_line))
		die("the account has a line that is too long");
}

static inline void account_number(const char *key, long long value)
{
	account_add(",\"%s\":%lld", key, value);
}

/* For what needs no escapes. */
static inline void account_word(const char *key, const char *value)
{
	account_add(",\"%s\":\"%s\"", key, value);
}

static inline void account_hex(const char *bytes, size_t length)
{
	account_add("\"");
	for (size_t i = 0; i < length; i++)
		account_add("%02x", (unsigned char)bytes[i]);
	account_add("\"");
}

static inline void account_bytes(const char *key, const char *string)
{
	account_add(",\"%s\":", key);
	account_hex(string, strlen(string));
}

static inline void account_strings(const char *key, char *const *strings)
{
	account_add(",\"%s\":[", key);
	for (size_t i = 0; strings[i]; i++) {
		account_add(i ? "," : "");
		account_hex(strings[i], strlen(strings[i]));
	}
	account_add("]");
}

/* Begins a line: what was done, and by whom. */
static inline void account_begin(const char *call, const char *name)
{
	account_length = 0;
	account_add("{\"call\":\"%s\",\"name\":\"%s\"", call, name);
	account_number("pid", getpid());
	account_number("ppid", getppid());
	account_number("tid", syscall(SYS_gettid));
	account_number("uid", getuid());
	account_number("gid", getgid());
	if (getenv("INVOCATION_ID"))
		account_word("invocation", getenv("INVOCATION_ID"));
}

/* The result as the kernel gave it: a value, or a negative errno. */
static inline void account_result(long result)
{
	account_number("result", result);
	if (result < 0)
		account_word("errno", strerrorname_np(-result));
}

/* Ends the line. It is one write, so lines of several processes do not mix. */
static inline void account_end(void)
{
	account_add("}\n");
	MUST(write(STDOUT_FILENO, account_line, account_length));
}

/* What syscall() says, as the kernel said it. */
static inline long kernel_result(long result)
{
	return result == -1 ? -errno : result;
}

#endif
