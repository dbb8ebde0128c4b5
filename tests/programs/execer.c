/*
 * execer DIR NOP: executes NOP, a program that only exits, in every way that there is, and
 * fails in most, each in a child of its own. DIR is an empty directory.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "account.h"

/* An address that cannot be read. */
#define BAD_ADDRESS ((char *)1)
/* For execve, which takes none. */
#define NO_DIRFD (-1)

static char nop[PATH_MAX];
static char *environment[] = { "A=b", NULL };

static long execute(int dirfd, const char *path, char *const *argv, int flags)
{
	if (dirfd == NO_DIRFD)
		return syscall(SYS_execve, path, argv, environment);
	return syscall(SYS_execveat, dirfd, path, argv, environment, flags);
}

/* Tells where the path leads to. */
static void account_target(int dirfd, const char *path)
{
	char from[PATH_MAX + 32], real[PATH_MAX];

	if (dirfd == NO_DIRFD || dirfd == AT_FDCWD)
		snprintf(from, sizeof(from), "%s", path);
	else
		snprintf(from, sizeof(from), "/proc/self/fd/%d%s%s", dirfd, *path ? "/" : "", path);
	if (realpath(from, real))
		account_bytes("path", real);
}

/* The child tells of a failure through a pipe that a success closes. */
static void attempt(const char *name, int dirfd, const char *path, char *const *argv, int flags,
		    const char *interpreter)
{
	int tells[2], error = 0;
	pid_t child;

	MUST(pipe2(tells, O_CLOEXEC));
	child = MUST(fork());
	if (child == 0) {
		/*
		 * A call that fails early leaves the arguments unread, and a forked child has no page of its
		 * program's until it touches it: what nobody has read cannot be recorded.
		 */
		for (char *const *argument = argv; argument && *argument; argument++)
			if (*argument != BAD_ADDRESS)
				(void)*(volatile char *)*argument;
		execute(dirfd, path, argv, flags);
		MUST(write(tells[1], &errno, sizeof(errno)));
		_exit(0);
	}
	close(tells[1]);
	MUST(read(tells[0], &error, sizeof(error)));
	close(tells[0]);
	MUST(waitpid(child, NULL, 0));

	account_begin(dirfd == NO_DIRFD ? "execve" : "execveat", name);
	account_number("child", child);
	if (path != BAD_ADDRESS) {
		account_bytes("arg", path);
		account_target(dirfd, path);
	}
	if (interpreter)
		account_bytes("interpreter", interpreter);
	if (argv && argv[0] != BAD_ADDRESS)
		account_strings("argv", argv);
	account_result(-error);
	account_end();
}

static void make_file(const char *name, int mode, const char *text, ...)
{
	va_list args;
	int fd = MUST(open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));

	va_start(args, text);
	MUST(vdprintf(fd, text, args));
	va_end(args);
	close(fd);
}

#define ARGV(...) ((char *[]){ __VA_ARGS__, NULL })

static void by_path(const char *name, const char *path, char *const *argv)
{
	attempt(name, NO_DIRFD, path, argv, 0, NULL);
}

static void successes(const char *dir)
{
	char name[64], script[PATH_MAX + 32];
	char *many[1002] = { 0 };
	char *longest = calloc(1, 10001);
	int dirfd = MUST(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	/* Not closed on execution: the interpreter of a script opens it anew. */
	int nopfd = MUST(open(nop, O_PATH)), scriptfd;

	memset(longest, 'l', 10000);
	for (int i = 0; i < 1001; i++) {
		snprintf(name, sizeof(name), "argument-%d", i);
		many[i] = strdup(name);
	}
	make_file("script", 0755, "#!%s\n", nop);
	make_file("script-argument", 0755, "#! %s -x y \n", nop);
	snprintf(script, sizeof(script), "%s/script-argument", dir);
	make_file("script-nested", 0755, "#!%s\n", script);
	MUST(symlink(nop, "nop-link"));
	scriptfd = MUST(open("script", O_RDONLY));

	by_path("plain", nop, ARGV("nop", "one", "two"));
	by_path("relative", "./nop-link", ARGV("other name"));
	by_path("empty-argument", nop, ARGV("nop", "", "x", ""));
	by_path("bytes", nop, ARGV("nop", "new\nline", "\xff\xfe", "\x01", "TRACELEFT_UNIT=evil"));
	by_path("no-arguments", nop, NULL);
	by_path("long-argument", nop, ARGV("nop", longest, "last"));
	by_path("many-arguments", nop, many);
	longest[4091] = 0;
	by_path("arguments-of-4096", nop, ARGV("nop", longest));
	longest[4091] = 'l';
	longest[4092] = 0;
	by_path("arguments-of-4097", nop, ARGV("nop", longest));
	attempt("dirfd", dirfd, "nop-link", ARGV("nop"), 0, NULL);
	attempt("cwd", AT_FDCWD, "nop-link", ARGV("nop"), 0, NULL);
	attempt("empty-path", nopfd, "", ARGV("nop", "by descriptor"), AT_EMPTY_PATH, NULL);
	attempt("script", NO_DIRFD, "script", ARGV("zero", "one"), 0, nop);
	attempt("script-argument", NO_DIRFD, "./script-argument", ARGV("zero", "one"), 0, nop);
	attempt("script-nested", NO_DIRFD, "script-nested", ARGV("zero"), 0, nop);
	attempt("script-by-descriptor", scriptfd, "", ARGV("zero"), AT_EMPTY_PATH, nop);
}

static void failures(void)
{
	char *huge = calloc(1, 200001);
	int writer;

	memset(huge, 'h', 200000);
	make_file("no-x-bit", 0644, "#!%s\n", nop);
	make_file("garbage", 0755, "neither a program nor a script\n");
	make_file("script-astray", 0755, "#!/no/such/interpreter\n");
	make_file("busy", 0755, "#!%s\n", nop);
	MUST(symlink("loop", "loop"));

	by_path("no-entry", "nothing", ARGV("nothing", "one"));
	attempt("no-interpreter", NO_DIRFD, "script-astray", ARGV("script-astray"), 0,
		"/no/such/interpreter");
	by_path("access", "no-x-bit", ARGV("no-x-bit"));
	by_path("access-directory", ".", ARGV("directory"));
	by_path("no-format", "garbage", ARGV("garbage", "one"));
	by_path("too-big", nop, ARGV("nop", huge));
	by_path("loop", "loop", ARGV("loop"));
	attempt("loop-nofollow", AT_FDCWD, "nop-link", ARGV("nop"), AT_SYMLINK_NOFOLLOW, NULL);
	by_path("fault", BAD_ADDRESS, ARGV("fault"));
	by_path("fault-argument", nop, ARGV(BAD_ADDRESS));
	by_path("not-a-directory", "garbage/x", ARGV("x"));
	writer = MUST(open("busy", O_WRONLY | O_CLOEXEC));
	by_path("busy", "busy", ARGV("busy"));
	close(writer);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: execer DIR NOP\n");
		return 2;
	}
	umask(0);
	if (!realpath(argv[2], nop))
		die(argv[2]);
	MUST(chdir(argv[1]));
	successes(argv[1]);
	failures();
	return 0;
}
