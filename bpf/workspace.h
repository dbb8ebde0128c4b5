/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a run of a program puts its record together: a number, by which it has a part of some maps of its processor to
 * itself.
 *
 * Programs of kprobes run with preemption disabled, and the kernel does not start one on top of another but counts it
 * as missed. So number 0 is for all of them. Programs of trampolines (fentry and fexit, built with FENTRY) can be
 * preempted and interrupted by others, so a run takes one of the other numbers, and gives it back at its end.
 */
#pragma once

#include "maps.h"

/* By processor: the runs that have taken these numbers. */
struct workspace_owners {
	__u64 of[WORKSPACES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct workspace_owners);
} workspace_owners SEC(".maps");

/* How many are taken, on all processors: where there are none, nobody has to look whether one is to be given back. */
__u64 workspaces_taken = 0;

/*
 * Of a function with large variables. What a program has on the stack while it looks up paths must leave room for that,
 * where that is not a program of its own.
 */
#ifdef FENTRY
#define OWN_FRAME __noinline
#else
#define OWN_FRAME __always_inline
#endif

#ifdef FENTRY
/* No other run that has not ended has the same stack. */
#define THIS_RUN                                      \
	({                                            \
		__u64 run;                            \
		asm volatile("%0 = r10" : "=r"(run)); \
		run;                                  \
	})

static __always_inline struct workspace_owners *get_workspace_owners(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&workspace_owners, &zero);
}

/* The number of this run, which it takes if it has none; none that is in the maps if there is no more. */
static __always_inline __u32 own_workspace(void)
{
	struct workspace_owners *owners = get_workspace_owners();

	if (!owners)
		return WORKSPACES;
	for (__u32 n = 1; n < WORKSPACES; n++)
		if (owners->of[n] == THIS_RUN)
			return n;
	for (__u32 n = 1; n < WORKSPACES; n++)
		if (!__sync_val_compare_and_swap(&owners->of[n], 0, THIS_RUN)) {
			__sync_fetch_and_add(&workspaces_taken, 1);
			return n;
		}
	return WORKSPACES;
}

/* The last thing that a program does. */
static __always_inline void give_back_workspace(void)
{
	struct workspace_owners *owners;

	if (!workspaces_taken)
		return;
	owners = get_workspace_owners();
	if (!owners)
		return;
	for (__u32 n = 1; n < WORKSPACES; n++)
		if (owners->of[n] == THIS_RUN) {
			__sync_fetch_and_add(&workspaces_taken, -1);
			*(volatile __u64 *)&owners->of[n] = 0;
			return;
		}
}
#else
static __always_inline __u32 own_workspace(void)
{
	return 0;
}
#endif

/*
 * Does a step again and again, so many times or until it is not 0: `at` is what it goes by. STEP() is said of it before.
 * Trampolines' programs leave to the kernel's loop what few paths have: its calls take more, but it is verified once.
 */
#ifdef FENTRY
#define STEPS_AT_ONCE 8
#define STEP(step, type)                            \
	static int step##_later(__u64 i, type *at)  \
	{                                           \
		return step(STEPS_AT_ONCE + i, at); \
	}
#define REPEAT(times, step, at)                                                 \
	do {                                                                    \
		__u64 i = 0;                                                    \
                                                                                \
		while (i < STEPS_AT_ONCE && !step(i, at))                       \
			i++;                                                    \
		if (i == STEPS_AT_ONCE)                                         \
			bpf_loop((times) - STEPS_AT_ONCE, step##_later, at, 0); \
	} while (0)
#else
#define STEP(step, type)
#define REPEAT(times, step, at)             \
	for (int i = 0; i < (times); i++) { \
		if (step(i, at))            \
			break;              \
	}
#endif
