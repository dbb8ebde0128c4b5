/*
 * namer DIR: makes, removes, renames and links names in DIR by each call that does, and fails to. DIR has a
 * directory `deep`, whose path is so long that a name of 200 bytes in it has the longest path that there is.
 * What is made ready by other means than the calls that it tells of: files, by open, and mounts.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "account.h"
#include "uring.h"

/* For a call that takes none. */
#define NO_DIRFD 0
#define BAD_ADDRESS ((const char *)1)
#define NO_REPLACE 1
#define EXCHANGE 2
#define WHITEOUT 4

/* How far the kernel gets, and what the names lead to. */
enum expects {
	/* It fails before it has found the entries: the names are told below their directories. */
	NOT_FOUND,
	FOUND,
	/* A mount point, or on overlayfs: its numbers are not those that stat tells. */
	FOUND_UNIDENTIFIED,
};

struct call {
	const char *call;
	int dirfd;
	const char *name;
	int new_dirfd;
	const char *new_name;
	const char *target;
	unsigned int flags;
	unsigned int mode;
	unsigned int device;
};

static char directory[PATH_MAX];
/* What the names are below, if that is not what /proc says. */
static const char *root;

static int is(const struct call *c, const char *name)
{
	return strcmp(c->call, name) == 0;
}

static const char *event_of(const struct call *c)
{
	if (strstr(c->call, "mkdir"))
		return "mkdir";
	if (strstr(c->call, "mknod"))
		return "mknod";
	if (strstr(c->call, "rename"))
		return "rename";
	if (strstr(c->call, "symlink"))
		return "symlink";
	if (strstr(c->call, "unlink"))
		return c->flags & AT_REMOVEDIR ? "rmdir" : "unlink";
	return strstr(c->call, "link") ? "link" : "rmdir";
}

static long by_call(const struct call *c)
{
	if (is(c, "mkdir"))
		return syscall(SYS_mkdir, c->name, c->mode);
	if (is(c, "mkdirat"))
		return syscall(SYS_mkdirat, c->dirfd, c->name, c->mode);
	if (is(c, "rmdir"))
		return syscall(SYS_rmdir, c->name);
	if (is(c, "unlink"))
		return syscall(SYS_unlink, c->name);
	if (is(c, "unlinkat"))
		return syscall(SYS_unlinkat, c->dirfd, c->name, c->flags);
	if (is(c, "rename"))
		return syscall(SYS_rename, c->name, c->new_name);
	if (is(c, "renameat"))
		return syscall(SYS_renameat, c->dirfd, c->name, c->new_dirfd, c->new_name);
	if (is(c, "renameat2"))
		return syscall(SYS_renameat2, c->dirfd, c->name, c->new_dirfd, c->new_name, c->flags);
	if (is(c, "link"))
		return syscall(SYS_link, c->name, c->new_name);
	if (is(c, "linkat"))
		return syscall(SYS_linkat, c->dirfd, c->name, c->new_dirfd, c->new_name, c->flags);
	if (is(c, "symlink"))
		return syscall(SYS_symlink, c->target, c->name);
	if (is(c, "symlinkat"))
		return syscall(SYS_symlinkat, c->target, c->dirfd, c->name);
	if (is(c, "mknod"))
		return syscall(SYS_mknod, c->name, c->mode, c->device);
	if (is(c, "mknodat"))
		return syscall(SYS_mknodat, c->dirfd, c->name, c->mode, c->device);
	die(c->call);
}

static struct ring *ring;

static long by_uring(const struct call *c)
{
	struct io_uring_sqe sqe = { .fd = c->dirfd, .addr = (uintptr_t)c->name };

	if (strstr(c->call, "mkdirat")) {
		sqe.opcode = IORING_OP_MKDIRAT;
		sqe.len = c->mode;
	} else if (strstr(c->call, "unlinkat")) {
		sqe.opcode = IORING_OP_UNLINKAT;
		sqe.unlink_flags = c->flags;
	} else if (strstr(c->call, "symlinkat")) {
		sqe.opcode = IORING_OP_SYMLINKAT;
		sqe.addr = (uintptr_t)c->target;
		sqe.addr2 = (uintptr_t)c->name;
	} else {
		sqe.opcode = strstr(c->call, "renameat") ? IORING_OP_RENAMEAT : IORING_OP_LINKAT;
		sqe.len = c->new_dirfd;
		sqe.addr2 = (uintptr_t)c->new_name;
		sqe.rename_flags = c->flags;
	}
	return request(ring, &sqe);
}

/* A descriptor of the directory that a name is in, which begins at `*last`. */
static int parent_of(int dirfd, const char *name, const char **last)
{
	char parent[2 * PATH_MAX], *slash;
	size_t length = strlen(name);

	snprintf(parent, sizeof(parent), "%s", name);
	while (length > 1 && parent[length - 1] == '/')
		parent[--length] = 0;
	slash = strrchr(parent, '/');
	*last = slash ? name + (slash - parent) + 1 : name;
	if (slash == parent)
		slash++;
	if (slash)
		*slash = 0;
	return MUST(openat(dirfd, slash ? parent : ".", O_PATH | O_CLOEXEC));
}

static void read_descriptor(int fd, char *path, size_t size)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	path[MUST(readlink(link, path, size - 1))] = 0;
}

/* What the name is resolved to. */
static void account_resolved(const char *key, int dirfd, const char *name, unsigned int flags)
{
	char path[3 * PATH_MAX], *end;
	const char *last;
	int fd;

	if ((flags & AT_SYMLINK_FOLLOW) || !*name) {
		fd = *name ? MUST(openat(dirfd, name, O_PATH | O_CLOEXEC)) : dirfd;
		read_descriptor(fd, path, sizeof(path));
		end = strstr(path, " (deleted)");
		if (end) {
			*end = 0;
			account_add(",\"state\":\"deleted\"");
		}
		account_bytes(key, path);
	} else {
		fd = parent_of(dirfd, name, &last);
		if (root)
			snprintf(path, sizeof(path), "%s", root);
		else
			read_descriptor(fd, path, sizeof(path));
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s%.*s",
			 path[strlen(path) - 1] == '/' ? "" : "/", (int)strcspn(last, "/"), last);
		account_bytes(key, path);
	}
	if (fd != dirfd)
		close(fd);
}

/* What a name that was not found was below. */
static void account_base(const char *key, int dirfd)
{
	char path[PATH_MAX];

	if (dirfd == AT_FDCWD) {
		account_bytes(key, getcwd(path, sizeof(path)));
	} else if (fcntl(dirfd, F_GETFD) >= 0) {
		read_descriptor(dirfd, path, sizeof(path));
		account_bytes(key, path);
	}
}

static void account_name(const char *prefix, int dirfd, const char *name, unsigned int flags, int found)
{
	char key[32];

	if (!name)
		return;
	if (name != BAD_ADDRESS) {
		snprintf(key, sizeof(key), "%sarg", prefix);
		account_bytes(key, name);
	}
	snprintf(key, sizeof(key), "%s%s", prefix, found ? "path" : "base");
	if (found)
		account_resolved(key, dirfd, name, flags);
	else
		account_base(key, dirfd);
}

static void account_file(int dirfd, const char *name, unsigned int flags)
{
	struct stat st;
	int at = (flags & AT_EMPTY_PATH) | (flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);

	if (fstatat(dirfd, name, &st, at))
		return;
	account_number("major", major(st.st_dev));
	account_number("minor", minor(st.st_dev));
	account_number("inode", st.st_ino);
}

/* Makes the call, and tells of it what is known before and after. */
static long attempt(const char *variant, struct call c, enum expects expects)
{
	const char *event = event_of(&c);
	int makes = !strcmp(event, "mkdir") || !strcmp(event, "mknod") || !strcmp(event, "symlink");
	unsigned int at = strcmp(event, "rename") ? c.flags : 0;
	int new_dirfd = c.new_dirfd == NO_DIRFD ? AT_FDCWD : c.new_dirfd;
	int dirfd = c.dirfd == NO_DIRFD ? AT_FDCWD : c.dirfd;
	long result;

	account_begin(c.call, variant);
	account_word("event", event);
	account_name("", dirfd, c.name, at, expects != NOT_FOUND);
	account_name("new_", new_dirfd, c.new_name, 0, expects != NOT_FOUND);
	if (expects == FOUND && !makes)
		account_file(dirfd, c.name, at);
	result = strncmp(c.call, "io_uring", 8) ? kernel_result(by_call(&c)) : by_uring(&c);
	if (expects == FOUND && makes && result == 0)
		account_file(dirfd, c.name, 0);
	if (c.target && c.target != BAD_ADDRESS)
		account_bytes("target", c.target);
	if (expects == FOUND_UNIDENTIFIED)
		account_word("identity", "unknown");
	account_number("flags", c.flags);
	account_number("mode", c.mode);
	account_number("rdev_major", (c.device >> 8) & 0xfff);
	account_number("rdev_minor", (c.device & 0xff) | ((c.device >> 12) & 0xfff00));
	account_result(result);
	/* Operations that this kernel's io_uring does not know. */
	if (!strncmp(c.call, "io_uring", 8) && result == -EINVAL)
		return result;
	account_end();
	return result;
}

#define CALL(name_, ...) ((struct call){ .call = name_, __VA_ARGS__ })
#define URING(name_, fd, path, ...) CALL("io_uring-" name_, .dirfd = fd, .name = path, ##__VA_ARGS__)
#define MKDIR(path) CALL("mkdir", .name = path, .mode = 0755)
#define MKDIRAT(fd, path) CALL("mkdirat", .dirfd = fd, .name = path, .mode = 0700)
#define RMDIR(path) CALL("rmdir", .name = path, .flags = AT_REMOVEDIR)
#define UNLINK(path) CALL("unlink", .name = path)
#define UNLINKAT(fd, path, how) CALL("unlinkat", .dirfd = fd, .name = path, .flags = how)
#define RENAME(from, to) CALL("rename", .name = from, .new_name = to)
#define RENAMEAT2(fd, from, to_fd, to, how) \
	CALL("renameat2", .dirfd = fd, .name = from, .new_dirfd = to_fd, .new_name = to, .flags = how)
#define LINK(from, to) CALL("link", .name = from, .new_name = to)
#define LINKAT(fd, from, to_fd, to, how) \
	CALL("linkat", .dirfd = fd, .name = from, .new_dirfd = to_fd, .new_name = to, .flags = how)
#define SYMLINK(says, path) CALL("symlink", .target = says, .name = path)
#define SYMLINKAT(says, fd, path) CALL("symlinkat", .target = says, .dirfd = fd, .name = path)
#define MKNOD(path, how, number) CALL("mknod", .name = path, .mode = how, .device = number)
#define MKNODAT(fd, path, how) CALL("mknodat", .dirfd = fd, .name = path, .mode = how)

static void make_file(const char *path)
{
	close(MUST(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)));
}

static char longest[NAME_MAX + 1], too_long[NAME_MAX + 2], beyond[PATH_MAX + 200];
static const char *const odd = "new\nline \xff\xfe TRACELEFT_UNIT=x";

static void directories(int dirfd)
{
	attempt("plain", MKDIR("d"), FOUND);
	attempt("absolute", MKDIR(strcat(strcpy((char[PATH_MAX]){ 0 }, directory), "/absolute")), FOUND);
	attempt("at", MKDIRAT(dirfd, "at"), FOUND);
	attempt("slashes", MKDIR("slashes//"), FOUND);
	attempt("set-id", CALL("mkdir", .name = "set-id", .mode = 07777), FOUND);
	attempt("bytes", MKDIR(odd), FOUND);
	attempt("longest-name", MKDIR(longest), FOUND);
	attempt("to-directory", SYMLINK("d", "to-d"), FOUND);
	attempt("by-link", MKDIR("to-d/../to-d/./inner"), FOUND);
	attempt("exists", MKDIR("d"), NOT_FOUND);
	attempt("no-entry", MKDIR("nothing/d"), NOT_FOUND);
	attempt("empty", MKDIR(""), NOT_FOUND);
	attempt("not-a-directory", MKDIR("file/d"), NOT_FOUND);
	attempt("name-too-long", MKDIR(too_long), NOT_FOUND);
	attempt("path-too-long", MKDIR(beyond), NOT_FOUND);
	attempt("fault", MKDIR(BAD_ADDRESS), NOT_FOUND);
	attempt("bad-descriptor", MKDIRAT(-5, "d"), NOT_FOUND);
	attempt("no-directory-descriptor", MKDIRAT(MUST(open("file", O_RDONLY)), "d"), NOT_FOUND);

	attempt("not-empty", RMDIR("d"), FOUND);
	attempt("not-a-directory", RMDIR("file"), FOUND);
	attempt("dot", RMDIR("at/."), NOT_FOUND);
	attempt("dot-dot", RMDIR("d/inner/.."), NOT_FOUND);
	attempt("root", RMDIR("/"), NOT_FOUND);
	attempt("no-entry", RMDIR("nothing"), NOT_FOUND);
	attempt("fault", RMDIR(BAD_ADDRESS), NOT_FOUND);
	attempt("path-too-long", RMDIR(beyond), NOT_FOUND);
	attempt("plain", RMDIR("absolute"), FOUND);
	attempt("slashes", RMDIR("slashes//"), FOUND);
	attempt("bytes", RMDIR(odd), FOUND);
	attempt("longest-name", RMDIR(longest), FOUND);
	attempt("at", UNLINKAT(dirfd, "at", AT_REMOVEDIR), FOUND);
	attempt("no-entry", UNLINKAT(dirfd, "at", AT_REMOVEDIR), NOT_FOUND);
	attempt("unknown-flag", UNLINKAT(dirfd, "d", AT_REMOVEDIR | 0x40000), NOT_FOUND);
}

static void files(int dirfd)
{
	pid_t child;

	make_file("f1");
	make_file("f2");
	make_file(longest);
	make_file(odd);
	attempt("plain", UNLINK("f1"), FOUND);
	attempt("at", UNLINKAT(dirfd, "to-d/../f2", 0), FOUND);
	attempt("longest-name", UNLINK(longest), FOUND);
	attempt("bytes", UNLINK(odd), FOUND);
	attempt("of-link", SYMLINK("file", "to-file"), FOUND);
	attempt("link", UNLINK("to-file"), FOUND);
	attempt("directory", UNLINK("d"), FOUND);
	attempt("no-entry", UNLINK("nothing"), NOT_FOUND);
	attempt("slash", UNLINK("file/"), NOT_FOUND);
	attempt("fault", UNLINK(BAD_ADDRESS), NOT_FOUND);
	attempt("bad-descriptor", UNLINKAT(-5, "file", 0), NOT_FOUND);
	attempt("unknown-flag", UNLINKAT(AT_FDCWD, "file", 0x40000), NOT_FOUND);
	attempt("name-too-long", UNLINK(too_long), NOT_FOUND);
	/* As nobody: not in this directory. */
	child = MUST(fork());
	if (child == 0) {
		MUST(syscall(SYS_setresgid, 65534, 65534, 65534));
		MUST(syscall(SYS_setresuid, 65534, 65534, 65534));
		/* So that it may look into its own /proc/self/fd. */
		MUST(prctl(PR_SET_DUMPABLE, 1));
		attempt("access", UNLINK("file"), FOUND);
		attempt("access", MKDIR("theirs"), FOUND);
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}

static void renames(int dirfd, int inner)
{
	make_file("a");
	make_file("b");
	attempt("plain", RENAME("a", "a2"), FOUND);
	attempt("over", RENAME("a2", "b"), FOUND);
	attempt("at", CALL("renameat", .dirfd = dirfd, .name = "b", .new_dirfd = inner, .new_name = "b"),
		FOUND);
	attempt("no-replace", RENAMEAT2(inner, "b", dirfd, odd, NO_REPLACE), FOUND);
	attempt("bytes", RENAME(odd, longest), FOUND);
	attempt("exchange", RENAMEAT2(AT_FDCWD, longest, AT_FDCWD, "d/inner", EXCHANGE), FOUND);
	attempt("exchange-back", RENAMEAT2(AT_FDCWD, longest, AT_FDCWD, "to-d/inner", EXCHANGE), FOUND);
	attempt("whiteout", RENAMEAT2(AT_FDCWD, longest, AT_FDCWD, "a", WHITEOUT), FOUND);
	attempt("whiteout", UNLINK(longest), FOUND);
	attempt("directory", RENAME("d/inner/", "d/other"), FOUND);
	attempt("directory", RENAME("d/other", "d/inner"), FOUND);
	attempt("same", RENAME("a", "a"), FOUND);
	attempt("over-directory", RENAME("a", "empty"), FOUND);
	attempt("over-not-empty", RENAME("empty", "d"), FOUND);
	attempt("exists", RENAMEAT2(AT_FDCWD, "a", AT_FDCWD, "file", NO_REPLACE), NOT_FOUND);
	attempt("into-itself", RENAME("d", "d/inner/d"), NOT_FOUND);
	attempt("flags", RENAMEAT2(AT_FDCWD, "a", AT_FDCWD, "b", NO_REPLACE | EXCHANGE), NOT_FOUND);
	attempt("flags", RENAMEAT2(dirfd, "a", inner, "b", 0x80), NOT_FOUND);
	attempt("no-entry", RENAME("nothing", "b"), NOT_FOUND);
	attempt("no-new-directory", RENAME("a", "nothing/b"), NOT_FOUND);
	attempt("other-device", RENAME("a", "/dev/shm/namer"), NOT_FOUND);
	attempt("busy", RENAME("d/.", "b"), NOT_FOUND);
	attempt("fault", RENAME(BAD_ADDRESS, "b"), NOT_FOUND);
	attempt("new-fault", RENAME("a", BAD_ADDRESS), NOT_FOUND);
	attempt("both-too-long", RENAME(beyond, beyond), NOT_FOUND);
	attempt("new-name-too-long", RENAME("a", too_long), NOT_FOUND);
	attempt("bad-descriptors", RENAMEAT2(-5, "a", -6, "b", 0), NOT_FOUND);
}

static void links(int dirfd, int inner)
{
	int fd = MUST(open("a", O_RDONLY | O_CLOEXEC));
	int unnamed = MUST(open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0644));
	char by_number[64];

	snprintf(by_number, sizeof(by_number), "/proc/self/fd/%d", unnamed);
	attempt("target", SYMLINK("a", "to-a"), FOUND);
	attempt("plain", LINK("a", "a-1"), FOUND);
	attempt("at", LINKAT(dirfd, "a", inner, odd, 0), FOUND);
	attempt("of-link", LINK("to-a", "to-a-1"), FOUND);
	attempt("follow", LINKAT(AT_FDCWD, "to-a", AT_FDCWD, "a-2", AT_SYMLINK_FOLLOW), FOUND);
	attempt("empty-path", LINKAT(fd, "", AT_FDCWD, "a-3", AT_EMPTY_PATH), FOUND);
	attempt("unnamed", LINKAT(AT_FDCWD, by_number, AT_FDCWD, "a-4", AT_SYMLINK_FOLLOW), FOUND);
	attempt("directory", LINK("d", "d-1"), FOUND);
	attempt("exists", LINK("a", "a-1"), NOT_FOUND);
	attempt("no-entry", LINK("nothing", "a-5"), NOT_FOUND);
	attempt("no-new-directory", LINK("a", "nothing/a"), NOT_FOUND);
	attempt("other-device", LINK("a", "/dev/shm/namer"), NOT_FOUND);
	attempt("flags", LINKAT(dirfd, "a", inner, "a", 0x20000), NOT_FOUND);
	attempt("fault", LINK(BAD_ADDRESS, "a-5"), NOT_FOUND);
	attempt("new-fault", LINK("a", BAD_ADDRESS), NOT_FOUND);
	attempt("both-too-long", LINK(too_long, too_long), NOT_FOUND);
	close(fd);
	close(unnamed);
}

static void symbolic_links(int dirfd)
{
	static char target[PATH_MAX];

	memset(target, 't', PATH_MAX - 1);
	attempt("plain", SYMLINK("no/such/file", "s"), FOUND);
	attempt("at", SYMLINKAT("/", dirfd, "to-d/s"), FOUND);
	attempt("bytes", SYMLINK(odd, "d/inner/bytes"), FOUND);
	attempt("longest-target", SYMLINK(target, "s-1"), FOUND);
	attempt("exists", SYMLINK("x", "s"), NOT_FOUND);
	attempt("empty-target", SYMLINK("", "s-2"), NOT_FOUND);
	attempt("target-too-long", SYMLINK(beyond, "s-2"), NOT_FOUND);
	attempt("no-entry", SYMLINK("x", "nothing/s"), NOT_FOUND);
	attempt("fault", SYMLINK(BAD_ADDRESS, "s-2"), NOT_FOUND);
	attempt("new-fault", SYMLINK("x", BAD_ADDRESS), NOT_FOUND);
}

static void nodes(int dirfd)
{
	attempt("fifo", MKNOD("fifo", S_IFIFO | 0640, 0), FOUND);
	attempt("socket", MKNOD("socket", S_IFSOCK | 0600, 0), FOUND);
	attempt("character", MKNOD("character", S_IFCHR | 0660, makedev(1, 3)), FOUND);
	attempt("block", MKNOD("block", S_IFBLK | 0660, makedev(259, 0xabcde)), FOUND);
	attempt("regular", MKNODAT(dirfd, "regular", S_IFREG | 04755), FOUND);
	attempt("no-type", MKNODAT(AT_FDCWD, odd, 0644), FOUND);
	attempt("directory", MKNOD("directory", S_IFDIR | 0755, 0), NOT_FOUND);
	attempt("bad-type", MKNOD("bad", 0030644, 0), NOT_FOUND);
	attempt("exists", MKNOD("fifo", S_IFIFO | 0640, 0), NOT_FOUND);
	attempt("no-entry", MKNOD("nothing/fifo", S_IFIFO | 0640, 0), NOT_FOUND);
	attempt("fault", MKNOD(BAD_ADDRESS, S_IFIFO | 0640, 0), NOT_FOUND);
}

/* Both names of one call as long as they can be. */
static void long_paths(void)
{
	char from[PATH_MAX], to[PATH_MAX];
	size_t length;

	MUST(chdir("deep"));
	while (chdir("c23456789012345") == 0)
		;
	length = strlen(getcwd(from, sizeof(from)));
	from[length++] = '/';
	memset(from + length, 'f', PATH_MAX - 1 - length);
	from[PATH_MAX - 1] = 0;
	memcpy(to, from, sizeof(from));
	to[PATH_MAX - 2] = 't';
	MUST(chdir(directory));
	attempt("longest", MKDIR(from), FOUND);
	attempt("longest", RENAME(from, to), FOUND);
	attempt("longest", RMDIR(to), FOUND);
	attempt("longest", MKNOD(from, S_IFIFO | 0600, 0), FOUND);
	attempt("longest", LINK(from, to), FOUND);
	attempt("longest", UNLINK(from), FOUND);
	attempt("longest", SYMLINK(to, from), FOUND);
	attempt("longest-not-found", RENAME(from, strcat(strcpy((char[PATH_MAX]){ 0 }, "nothing/"), to + 10)),
		NOT_FOUND);
}

/* In other places: file systems that are mounted, and another root. */
static void places(void)
{
	pid_t child;

	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	attempt("mount-point", MKDIR("mounted"), FOUND);
	attempt("mount-point", MKDIR("bound"), FOUND);
	MUST(mount("tmpfs", "mounted", "tmpfs", 0, NULL));
	MUST(mount("d", "bound", NULL, MS_BIND, NULL));
	attempt("mounted", MKDIR("mounted/x"), FOUND);
	attempt("mounted", RENAME("mounted/x", "mounted/y"), FOUND);
	attempt("bound", MKDIR("bound/x"), FOUND);
	attempt("other-mount", LINK("file", "bound/file"), NOT_FOUND);
	attempt("other-mount", RENAME("d/x", "bound/z"), NOT_FOUND);
	attempt("bound", RMDIR("bound/x"), FOUND);
	attempt("busy", RMDIR("mounted"), FOUND_UNIDENTIFIED);
	attempt("lower", MKDIR("mounted/lower"), FOUND);
	attempt("lower", MKDIR("mounted/lower/d"), FOUND);
	make_file("mounted/lower/f");
	make_file("mounted/lower/g");
	attempt("upper", MKDIR("mounted/upper"), FOUND);
	attempt("work", MKDIR("mounted/work"), FOUND);
	attempt("overlay", MKDIR("mounted/overlay"), FOUND);
	MUST(mount("overlay", "mounted/overlay", "overlay", 0,
		   "lowerdir=mounted/lower,upperdir=mounted/upper,workdir=mounted/work"));
	attempt("overlay", MKDIR("mounted/overlay/new"), FOUND_UNIDENTIFIED);
	attempt("overlay", UNLINK("mounted/overlay/f"), FOUND_UNIDENTIFIED);
	attempt("overlay", RENAME("mounted/overlay/g", "mounted/overlay/new/g"), FOUND_UNIDENTIFIED);
	attempt("overlay", RMDIR("mounted/overlay/d"), FOUND_UNIDENTIFIED);
	attempt("overlay", LINK("mounted/overlay/new/g", "mounted/overlay/h"), FOUND_UNIDENTIFIED);
	attempt("overlay", SYMLINK("g", "mounted/overlay/s"), FOUND_UNIDENTIFIED);
	attempt("overlay", MKNOD("mounted/overlay/p", S_IFIFO | 0600, 0), FOUND_UNIDENTIFIED);
	MUST(mount(NULL, "bound", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	attempt("read-only", MKDIR("bound/x"), NOT_FOUND);
	attempt("read-only", RENAME("bound/inner", "bound/x"), NOT_FOUND);
	attempt("read-only", RMDIR("bound/inner"), NOT_FOUND);
	child = MUST(fork());
	if (child == 0) {
		MUST(chroot("d"));
		MUST(chdir("/"));
		root = "/";
		attempt("chroot", MKDIR("x"), FOUND);
		attempt("chroot", RENAME("/x", "../y"), FOUND);
		attempt("chroot", RMDIR("/y"), FOUND);
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}

/* Names that other calls make are events of theirs. */
static void by_other_calls(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "bound-socket" };
	int fd = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	make_file("opened");
	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
}

static void uring(int dirfd, int inner)
{
	static const struct {
		unsigned int setup;
		const char *way;
	} ways[] = { { 0, "inline" }, { IORING_SETUP_SQPOLL, "sqpoll" } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct ring made = setup(ways[i].setup);
		const char *way = ways[i].way;
		char name[32];

		ring = &made;
		make_file("u");
		snprintf(name, sizeof(name), "by-%s", way);
		attempt(way, URING("renameat", dirfd, "u", .new_dirfd = inner, .new_name = odd), FOUND);
		attempt(way, URING("renameat", dirfd, "u", .new_dirfd = inner, .new_name = "u"), NOT_FOUND);
		attempt(way, URING("linkat", inner, odd, .new_dirfd = dirfd, .new_name = name), FOUND);
		attempt(way, URING("unlinkat", inner, odd), FOUND);
		attempt(way, URING("symlinkat", AT_FDCWD, "us", .target = odd), FOUND);
		if (!faccessat(AT_FDCWD, "us", F_OK, AT_SYMLINK_NOFOLLOW))
			attempt(way, URING("unlinkat", dirfd, "us"), FOUND);
		attempt(way, URING("mkdirat", AT_FDCWD, "d", .mode = 0751), NOT_FOUND);
		attempt(way, URING("mkdirat", dirfd, "u", .mode = 0751), FOUND);
		if (!access("u", F_OK))
			attempt(way, URING("unlinkat", AT_FDCWD, "u", .flags = AT_REMOVEDIR), FOUND);
		attempt(way, URING("unlinkat", AT_FDCWD, "d", .flags = AT_REMOVEDIR), FOUND);
		close(made.fd);
	}
}

int main(int argc, char **argv)
{
	int dirfd, inner;

	if (argc != 2) {
		fprintf(stderr, "usage: namer DIR\n");
		return 2;
	}
	umask(0);
	if (!realpath(argv[1], directory))
		die(argv[1]);
	MUST(chdir(directory));
	memset(longest, 'l', NAME_MAX);
	memset(too_long, 'l', NAME_MAX + 1);
	memset(beyond, '/', sizeof(beyond) - 1);
	make_file("file");
	dirfd = MUST(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	attempt("empty", MKDIR("empty"), FOUND);
	directories(dirfd);
	inner = MUST(open("d/inner", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	files(dirfd);
	renames(dirfd, inner);
	links(dirfd, inner);
	symbolic_links(dirfd);
	nodes(dirfd);
	long_paths();
	by_other_calls();
	if (sizeof(void *) == 8)
		uring(dirfd, inner);
	places();
	return 0;
}
