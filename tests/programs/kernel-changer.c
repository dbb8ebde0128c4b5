/*
 * kernel-changer DIR MODULE NAME: makes BPF maps and programs, and loads MODULE, a module's
 * file whose name is NAME, in every way that there is, and fails in most. DIR is an empty
 * directory.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "account.h"

#define BAD_ADDRESS ((void *)1)
#define UNKNOWN 4711

static const char *module_name;

/* bpf */

static long bpf(const char *name, int command, const char *command_name, void *attr, unsigned size,
		const char *type, const char *object)
{
	long result;

	account_begin("bpf", name);
	account_word("event", "bpf");
	account_word("command", command_name);
	if (type)
		account_word("type", type);
	if (object)
		account_bytes("object", object);
	result = kernel_result(syscall(SYS_bpf, command, attr, size));
	account_result(result);
	account_end();
	return result;
}

static long make_map(const char *name, unsigned type, const char *type_name, const char *object,
		     unsigned size)
{
	union bpf_attr attr = { .map_type = type, .key_size = 4, .value_size = 8, .max_entries = 2 };

	if (object)
		memcpy(attr.map_name, object, strlen(object) + 1);
	return bpf(name, BPF_MAP_CREATE, "BPF_MAP_CREATE", &attr, size, type_name, object);
}

static long load_program(const char *name, unsigned type, const char *type_name, const char *object,
			 unsigned length)
{
	struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = type,
		.insns = (unsigned long)program,
		.insn_cnt = length,
		.license = (unsigned long)"GPL",
	};

	if (object)
		memcpy(attr.prog_name, object, strlen(object) + 1);
	return bpf(name, BPF_PROG_LOAD, "BPF_PROG_LOAD", &attr, sizeof(attr), type_name, object);
}

static void element(const char *name, int command, const char *command_name, int map)
{
	unsigned key = 1;
	unsigned long long value = 7;
	union bpf_attr attr = {
		.map_fd = map,
		.key = (unsigned long)&key,
		/* It takes none. */
		.value = command == BPF_MAP_DELETE_ELEM ? 0 : (unsigned long)&value,
	};

	bpf(name, command, command_name, &attr, sizeof(attr), NULL, NULL);
}

#define ELEMENT(name, command, map) element(name, command, #command, map)

static void bpf_commands(void)
{
	union bpf_attr none = { 0 };
	int map = MUST(make_map("map", BPF_MAP_TYPE_HASH, "BPF_MAP_TYPE_HASH", "map_one", sizeof(none)));

	make_map("map-no-name", BPF_MAP_TYPE_ARRAY, "BPF_MAP_TYPE_ARRAY", NULL, sizeof(none));
	make_map("map-longest-name", BPF_MAP_TYPE_HASH, "BPF_MAP_TYPE_HASH", "fifteen_letters", sizeof(none));
	make_map("map-small", BPF_MAP_TYPE_ARRAY, "BPF_MAP_TYPE_ARRAY", NULL, 20);
	make_map("map-unspecified", BPF_MAP_TYPE_UNSPEC, "BPF_MAP_TYPE_UNSPEC", "map_two", sizeof(none));
	make_map("map-unknown", UNKNOWN, "4711", NULL, sizeof(none));
	make_map("map-bad-name", BPF_MAP_TYPE_HASH, "BPF_MAP_TYPE_HASH", "new\nline", sizeof(none));
	ELEMENT("update", BPF_MAP_UPDATE_ELEM, map);
	ELEMENT("look-up", BPF_MAP_LOOKUP_ELEM, map);
	ELEMENT("delete", BPF_MAP_DELETE_ELEM, map);
	ELEMENT("look-up-nothing", BPF_MAP_LOOKUP_ELEM, map);
	ELEMENT("bad-descriptor", BPF_MAP_LOOKUP_ELEM, -1);
	load_program("program", BPF_PROG_TYPE_SOCKET_FILTER, "BPF_PROG_TYPE_SOCKET_FILTER", "program_one", 2);
	load_program("program-no-name", BPF_PROG_TYPE_SOCKET_FILTER, "BPF_PROG_TYPE_SOCKET_FILTER", NULL, 2);
	load_program("program-bad", BPF_PROG_TYPE_KPROBE, "BPF_PROG_TYPE_KPROBE", "program_two", 1);
	bpf("unknown", UNKNOWN, "4711", &none, sizeof(none), NULL, NULL);
	bpf("fault", BPF_MAP_CREATE, "BPF_MAP_CREATE", BAD_ADDRESS, sizeof(none), NULL, NULL);
	make_map("too-big", BPF_MAP_TYPE_HASH, "BPF_MAP_TYPE_HASH", "map_big", 1 << 20);
}

static void bpf_refused(void)
{
	make_map("refused", BPF_MAP_TYPE_STACK_TRACE, "BPF_MAP_TYPE_STACK_TRACE", "map_three",
		 sizeof(union bpf_attr));
	load_program("refused", BPF_PROG_TYPE_KPROBE, "BPF_PROG_TYPE_KPROBE", "program_three", 2);
}

/* Modules */

static void begin_load(const char *call, const char *name, const char *parameters, const char *module)
{
	account_begin(call, name);
	account_word("event", "module-load");
	if (module)
		account_word("module", module);
	/* Which also has it read: what nobody has read cannot be recorded. */
	if (parameters != BAD_ADDRESS)
		account_bytes("parameters", parameters);
}

static void end_load(long result)
{
	account_result(result);
	account_end();
}

static void load_image(const char *name, void *image, size_t length, const char *parameters,
		       const char *module)
{
	begin_load("init_module", name, parameters, module);
	end_load(kernel_result(syscall(SYS_init_module, image, length, parameters)));
}

static void load_file(const char *name, int fd, const char *parameters, int flags, const char *module)
{
	char link[64], path[4096];
	struct stat st;
	ssize_t length;

	begin_load("finit_module", name, parameters, module);
	account_number("flags", flags);
	account_number("fd", fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length > 0 && !fstat(fd, &st)) {
		path[length] = 0;
		account_bytes("path", path);
		account_number("inode", st.st_ino);
	}
	end_load(kernel_result(syscall(SYS_finit_module, fd, parameters, flags)));
}

static void unload(void)
{
	MUST(syscall(SYS_delete_module, module_name, O_NONBLOCK));
}

static int copy_to_memory(const void *image, size_t length)
{
	int fd = MUST(memfd_create("module", 0));

	for (size_t done = 0; done < length;)
		done += MUST(write(fd, (const char *)image + done, length - done));
	return fd;
}

static void modules(int fd, void *image, size_t length)
{
	static const char garbage[4096] = "no module";
	int writer = MUST(open("garbage", O_RDWR | O_CREAT, 0600));
	int deleted = MUST(open("garbage", O_RDONLY));
	int memory = copy_to_memory(image, length);

	MUST(write(writer, garbage, sizeof(garbage)));
	load_file("plain", fd, "numdummies=0", 0, module_name);
	load_file("again", fd, "", 0, module_name);
	load_image("again", image, length, "numdummies=0", module_name);
	unload();
	load_image("plain", image, length, "numdummies=0", module_name);
	unload();
	load_file("memory", memory, "numdummies=0", 0, module_name);
	unload();
	load_file("bad-parameter", fd, "numdummies=none", 0, module_name);
	load_file("fault-parameter", fd, BAD_ADDRESS, 0, module_name);
	load_file("bad-descriptor", -1, "x=1", 0, NULL);
	load_file("closed-descriptor", 1000, "", 0, NULL);
	load_file("bad-flags", fd, "", 0x103, NULL);
	load_file("busy", writer, "", 2, NULL);
	close(writer);
	load_file("no-module", deleted, "", 3, NULL);
	MUST(unlink("garbage"));
	load_file("deleted", deleted, "", 1, NULL);
	load_image("no-module", (void *)garbage, sizeof(garbage), "new\nline", NULL);
	load_image("empty", (void *)garbage, 0, "", NULL);
	load_image("fault", BAD_ADDRESS, 4096, "", NULL);
}

static void modules_refused(int fd, void *image, size_t length)
{
	load_file("refused", fd, "numdummies=0", 2, NULL);
	load_image("refused", image, length, "numdummies=0", NULL);
}

int main(int argc, char **argv)
{
	struct stat st;
	void *image;
	int fd, status;
	pid_t child;

	if (argc != 4) {
		fprintf(stderr, "usage: kernel-changer DIR MODULE NAME\n");
		return 2;
	}
	module_name = argv[3];
	/* Maps count against it before v5.11. */
	MUST(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }));
	MUST(chdir(argv[1]));
	fd = MUST(open(argv[2], O_RDONLY));
	MUST(fstat(fd, &st));
	image = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (image == MAP_FAILED)
		die("mmap");
	bpf_commands();
	modules(fd, image, st.st_size);
	child = MUST(fork());
	if (!child) {
		MUST(setuid(1000));
		bpf_refused();
		modules_refused(fd, image, st.st_size);
		return 0;
	}
	MUST(waitpid(child, &status, 0));
	return status ? 99 : 0;
}
