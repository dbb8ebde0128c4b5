/*
 * credentials: sets user ids, group ids and capabilities in every way that there is, and fails
 * in most. Each sequence of calls is a child's, since there is no way back.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "account.h"

#define KEEP (-1L)
#define BAD_ADDRESS ((void *)1)

/* A call: its name, its number, and which of the ids it names in which order. */
struct call {
	const char *event;
	const char *name;
	long number;
	const char *ids; /* r, e, s, f */
	int bits;
};

static const struct call calls[] = {
#ifdef __i386__
	{ "setuid", "setuid", SYS_setuid, "e", 16 },
	{ "setuid", "setreuid", SYS_setreuid, "re", 16 },
	{ "setuid", "setresuid", SYS_setresuid, "res", 16 },
	{ "setuid", "setfsuid", SYS_setfsuid, "f", 16 },
	{ "setgid", "setgid", SYS_setgid, "e", 16 },
	{ "setgid", "setregid", SYS_setregid, "re", 16 },
	{ "setgid", "setresgid", SYS_setresgid, "res", 16 },
	{ "setgid", "setfsgid", SYS_setfsgid, "f", 16 },
	{ "setuid", "setuid32", SYS_setuid32, "e", 32 },
	{ "setuid", "setreuid32", SYS_setreuid32, "re", 32 },
	{ "setuid", "setresuid32", SYS_setresuid32, "res", 32 },
	{ "setuid", "setfsuid32", SYS_setfsuid32, "f", 32 },
	{ "setgid", "setgid32", SYS_setgid32, "e", 32 },
	{ "setgid", "setregid32", SYS_setregid32, "re", 32 },
	{ "setgid", "setresgid32", SYS_setresgid32, "res", 32 },
	{ "setgid", "setfsgid32", SYS_setfsgid32, "f", 32 },
#else
	{ "setuid", "setuid", SYS_setuid, "e", 32 },	     { "setuid", "setreuid", SYS_setreuid, "re", 32 },
	{ "setuid", "setresuid", SYS_setresuid, "res", 32 }, { "setuid", "setfsuid", SYS_setfsuid, "f", 32 },
	{ "setgid", "setgid", SYS_setgid, "e", 32 },	     { "setgid", "setregid", SYS_setregid, "re", 32 },
	{ "setgid", "setresgid", SYS_setresgid, "res", 32 }, { "setgid", "setfsgid", SYS_setfsgid, "f", 32 },
#endif
};

/* Uid: or Gid: of /proc, which is no call that sets them. */
static void account_ids(const char *event)
{
	const char *key = strcmp(event, "setuid") ? "\nGid:" : "\nUid:";
	char text[4096];
	unsigned ids[4];
	int fd = MUST(open("/proc/thread-self/status", O_RDONLY));
	ssize_t length = MUST(read(fd, text, sizeof(text) - 1));
	char *line;

	close(fd);
	text[length] = 0;
	line = strstr(text, key);
	if (!line || sscanf(line + 5, "%u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
		die(key);
	account_add(",\"after\":[%u,%u,%u,%u]", ids[0], ids[1], ids[2], ids[3]);
}

/* Ids of 16 bits have their own -1. */
static long as_passed(const struct call *call, long id)
{
	return call->bits == 16 ? id & 0xffff : id;
}

static void set_by(const struct call *call, const char *name, long first, long second, long third)
{
	const long ids[] = { first, second, third };
	int changes_file_system_id = *call->ids == 'f';
	long result;

	account_begin(call->name, name);
	account_word("event", call->event);
	account_add(",\"asked\":{");
	for (int i = 0; call->ids[i]; i++)
		account_add("%s\"%c\":%lld", i ? "," : "", call->ids[i],
			    ids[i] == KEEP ? -1LL : (long long)(unsigned)ids[i]);
	account_add("}");
	result = kernel_result(syscall(call->number, as_passed(call, first), as_passed(call, second),
				       as_passed(call, third)));
	/* What these return is an id. */
	if (changes_file_system_id)
		account_number("result", (unsigned)result);
	else
		account_result(result);
	account_ids(call->event);
	account_end();
}

static const struct call *find(const char *event, const char *ids, int bits)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!strcmp(calls[i].event, event) && !strcmp(calls[i].ids, ids) && calls[i].bits == bits)
			return &calls[i];
	die(ids);
}

static void in_child(void (*sequence)(const char *, int), const char *event, int bits)
{
	int status;
	pid_t child = MUST(fork());

	if (!child) {
		sequence(event, bits);
		_exit(0);
	}
	MUST(waitpid(child, &status, 0));
	if (status)
		exit(99);
}

static void one_for_all(const char *event, int bits)
{
	const struct call *e = find(event, "e", bits), *re = find(event, "re", bits);
	const struct call *res = find(event, "res", bits), *f = find(event, "f", bits);

	set_by(e, "none", KEEP, 0, 0);
	set_by(e, "same", 0, 0, 0);
	set_by(e, "other", 1000, 0, 0);
	/* To be refused it takes a process without capabilities. */
	if (!strcmp(event, "setgid"))
		set_by(find("setuid", "e", bits), "drop", 1000, 0, 0);
	set_by(e, "refused", 0, 0, 0);
	set_by(re, "refused", KEEP, 0, 0);
	set_by(re, "refused-real", 0, KEEP, 0);
	set_by(res, "refused", 1000, KEEP, 0);
	set_by(f, "refused", 0, 0, 0);
	set_by(f, "same", 1000, 0, 0);
}

static void swapped(const char *event, int bits)
{
	const struct call *re = find(event, "re", bits);

	set_by(re, "both", 1001, 1002, 0);
	set_by(re, "swap", 1002, 1001, 0);
	set_by(re, "neither", KEEP, KEEP, 0);
}

static void each_another(const char *event, int bits)
{
	const struct call *res = find(event, "res", bits), *f = find(event, "f", bits);

	set_by(res, "three", 1, 2, 3);
	set_by(res, "one", KEEP, 3, KEEP);
	set_by(res, "neither", KEEP, KEEP, KEEP);
	set_by(f, "to-real", 1, 0, 0);
}

static void large(const char *event, int bits)
{
	const struct call *f = find(event, "f", bits);
	long id = bits == 16 ? 65534 : 3000000000U;

	set_by(f, "large", id, 0, 0);
	set_by(f, "from-large", 0, 0, 0);
	set_by(find(event, "res", bits), "large", id, id, id);
}

static const struct call *by_thread;

static void *thread(void *unused)
{
	set_by(by_thread, "thread", 7, 8, 9);
	return unused;
}

/* Ids belong to a thread. */
static void in_thread(const char *event, int bits)
{
	pthread_t other;

	by_thread = find(event, "res", bits);
	if (pthread_create(&other, NULL, thread, NULL) || pthread_join(other, NULL))
		die("pthread");
	set_by(by_thread, "other-thread", KEEP, KEEP, KEEP);
}

/* In a namespace where the caller is number 5. */
static void in_namespace(const char *event, int bits)
{
	const char *map = strcmp(event, "setuid") ? "/proc/self/gid_map" : "/proc/self/uid_map";
	int fd;

	MUST(unshare(CLONE_NEWUSER));
	fd = MUST(open("/proc/self/setgroups", O_WRONLY));
	MUST(write(fd, "deny", 4));
	close(fd);
	fd = MUST(open(map, O_WRONLY));
	MUST(write(fd, "5 0 1\n", 6));
	close(fd);
	set_by(find(event, "res", bits), "namespace", 5, 5, 5);
	set_by(find(event, "e", bits), "namespace-unmapped", 7, 0, 0);
}

struct sets {
	unsigned long long effective, permitted, inheritable;
};

#define ALL_CAPABILITIES ((1ULL << (CAP_LAST_CAP + 1)) - 1)
#define BIT(n) (1ULL << (n))

static void account_sets(const char *key, struct sets sets)
{
	account_add(",\"%s\":[%llu,%llu,%llu]", key, sets.effective, sets.permitted, sets.inheritable);
}

static void account_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	struct sets sets;

	MUST(syscall(SYS_capget, &header, data));
	sets.effective = data[0].effective | (unsigned long long)data[1].effective << 32;
	sets.permitted = data[0].permitted | (unsigned long long)data[1].permitted << 32;
	sets.inheritable = data[0].inheritable | (unsigned long long)data[1].inheritable << 32;
	account_sets("after", sets);
}

static void set_capabilities(const char *name, unsigned version, int pid, struct sets sets, void *at)
{
	struct __user_cap_header_struct header = { .version = version, .pid = pid };
	struct __user_cap_data_struct data[2] = {
		{ sets.effective, sets.permitted, sets.inheritable },
		{ sets.effective >> 32, sets.permitted >> 32, sets.inheritable >> 32 },
	};

	account_begin("capset", name);
	account_word("event", "capset");
	if (!at && version == _LINUX_CAPABILITY_VERSION_1) {
		sets.effective &= 0xffffffff;
		sets.permitted &= 0xffffffff;
		sets.inheritable &= 0xffffffff;
	}
	if (!at && version)
		account_sets("asked", sets);
	account_result(kernel_result(syscall(SYS_capset, &header, at ? at : data)));
	account_capabilities();
	account_end();
}

static void capabilities(const char *event, int bits)
{
	const struct sets all = { ALL_CAPABILITIES, ALL_CAPABILITIES, ALL_CAPABILITIES };
	const struct sets few = { BIT(CAP_NET_ADMIN), BIT(CAP_NET_ADMIN) | BIT(CAP_BPF), BIT(CAP_CHOWN) };
	const struct sets beyond = { BIT(CAP_KILL), ALL_CAPABILITIES, BIT(63) | BIT(CAP_CHOWN) };

	(void)event;
	(void)bits;
	set_capabilities("all", _LINUX_CAPABILITY_VERSION_3, 0, all, NULL);
	set_capabilities("self", _LINUX_CAPABILITY_VERSION_3, getpid(), all, NULL);
	set_capabilities("beyond", _LINUX_CAPABILITY_VERSION_3, 0, beyond, NULL);
	set_capabilities("another", _LINUX_CAPABILITY_VERSION_3, getppid(), few, NULL);
	set_capabilities("version", 0, 0, few, NULL);
	set_capabilities("fault", _LINUX_CAPABILITY_VERSION_3, 0, few, BAD_ADDRESS);
	account_begin("capset", "fault-header");
	account_word("event", "capset");
	account_result(kernel_result(syscall(SYS_capset, BAD_ADDRESS, NULL)));
	account_capabilities();
	account_end();
	set_capabilities("second-version", _LINUX_CAPABILITY_VERSION_2, 0, few, NULL);
	set_capabilities("refused", _LINUX_CAPABILITY_VERSION_3, 0, all, NULL);
	set_capabilities("first-version", _LINUX_CAPABILITY_VERSION_1, 0, few, NULL);
	set_capabilities("none", _LINUX_CAPABILITY_VERSION_3, 0, (struct sets){ 0 }, NULL);
}

int main(void)
{
	const char *const events[] = { "setuid", "setgid" };

	for (int i = 0; i < 2; i++) {
#ifdef __i386__
		for (int bits = 16; bits <= 32; bits += 16) {
#else
		for (int bits = 32; bits <= 32; bits += 16) {
#endif
			in_child(one_for_all, events[i], bits);
			in_child(swapped, events[i], bits);
			in_child(each_another, events[i], bits);
			in_child(large, events[i], bits);
			in_child(in_thread, events[i], bits);
			in_child(in_namespace, events[i], bits);
		}
	}
	in_child(capabilities, "capset", 0);
	return 0;
}
