/*
 * mounter DIR SOURCE: mounts and unmounts in every way that there is, and fails in most, in a mount namespace of its
 * own. SOURCE is what the file system that DIR is in is mounted from.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "directory.h"

#define BAD_ADDRESS ((char *)1)
#define NO_FD (-1)
#define BY_MAGIC 0xc0ed0000

/* Of 2021 and 2024: */
#define SYS_mount_setattr_ 442
#define SYS_open_tree_attr_ 467

struct attributes {
	uint64_t set, cleared, propagation, user_namespace;
};

/*
 * Begins a line of the account: what was passed, and the path that the record must have. If the kernel comes to that
 * file, the record has its identity as well. No descriptor of it is kept: it would hold the mount.
 */
static void begin(const char *event, const char *call, const char *name, const char *arg, const char *path,
		  int found)
{
	struct stat st;

	account_begin(call, name);
	account_word("event", event);
	if (arg && arg != BAD_ADDRESS)
		account_bytes("arg", arg);
	if (path)
		account_bytes("path", path);
	if (!found)
		return;
	MUST(lstat(path, &st));
	account_file(&st);
}

static void begin_mount(const char *call, const char *name, const char *arg, const char *path, int found,
			const char *source, const char *type, const char *flags)
{
	begin("mount", call, name, arg, path, found);
	if (source && source != BAD_ADDRESS)
		account_bytes("source", source);
	if (type)
		account_word("type", type);
	if (flags)
		account_word("flags", flags);
}

/* Returns the result; what a kernel does not have is no event. */
static int end(long result)
{
	result = kernel_result(result);
	if (result == -ENOSYS)
		return result;
	account_result(result);
	account_end();
	return result;
}

static void do_mount(const char *name, const char *source, const char *arg, const char *type,
		     unsigned long flags, const char *flag_names, const char *path, int found)
{
	begin_mount("mount", name, arg, path, found, source, type, flag_names);
	end(syscall(SYS_mount, source, arg, type, flags, NULL));
}

static void do_umount(const char *name, const char *arg, int flags, const char *flag_names, const char *path,
		      int found)
{
	begin("umount", "umount2", name, arg, path, found);
	if (flag_names)
		account_word("flags", flag_names);
	end(syscall(SYS_umount2, arg, flags));
}

static int do_open_tree(const char *name, int dfd, const char *arg, unsigned int flags,
			const char *flag_names, const char *path, int found)
{
	begin_mount("open_tree", name, arg, path, found, NULL, NULL, flag_names);
	return end(syscall(SYS_open_tree, dfd, arg, flags));
}

static void do_move(const char *name, int from, const char *from_arg, int to, const char *to_arg,
		    unsigned int flags, const char *flag_names, const char *source, const char *type,
		    const char *path, int found)
{
	begin_mount("move_mount", name, to_arg, path, found, source, type, flag_names);
	end(syscall(SYS_move_mount, from, from_arg, to, to_arg, flags));
}

static void do_setattr(const char *name, int dfd, const char *arg, unsigned int flags, struct attributes set,
		       size_t size, const char *flag_names, const char *path, int found)
{
	begin_mount("mount_setattr", name, arg, path, found, NULL, NULL, flag_names);
	end(syscall(SYS_mount_setattr_, dfd, arg, flags, &set, size));
}

static void with_mount(void)
{
	do_mount("propagation", NULL, "/", NULL, MS_REC | MS_PRIVATE, "MS_REC|MS_PRIVATE", "/", 1);
	do_mount("plain", "none", "a", "tmpfs", MS_NOSUID | MS_NODEV, "MS_NOSUID|MS_NODEV", in_dir("a"), 1);
	do_mount("twice", "other", in_dir("a"), "tmpfs", 0, NULL, in_dir("a"), 1);
	do_mount("remount", NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, "MS_RDONLY|MS_REMOUNT", in_dir("a"), 1);
	do_mount("bind", in_dir("tree"), "b", NULL, MS_BIND, "MS_BIND", in_dir("b"), 1);
	do_mount("magic", "tree", "c", NULL, BY_MAGIC | MS_BIND, "MS_BIND", in_dir("c"), 1);
	do_mount("file", "file", "tree/inner", NULL, MS_BIND, "MS_BIND", in_dir("tree/inner"), 1);
	do_mount("move", "b", "d/.", NULL, MS_MOVE, "MS_MOVE", in_dir("d"), 1);
	do_mount("symlink", "new\nline", "link", "tmpfs", 0, NULL, in_dir("e"), 1);
	do_mount("empty-source", "", "./f", "tmpfs", 0, NULL, in_dir("f"), 1);
	do_mount("no-entry", "none", "nothing", "tmpfs", 0, NULL, in_dir("nothing"), 0);
	do_mount("no-type", "none", "b", "no-such-fs", 0, NULL, in_dir("b"), 1);
	do_mount("type-missing", "none", "b", NULL, 0, NULL, in_dir("b"), 1);
	do_mount("fault", "none", BAD_ADDRESS, "tmpfs", 0, NULL, NULL, 0);
	do_mount("fault-source", BAD_ADDRESS, "b", "tmpfs", 0, NULL, in_dir("b"), 0);
	do_mount("bind-of-nothing", "nothing", "b", NULL, MS_BIND, "MS_BIND", in_dir("b"), 1);
	do_mount("mismatch", "file", "b", NULL, MS_BIND, "MS_BIND", in_dir("b"), 1);
	do_mount("not-a-directory", "none", "file", "tmpfs", 0, NULL, in_dir("file"), 1);
}

static void with_descriptors(const char *source)
{
	int dirfd = MUST(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)), fs, tree, mount;

	tree = do_open_tree("clone", AT_FDCWD, "tree", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE,
			    "OPEN_TREE_CLONE|AT_RECURSIVE|OPEN_TREE_CLOEXEC", in_dir("tree"), 1);
	do_move("attach", tree, "", dirfd, "g", MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH", source,
		"ext4", in_dir("g"), 1);
	do_move("moved", AT_FDCWD, "g", AT_FDCWD, "link2", MOVE_MOUNT_T_SYMLINKS, "MOVE_MOUNT_T_SYMLINKS",
		in_dir("g"), "ext4", in_dir("h"), 1);
	close(tree);
	do_open_tree("no-entry", dirfd, "nothing", OPEN_TREE_CLONE, "OPEN_TREE_CLONE", in_dir("nothing"), 0);
	do_open_tree("fault", dirfd, BAD_ADDRESS, OPEN_TREE_CLONE, "OPEN_TREE_CLONE", NULL, 0);
	/* Only opens. */
	close(MUST(syscall(SYS_open_tree, dirfd, "tree", 0)));

	fs = MUST(syscall(SYS_fsopen, "tmpfs", 1));
	MUST(syscall(SYS_fsconfig, fs, 1, "source", "fresh", 0));
	MUST(syscall(SYS_fsconfig, fs, 6, NULL, NULL, 0));
	begin_mount("fsmount", "plain", NULL, NULL, 0, "fresh", "tmpfs", "FSMOUNT_CLOEXEC|MOUNT_ATTR_NOSUID");
	account_number("fd", fs);
	mount = end(syscall(SYS_fsmount, fs, 1, 2));
	do_move("attach-fresh", mount, "", AT_FDCWD, in_dir("i"), MOVE_MOUNT_F_EMPTY_PATH,
		"MOVE_MOUNT_F_EMPTY_PATH", "fresh", "tmpfs", in_dir("i"), 1);
	begin_mount("fsmount", "again", NULL, NULL, 0, NULL, NULL, NULL);
	account_number("fd", fs);
	end(syscall(SYS_fsmount, fs, 0, 0));
	begin_mount("fsmount", "no-descriptor", NULL, NULL, 0, NULL, NULL, NULL);
	account_number("fd", 999);
	end(syscall(SYS_fsmount, 999, 0, 0));
	do_move("no-entry", mount, "", AT_FDCWD, "nothing", MOVE_MOUNT_F_EMPTY_PATH,
		"MOVE_MOUNT_F_EMPTY_PATH", in_dir("i"), NULL, in_dir("nothing"), 0);
	close(mount);
	close(fs);

	do_setattr("plain", AT_FDCWD, "./h", AT_RECURSIVE,
		   (struct attributes){ .set = 1, .cleared = 2 | 4, .propagation = MS_PRIVATE },
		   sizeof(struct attributes),
		   "AT_RECURSIVE|MOUNT_ATTR_RDONLY|MS_PRIVATE|~MOUNT_ATTR_NOSUID|~MOUNT_ATTR_NODEV",
		   in_dir("h"), 1);
	mount = MUST(open("h", O_PATH | O_CLOEXEC));
	do_setattr("descriptor", mount, "", AT_EMPTY_PATH, (struct attributes){ .cleared = 1 },
		   sizeof(struct attributes), "AT_EMPTY_PATH|~MOUNT_ATTR_RDONLY", in_dir("h"), 1);
	do_setattr("symlink", AT_FDCWD, "link2", 0, (struct attributes){ .set = 8 },
		   sizeof(struct attributes), "MOUNT_ATTR_NOEXEC", in_dir("h"), 1);
	close(mount);
	do_setattr("invalid", AT_FDCWD, "h", 0, (struct attributes){ .set = 0x40000 },
		   sizeof(struct attributes), "0x40000", in_dir("h"), 0);
	do_setattr("no-entry", dirfd, "nothing", 0, (struct attributes){ .set = 8 },
		   sizeof(struct attributes), "MOUNT_ATTR_NOEXEC", in_dir("nothing"), 0);

	begin_mount("open_tree_attr", "plain", "tree", in_dir("tree"), 1, NULL, NULL,
		    "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|MOUNT_ATTR_RDONLY");
	tree = end(syscall(SYS_open_tree_attr_, AT_FDCWD, "tree", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC,
			   &(struct attributes){ .set = 1 }, sizeof(struct attributes)));
	if (tree >= 0)
		close(tree);
	close(dirfd);
}

static void with_umount(void)
{
	int busy;

	do_umount("lazy", "a", MNT_DETACH, "MNT_DETACH", in_dir("a"), 1);
	do_umount("plain", in_dir("a"), 0, NULL, in_dir("a"), 1);
	do_umount("not-mounted", "a", 0, NULL, in_dir("a"), 1);
	do_umount("nofollow", "link", UMOUNT_NOFOLLOW, "UMOUNT_NOFOLLOW", in_dir("link"), 1);
	busy = MUST(open("e", O_PATH | O_CLOEXEC));
	do_umount("busy", "link", 0, NULL, in_dir("e"), 1);
	close(busy);
	do_umount("expire", "e", MNT_EXPIRE, "MNT_EXPIRE", in_dir("e"), 1);
	do_umount("symlink", "link", MNT_FORCE, "MNT_FORCE", in_dir("e"), 1);
	do_umount("invalid", "f", 0x100, "0x100", in_dir("f"), 0);
	do_umount("no-entry", "nothing", 0, NULL, in_dir("nothing"), 0);
	do_umount("fault", BAD_ADDRESS, 0, NULL, NULL, 0);
	do_umount("file", "tree/inner", 0, NULL, in_dir("tree/inner"), 1);
#ifdef SYS_umount
	begin("umount", "umount", "old", "f", in_dir("f"), 1);
	end(syscall(SYS_umount, "f"));
#else
	do_umount("f", "f", 0, NULL, in_dir("f"), 1);
#endif
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
	do_mount("permission", "none", "a", "tmpfs", 0, NULL, in_dir("a"), 1);
	do_umount("permission", "c", 0, NULL, in_dir("c"), 1);
	do_open_tree("permission", AT_FDCWD, "tree", OPEN_TREE_CLONE, "OPEN_TREE_CLONE", in_dir("tree"), 0);
	do_move("permission", AT_FDCWD, "c", AT_FDCWD, "a", 0, NULL, in_dir("c"), NULL, in_dir("a"), 0);
	do_setattr("permission", AT_FDCWD, "c", 0, (struct attributes){ .set = 8 }, sizeof(struct attributes),
		   "MOUNT_ATTR_NOEXEC", in_dir("c"), 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: mounter DIR SOURCE\n");
		return 2;
	}
	if (!realpath(argv[1], dir))
		die(argv[1]);
	MUST(chdir(dir));
	MUST(unshare(CLONE_NEWNS));
	for (const char *name = "abcdefghi"; *name; name++)
		MUST(mkdir((char[]){ *name, 0 }, 0755));
	MUST(mkdir("tree", 0755));
	close(MUST(open("tree/inner", O_CREAT | O_EXCL | O_WRONLY, 0644)));
	close(MUST(open("file", O_CREAT | O_EXCL | O_WRONLY, 0644)));
	MUST(symlink("e", "link"));
	MUST(symlink("h", "link2"));
	with_mount();
	with_descriptors(argv[2]);
	as_another_user();
	with_umount();
	return 0;
}
