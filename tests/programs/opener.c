/*
 * opener DIR: opens in every way that there is and fails in most, in the empty directory
 * DIR. System calls are made by number, since the C library makes openat of open.
 * Files are made with mknod, which opens nothing: every open is in the account.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "account.h"

#define NOBODY 65534
/* An address that cannot be read. */
#define BAD_ADDRESS ((const char *)1)

static char base[PATH_MAX];

/* A path in DIR, absolute. */
static const char *in_base(const char *name)
{
	static char path[PATH_MAX + 256];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

/* Tells the rest of an open: what came of it. Gives the descriptor, or less than 0. */
static int opened(long result)
{
	result = kernel_result(result);
	account_result(result);
	if (result >= 0) {
		char link[64], target[PATH_MAX];
		struct stat st;
		ssize_t length;

		snprintf(link, sizeof(link), "/proc/self/fd/%ld", result);
		length = readlink(link, target, sizeof(target) - 1);
		/* In a chroot there is no /proc: the one who calls knows the path. */
		if (length >= 0) {
			target[length] = 0;
			account_bytes("path", target);
		}
		MUST(fstat(result, &st));
		account_number("major", major(st.st_dev));
		account_number("minor", minor(st.st_dev));
		account_number("inode", st.st_ino);
		account_number("st_mode", st.st_mode);
	}
	account_end();
	return result;
}

/* Where a relative path begins, if dirfd is open. */
static void account_base(int dirfd)
{
	char link[64] = "/proc/self/cwd", target[PATH_MAX];
	ssize_t length;

	if (dirfd != AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		return;
	target[length] = 0;
	account_bytes("base", target);
}

static void account_open(const char *call, const char *name, int dirfd, const char *path, int flags,
			 unsigned int mode)
{
	account_begin(call, name);
	account_number("dirfd", dirfd);
	if (path && path != BAD_ADDRESS) {
		account_bytes("arg", path);
		if (path[0] != '/')
			account_base(dirfd);
	}
	account_number("flags", flags);
	account_number("mode", mode);
}

static int do_open(const char *name, const char *path, int flags, int mode)
{
	account_open("open", name, AT_FDCWD, path, flags, mode);
	return opened(syscall(SYS_open, path, flags, mode));
}

static int do_creat(const char *name, const char *path, int mode)
{
	account_open("creat", name, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
	return opened(syscall(SYS_creat, path, mode));
}

static int do_openat(const char *name, int dirfd, const char *path, int flags, int mode)
{
	account_open("openat", name, dirfd, path, flags, mode);
	return opened(syscall(SYS_openat, dirfd, path, flags, mode));
}

static int do_openat2(const char *name, int dirfd, const char *path, int flags, int mode, int resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };

	account_open("openat2", name, dirfd, path, flags, mode);
	account_number("resolve", resolve);
	return opened(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}

static void in_child(void (*action)(void))
{
	pid_t child = MUST(fork());
	int status;

	if (child == 0) {
		action();
		_exit(0);
	}
	MUST(waitpid(child, &status, 0));
	if (status != 0)
		exit(98);
}

static void make_file(const char *path)
{
	MUST(mknod(path, S_IFREG | 0644, 0));
}

static void ways(void)
{
	int dirfd;

	do_open("plain", in_base("file"), O_RDONLY, 0);
	do_open("relative", "file", O_RDONLY, 0);
	do_open("dots", "../././sub/../sub//file2", O_RDONLY, 0);
	do_open("cloexec", "file", O_RDWR | O_CLOEXEC, 0);
	do_open("append", "file", O_WRONLY | O_APPEND | O_NONBLOCK, 0);
	do_open("truncate", "file", O_WRONLY | O_TRUNC, 0);
	do_open("created", "created", O_RDWR | O_CREAT, 0640);
	do_open("exclusive", "exclusive", O_WRONLY | O_CREAT | O_EXCL, 0600);
	do_open("set-user-id", "set-user-id", O_WRONLY | O_CREAT | O_EXCL, 04755);
	do_open("o-path", "file", O_PATH, 0);
	do_open("o-path-symlink", "link", O_PATH | O_NOFOLLOW, 0);
	do_open("tmpfile", ".", O_RDWR | O_TMPFILE, 0600);
	do_open("symlink", "link", O_RDONLY, 0);
	do_open("symlink-directory", "dirlink/file2", O_RDONLY, 0);
	do_open("device", "/dev/null", O_RDWR, 0);
	do_open("root", "/", O_RDONLY | O_DIRECTORY, 0);
	do_open("proc", "/proc/self/status", O_RDONLY, 0);
	do_creat("creat", "creat", 0604);
	dirfd = do_openat("directory", AT_FDCWD, "../sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	do_openat("cwd", AT_FDCWD, "file", O_RDONLY, 0);
	do_openat("dirfd", dirfd, "file2", O_RDONLY, 0);
	do_openat("dirfd-unused", dirfd, in_base("file"), O_RDONLY, 0);
	do_openat("proc-fd", AT_FDCWD, "/proc/self/fd/3", O_RDONLY, 0);
	do_openat2("plain2", AT_FDCWD, "file", O_RDONLY | O_CLOEXEC, 0, 0);
	do_openat2("beneath", dirfd, "file2", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	do_openat2("in-root", dirfd, "/file2", O_RDONLY, 0, RESOLVE_IN_ROOT);
	do_openat2("created2", dirfd, "created2", O_RDWR | O_CREAT, 0600, 0);
	do_openat2("beneath-fails", dirfd, "../main/file", O_RDONLY, 0, RESOLVE_BENEATH);
	do_openat2("no-symlinks-fails", AT_FDCWD, "link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS);
	do_openat2("bad-flags", AT_FDCWD, "file", O_RDONLY, 0600, 0);
}

static void failures(void)
{
	char name[NAME_MAX + 2];
	struct rlimit few = { 3, 3 };

	do_open("no-entry", "nothing", O_RDONLY, 0);
	do_open("no-entry-directory", "nothing/at/all", O_RDONLY, 0);
	do_open("no-entry-symlink", "dangling", O_RDONLY, 0);
	do_open("no-entry-empty", "", O_RDONLY, 0);
	do_open("not-a-directory", "file/x", O_RDONLY, 0);
	do_open("not-a-directory-flag", "file", O_RDONLY | O_DIRECTORY, 0);
	do_open("is-a-directory", "../sub", O_WRONLY, 0);
	do_open("loop", "loop", O_RDONLY, 0);
	do_open("loop-nofollow", "link", O_RDONLY | O_NOFOLLOW, 0);
	do_open("exists", "file", O_WRONLY | O_CREAT | O_EXCL, 0600);
	do_open("fault", BAD_ADDRESS, O_RDONLY, 0);
	do_openat("bad-dirfd", 999, "file", O_RDONLY, 0);
	do_openat("file-as-dirfd", STDOUT_FILENO, "file", O_RDONLY, 0);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	do_open("name-too-long", name, O_RDONLY, 0);
	MUST(setrlimit(RLIMIT_NOFILE, &few));
	do_open("too-many-files", "file", O_RDONLY, 0);
}

static void as_nobody(void)
{
	MUST(setresgid(NOBODY, NOBODY, NOBODY));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	do_open("access", "secret", O_RDONLY, 0);
	do_open("access-directory", "locked/file", O_RDONLY, 0);
	do_open("access-create", "not-mine", O_WRONLY | O_CREAT, 0600);
	do_open("as-nobody", "file", O_RDONLY, 0);
}

static void in_chroot(void)
{
	MUST(chroot("../sub"));
	do_open("chroot", "/file2", O_RDONLY, 0);
	do_open("chroot-fails", "/nothing", O_RDONLY, 0);
}

static void strange_names(void)
{
	static const char *const names[] = {
		"new\nline",
		"\nTRACELEFT_UNIT=evil",
		"control\x01\x1b[31m\x7f",
		"invalid\xff\xfe\xc3(",
		"tab\tquote\"back\\slash",
		"\xc3\xa9t\xc3\xa9",
		" blank ",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		make_file(names[i]);
		do_open("strange", names[i], O_RDONLY, 0);
	}
	do_open("strange-fails", "no\nsuch\xff", O_RDONLY, 0);
}

/* The longest path that open takes, made of nested directories, and one byte more. */
static void long_path(void)
{
	char path[PATH_MAX + 1], part[201];
	size_t length;

	memset(part, 'd', sizeof(part) - 1);
	part[sizeof(part) - 1] = 0;
	length = snprintf(path, sizeof(path), "%s", base);
	while (length + 1 + strlen(part) + 2 < PATH_MAX) {
		MUST(mkdir(part, 0755));
		MUST(chdir(part));
		length += sprintf(path + length, "/%s", part);
	}
	path[length++] = '/';
	memset(path + length, 'f', PATH_MAX - 1 - length);
	path[PATH_MAX - 1] = 0;
	make_file(path + length);
	do_open("longest", path, O_RDONLY, 0);
	do_open("longest-relative", path + length, O_RDONLY, 0);
	path[PATH_MAX - 2] = 'x';
	do_open("longest-fails", path, O_RDONLY, 0);
	path[PATH_MAX - 1] = 'f';
	path[PATH_MAX] = 0;
	do_open("path-too-long", path, O_RDONLY, 0);
	MUST(chdir(base));
}

static void by_handle(void)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[MAX_HANDLE_SZ];
	} h = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount_fd = do_open("mount", base, O_RDONLY | O_DIRECTORY, 0), mount_id;

	MUST(name_to_handle_at(AT_FDCWD, "file", &h.handle, &mount_id, 0));
	account_open("open_by_handle_at", "handle", mount_fd, NULL, O_RDONLY, 0);
	opened(syscall(SYS_open_by_handle_at, mount_fd, &h.handle, O_RDONLY));
}

int main(int argc, char **argv)
{
	char root[PATH_MAX];

	if (argc != 2) {
		fprintf(stderr, "usage: opener DIR\n");
		return 2;
	}
	/* What is there must come out as asked. */
	umask(0);
	MUST(chdir(argv[1]));
	MUST(mkdir("main", 0755));
	MUST(mkdir("sub", 0755));
	make_file("sub/file2");
	MUST(chdir("main"));
	if (!getcwd(root, sizeof(root)))
		die("getcwd");
	strcpy(base, root);
	make_file("file");
	make_file("secret");
	MUST(chmod("secret", 0600));
	MUST(mkdir("locked", 0700));
	make_file("locked/file");
	MUST(symlink("file", "link"));
	MUST(symlink("../sub", "dirlink"));
	MUST(symlink("nowhere", "dangling"));
	MUST(symlink("loop", "loop"));

	ways();
	strange_names();
	long_path();
	by_handle();
	in_child(as_nobody);
	in_child(in_chroot);
	in_child(failures);
	return 0;
}
