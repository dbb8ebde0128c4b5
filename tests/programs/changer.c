/*
 * changer DIR: changes mode, owner, length and attributes of files in every way that there is, and fails in most.
 * DIR has mounts that the test has made: ro (read-only, with a file), bind (DIR/tree once more), over (an overlay
 * over DIR/tree).
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "directory.h"

#define BAD_ADDRESS ((char *)1)
#define NO_FD (-1)
#define LARGE_FILE 0100000
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define SYS_setxattrat_ 463

/*
 * Begins a line of the account: what was passed, and what the record must have as path. An `at` that is open
 * gives the identity of the file.
 */
static void begin(const char *event, const char *call, const char *name, const char *arg, const char *path,
		  int fd, int at)
{
	struct stat st;

	account_begin(call, name);
	account_word("event", event);
	if (arg && arg != BAD_ADDRESS)
		account_bytes("arg", arg);
	if (path)
		account_bytes("path", path);
	if (fd != NO_FD)
		account_number("fd", fd);
	if (at == NO_FD)
		return;
	MUST(fstat(at, &st));
	account_file(&st);
}

static void end(long result)
{
	result = kernel_result(result);
	if (result == -ENOSYS)
		return;
	account_result(result);
	account_end();
}

static int identity(const char *path)
{
	return path ? open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : NO_FD;
}

/* All calls by a name, and by a descriptor; `found` is the file that the kernel comes to, if it does. */
static void chmod_by_name(const char *call, const char *name, int dfd, const char *arg, int mode, int flags,
			  const char *flag_names, const char *found, const char *path)
{
	long number = !strcmp(call, "chmod")	? SYS_chmod :
		      !strcmp(call, "fchmodat") ? SYS_fchmodat :
						  SYS_fchmodat2;
	int at = identity(found);

	begin("chmod", call, name, arg, path, NO_FD, at);
	account_number("mode", mode);
	if (flag_names)
		account_word("flags", flag_names);
	if (number == SYS_chmod)
		end(syscall(number, arg, mode));
	else
		end(syscall(number, dfd, arg, mode, flags));
	if (at != NO_FD)
		close(at);
}

static void chmod_by_fd(const char *name, int fd, int mode, const char *path, const char *state)
{
	begin("chmod", "fchmod", name, NULL, path, fd, path ? fd : NO_FD);
	account_number("mode", mode);
	if (state)
		account_word("state", state);
	end(syscall(SYS_fchmod, fd, mode));
}

#define OWNER(uid, gid)                               \
	do {                                          \
		if ((uid) != -1)                      \
			account_number("owner", uid); \
		if ((gid) != -1)                      \
			account_number("group", gid); \
	} while (0)

static void chown_by_name(const char *call, long number, const char *name, const char *arg, int uid, int gid,
			  const char *found, const char *path)
{
	int at = identity(found);

	begin("chown", call, name, arg, path, NO_FD, at);
	OWNER(uid, gid);
	end(syscall(number, arg, uid, gid));
	if (at != NO_FD)
		close(at);
}

static void chown_at(const char *name, int dfd, const char *arg, int uid, int gid, int flags,
		     const char *flag_names, const char *found, const char *path)
{
	int at = identity(found);

	begin("chown", "fchownat", name, arg, path, NO_FD, at);
	OWNER(uid, gid);
	if (flag_names)
		account_word("flags", flag_names);
	end(syscall(SYS_fchownat, dfd, arg, uid, gid, flags));
	if (at != NO_FD)
		close(at);
}

static void chown_by_fd(const char *call, long number, const char *name, int fd, int uid, int gid,
			const char *path, const char *state)
{
	begin("chown", call, name, NULL, path, fd, path ? fd : NO_FD);
	OWNER(uid, gid);
	if (state)
		account_word("state", state);
	end(syscall(number, fd, uid, gid));
}

static void truncate_by_name(const char *name, const char *arg, long size, const char *found,
			     const char *path)
{
	int at = identity(found);

	begin("truncate", "truncate", name, arg, path, NO_FD, at);
	account_number("size", size);
	end(syscall(SYS_truncate, arg, size));
	if (at != NO_FD)
		close(at);
}

static void truncate_by_fd(const char *name, int fd, long size, const char *path, const char *state)
{
	begin("truncate", "ftruncate", name, NULL, path, fd, path ? fd : NO_FD);
	account_number("size", size);
	if (state)
		account_word("state", state);
	end(syscall(SYS_ftruncate, fd, size));
}

/* Told only if it cuts something. */
static void truncate_by_open(const char *call, const char *name, const char *arg, const char *path)
{
	int at = identity(path), fd;

	if (!strcmp(call, "creat"))
		fd = MUST(syscall(SYS_creat, arg, 0600));
	else if (!strcmp(call, "openat"))
		fd = MUST(syscall(SYS_openat, AT_FDCWD, arg, O_RDONLY | O_TRUNC | LARGE_FILE));
	else
		fd = MUST(syscall(SYS_open, arg, O_RDWR | O_CREAT | O_TRUNC | LARGE_FILE, 0600));
	close(fd);
	if (at == NO_FD)
		return;
	begin("truncate", call, name, arg, path, NO_FD, at);
	account_number("size", 0);
	end(0);
	close(at);
}

static void xattr_by_name(const char *call, long number, const char *name, const char *arg, const char *xattr,
			  const char *value, int size, int flags, const char *flag_names, const char *found,
			  const char *path)
{
	int at = identity(found);

	begin("setxattr", call, name, arg, path, NO_FD, at);
	account_number("size", size);
	if (xattr != BAD_ADDRESS)
		account_bytes("xattr", xattr);
	if (flag_names)
		account_word("flags", flag_names);
	end(syscall(number, arg, xattr, value, size, flags));
	if (at != NO_FD)
		close(at);
}

static void xattr_by_fd(const char *name, int fd, const char *xattr, const char *value, int size,
			const char *path, const char *state)
{
	begin("setxattr", "fsetxattr", name, NULL, path, fd, path ? fd : NO_FD);
	account_number("size", size);
	account_bytes("xattr", xattr);
	if (state)
		account_word("state", state);
	end(syscall(SYS_fsetxattr, fd, xattr, value, size, 0));
}

static void xattr_at(const char *name, int dfd, const char *arg, int at_flags, const char *xattr, int size,
		     int flags, int structure, const char *flag_names, const char *found, const char *path)
{
	struct {
		uint64_t value;
		uint32_t size;
		uint32_t flags;
	} given = { (uintptr_t)"a value", size, flags };
	int at = identity(found);

	begin("setxattr", "setxattrat", name, arg, path, NO_FD, at);
	account_number("size", size);
	account_bytes("xattr", xattr);
	if (flag_names)
		account_word("flags", flag_names);
	end(syscall(SYS_setxattrat_, dfd, arg, at_flags, xattr, &given, structure));
	if (at != NO_FD)
		close(at);
}

static int make(const char *name)
{
	int fd = MUST(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));

	MUST(write(fd, "text", 4));
	return fd;
}

static void change_modes(int dirfd, int file, int gone, int memory)
{
	const char *path = in_dir("file");
	int only_path = MUST(open("file", O_PATH | O_CLOEXEC)), other = MUST(dup(file));
	int reader = MUST(open("tree/inner", O_RDONLY | O_CLOEXEC));

	chmod_by_name("chmod", "plain", 0, "file", 0640, 0, NULL, path, path);
	chmod_by_name("chmod", "absolute", 0, path, 04755, 0, NULL, path, path);
	chmod_by_name("chmod", "symlink", 0, "link", 0600, 0, NULL, path, path);
	chmod_by_name("chmod", "roundabout", 0, "./tree/../tree//inner", 0600, 0, NULL, in_dir("tree/inner"),
		      in_dir("tree/inner"));
	chmod_by_name("chmod", "bind", 0, "bind/inner", 0601, 0, NULL, in_dir("bind/inner"),
		      in_dir("bind/inner"));
	chmod_by_name("chmod", "directory", 0, "tree", 02755, 0, NULL, in_dir("tree"), in_dir("tree"));
	chmod_by_name("chmod", "overlay", 0, "over/inner", 0604, 0, NULL, NULL, in_dir("over/inner"));
	chmod_by_name("fchmodat", "dirfd", dirfd, "inner", 0602, 0, NULL, in_dir("tree/inner"),
		      in_dir("tree/inner"));
	chmod_by_name("fchmodat", "cwd", AT_FDCWD, "new\nline", 0600, 0, NULL, in_dir("new\nline"),
		      in_dir("new\nline"));
	chmod_by_name("fchmodat2", "no-flags", AT_FDCWD, "file", 0600, 0, NULL, path, path);
	chmod_by_name("fchmodat2", "empty-path", only_path, "", 0600, AT_EMPTY_PATH, "AT_EMPTY_PATH", path,
		      path);
	chmod_by_name("fchmodat2", "nofollow", AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW,
		      "AT_SYMLINK_NOFOLLOW", in_dir("link"), in_dir("link"));
	chmod_by_name("fchmodat2", "invalid", AT_FDCWD, "file", 0600, AT_SYMLINK_NOFOLLOW | 0x400000,
		      "AT_SYMLINK_NOFOLLOW|0x400000", NULL, path);
	chmod_by_fd("descriptor", file, 0644, path, NULL);
	chmod_by_fd("duplicate", other, 0600, path, NULL);
	chmod_by_fd("read-only", reader, 0600, in_dir("tree/inner"), NULL);
	chmod_by_fd("deleted", gone, 0600, in_dir("gone"), "deleted");
	chmod_by_fd("memory", memory, 0600, "/memfd:memory", "anonymous");
	chmod_by_fd("path-only", only_path, 0600, path, NULL);
	chmod_by_fd("no-descriptor", 999, 0600, NULL, NULL);
	chmod_by_name("chmod", "no-entry", 0, "nothing", 0600, 0, NULL, NULL, in_dir("nothing"));
	chmod_by_name("chmod", "not-a-directory", 0, "file/x", 0600, 0, NULL, NULL, in_dir("file/x"));
	chmod_by_name("chmod", "fault", 0, BAD_ADDRESS, 0600, 0, NULL, NULL, NULL);
	chmod_by_name("chmod", "empty", 0, "", 0600, 0, NULL, NULL, dir);
	chmod_by_name("chmod", "read-only-mount", 0, "ro/file", 0600, 0, NULL, in_dir("ro/file"),
		      in_dir("ro/file"));
	chmod_by_name("fchmodat", "no-dirfd", 999, "inner", 0600, 0, NULL, NULL, NULL);
	close(only_path);
	close(other);
	close(reader);
}

static void change_owners(int dirfd, int file, int gone, int memory)
{
	const char *path = in_dir("file");
	int only_path = MUST(open("file", O_PATH | O_CLOEXEC));

	chown_by_name("chown", SYS_chown, "plain", "file", 1, 2, path, path);
	chown_by_name("chown", SYS_chown, "group-only", "file", -1, 3, path, path);
	chown_by_name("chown", SYS_chown, "symlink", "link", 4, -1, path, path);
	chown_by_name("chown", SYS_chown, "nothing", "bind/inner", -1, -1, in_dir("bind/inner"),
		      in_dir("bind/inner"));
	chown_by_name("lchown", SYS_lchown, "link", "link", 5, 6, in_dir("link"), in_dir("link"));
	chown_at("dirfd", dirfd, "inner", 7, 8, 0, NULL, in_dir("tree/inner"), in_dir("tree/inner"));
	chown_at("nofollow", AT_FDCWD, "link", 9, 10, AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW",
		 in_dir("link"), in_dir("link"));
	chown_at("empty-path", only_path, "", 0, 0, AT_EMPTY_PATH, "AT_EMPTY_PATH", path, path);
	chown_at("invalid", AT_FDCWD, "file", 0, 0, 0x400000, "0x400000", NULL, path);
	chown_by_fd("fchown", SYS_fchown, "descriptor", file, 11, 12, path, NULL);
	chown_by_fd("fchown", SYS_fchown, "deleted", gone, 13, -1, in_dir("gone"), "deleted");
	chown_by_fd("fchown", SYS_fchown, "memory", memory, 14, 15, "/memfd:memory", "anonymous");
	chown_by_fd("fchown", SYS_fchown, "path-only", only_path, 1, 1, path, NULL);
	chown_by_fd("fchown", SYS_fchown, "no-descriptor", 999, 1, 1, NULL, NULL);
#ifdef SYS_chown32
	chown_by_name("chown32", SYS_chown32, "32", "file", 70000, -1, path, path);
	chown_by_name("lchown32", SYS_lchown32, "32", "link", -1, 70000, in_dir("link"), in_dir("link"));
	chown_by_fd("fchown32", SYS_fchown32, "32", file, 70000, 70001, path, NULL);
#endif
	chown_by_name("chown", SYS_chown, "no-entry", "nothing", 1, 1, NULL, in_dir("nothing"));
	chown_by_name("chown", SYS_chown, "fault", BAD_ADDRESS, 1, 1, NULL, NULL);
	chown_by_name("chown", SYS_chown, "read-only-mount", "ro/file", 1, 1, NULL, in_dir("ro/file"));
	chown_at("back", AT_FDCWD, "file", 0, 0, 0, NULL, path, path);
	close(only_path);
}

static void change_lengths(int file, int gone, int memory)
{
	const char *path = in_dir("file");
	int only_path = MUST(open("file", O_PATH | O_CLOEXEC)),
	    reader = MUST(open("file", O_RDONLY | O_CLOEXEC));

	truncate_by_name("plain", "file", 100, path, path);
	truncate_by_name("symlink", "link", 3, path, path);
	truncate_by_name("bind", "bind/inner", 3, in_dir("bind/inner"), in_dir("bind/inner"));
	truncate_by_name("overlay", "over/inner", 2, NULL, in_dir("over/inner"));
	truncate_by_name("negative", "file", -1, NULL, path);
	truncate_by_name("directory", "tree", 0, in_dir("tree"), in_dir("tree"));
	truncate_by_name("no-entry", "nothing", 0, NULL, in_dir("nothing"));
	truncate_by_name("fault", BAD_ADDRESS, 0, NULL, NULL);
	truncate_by_name("read-only-mount", "ro/file", 0, in_dir("ro/file"), in_dir("ro/file"));
	truncate_by_fd("descriptor", file, 50, path, NULL);
	truncate_by_fd("deleted", gone, 7, in_dir("gone"), "deleted");
	truncate_by_fd("memory", memory, 4096, "/memfd:memory", "anonymous");
	truncate_by_fd("read-only", reader, 0, path, NULL);
	truncate_by_fd("path-only", only_path, 0, path, NULL);
	truncate_by_fd("negative", file, -5, path, NULL);
	truncate_by_fd("no-descriptor", 999, 0, NULL, NULL);
#ifdef SYS_truncate64
	begin("truncate", "truncate64", "64", "file", path, NO_FD, file);
	account_number("size", 5000000000);
	end(syscall(SYS_truncate64, "file", (uint32_t)5000000000, 1));
	begin("truncate", "ftruncate64", "64", NULL, path, file, file);
	account_number("size", 6000000000);
	end(syscall(SYS_ftruncate64, file, (uint32_t)6000000000, 1));
#endif
	truncate_by_open("open", "by-open", "file", path);
	truncate_by_open("openat", "by-openat", "./link", path);
	truncate_by_open("creat", "by-creat", "bind/inner", in_dir("bind/inner"));
	/* Makes a file: nothing to cut. */
	truncate_by_open("open", "fresh", "fresh", in_dir("fresh"));
	close(only_path);
	close(reader);
}

/* An access control list: user::rwx, group::r-x, other::r-x. */
static const unsigned char acl[] = {
	2, 0, 0,   0,	1,   0,	  7,  0, 255, 255, 255, 255, 4,	  0,
	5, 0, 255, 255, 255, 255, 32, 0, 5,   0,   255, 255, 255, 255,
};

static void change_attributes(int dirfd, int file, int gone, int memory)
{
	const char *path = in_dir("file"), *inner = in_dir("tree/inner");
	int only_path = MUST(open("file", O_PATH | O_CLOEXEC));

	xattr_by_name("setxattr", SYS_setxattr, "plain", "file", "user.one", "value", 5, 0, NULL, path, path);
	xattr_by_name("setxattr", SYS_setxattr, "empty-value", "./link", "user.two", NULL, 0, XATTR_CREATE,
		      "XATTR_CREATE", path, path);
	xattr_by_name("setxattr", SYS_setxattr, "replace", "bind/inner", "trusted.x", "v", 1, 0, NULL,
		      in_dir("bind/inner"), in_dir("bind/inner"));
	xattr_by_name("setxattr", SYS_setxattr, "exists", "file", "user.one", "v", 1, XATTR_CREATE,
		      "XATTR_CREATE", path, path);
	xattr_by_name("setxattr", SYS_setxattr, "exists-not", "file", "user.none", "v", 1, XATTR_REPLACE,
		      "XATTR_REPLACE", path, path);
	xattr_by_name("setxattr", SYS_setxattr, "acl", "file", "system.posix_acl_access", (const char *)acl,
		      sizeof(acl), 0, NULL, path, path);
	xattr_by_name("setxattr", SYS_setxattr, "overlay", "over/inner", "user.over", "v", 1, 0, NULL, NULL,
		      in_dir("over/inner"));
	xattr_by_name("lsetxattr", SYS_lsetxattr, "link", "link", "trusted.link", "v", 1, 0, NULL,
		      in_dir("link"), in_dir("link"));
	xattr_by_name("setxattr", SYS_setxattr, "no-entry", "nothing", "user.x", "v", 1, 0, NULL, NULL,
		      in_dir("nothing"));
	xattr_by_name("setxattr", SYS_setxattr, "fault", BAD_ADDRESS, "user.x", "v", 1, 0, NULL, NULL, NULL);
	xattr_by_name("setxattr", SYS_setxattr, "fault-name", "file", BAD_ADDRESS, "v", 1, 0, NULL, NULL,
		      path);
	xattr_by_name("setxattr", SYS_setxattr, "invalid", "file", "user.x", "v", 1, 64, "0x40", NULL, path);
	xattr_by_name("setxattr", SYS_setxattr, "read-only-mount", "ro/file", "user.x", "v", 1, 0, NULL, NULL,
		      in_dir("ro/file"));
	xattr_by_fd("descriptor", file, "user.fd", "value", 5, path, NULL);
	xattr_by_fd("deleted", gone, "user.fd", "value", 5, in_dir("gone"), "deleted");
	xattr_by_fd("memory", memory, "security.x", "value", 5, "/memfd:memory", "anonymous");
	xattr_by_fd("acl", file, "system.posix_acl_access", (const char *)acl, sizeof(acl), path, NULL);
	xattr_by_fd("path-only", only_path, "user.fd", "value", 5, path, NULL);
	xattr_by_fd("no-descriptor", 999, "user.fd", "value", 5, NULL, NULL);
	xattr_at("plain", dirfd, "inner", 0, "user.at", 7, XATTR_CREATE, 16, "XATTR_CREATE", inner, inner);
	xattr_at("nofollow", AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "trusted.at", 7, 0, 16,
		 "AT_SYMLINK_NOFOLLOW", in_dir("link"), in_dir("link"));
	xattr_at("empty-path", file, "", AT_EMPTY_PATH, "user.at", 7, 0, 16, "AT_EMPTY_PATH", path, path);
	xattr_at("too-small", dirfd, "inner", 0, "user.at", 7, 0, 8, NULL, NULL, in_dir("tree/inner"));
	close(only_path);
}

static void as_another_user(void)
{
	pid_t child = MUST(fork());

	if (child) {
		MUST(waitpid(child, NULL, 0));
		return;
	}
	MUST(syscall(SYS_setresgid, 65534, 65534, 65534));
	MUST(syscall(SYS_setresuid, 65534, 65534, 65534));
	chmod_by_name("chmod", "permission", 0, "file", 0600, 0, NULL, in_dir("file"), in_dir("file"));
	chown_by_name("chown", SYS_chown, "permission", "file", 1, 1, in_dir("file"), in_dir("file"));
	truncate_by_name("permission", "file", 0, in_dir("file"), in_dir("file"));
	xattr_by_name("setxattr", SYS_setxattr, "permission", "file", "user.x", "v", 1, 0, NULL,
		      in_dir("file"), in_dir("file"));
	_exit(0);
}

int main(int argc, char **argv)
{
	int dirfd, file, gone, memory;

	if (argc != 2) {
		fprintf(stderr, "usage: changer DIR\n");
		return 2;
	}
	if (!realpath(argv[1], dir))
		die(argv[1]);
	MUST(chdir(dir));
	dirfd = MUST(open("tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	file = make("file");
	gone = make("gone");
	close(make("new\nline"));
	MUST(unlink("gone"));
	MUST(symlink("file", "link"));
	memory = MUST(syscall(SYS_memfd_create, "memory", MFD_CLOEXEC));
	change_modes(dirfd, file, gone, memory);
	change_owners(dirfd, file, gone, memory);
	change_lengths(file, gone, memory);
	change_attributes(dirfd, file, gone, memory);
	as_another_user();
	return 0;
}
