// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The hooks: which kernel function leads where. Programs called probe_* and return_* are attached to kprobes
 * and kretprobes that the daemon defines in tracefs, where maxactive can be set; daemon/src/probes.rs says
 * which function each one belongs to.
 */
#include "call.h"
#include "common.h"
#include "connect.h"
#include "entries.h"
#include "exec.h"
#include "group.h"
#include "open.h"

char LICENSE[] SEC("license") = "GPL";

#define PARM(n, type) ((type)PT_REGS_PARM##n(ctx))
#define PROBE(name, call)             \
	SEC("kprobe")                 \
	int name(struct pt_regs *ctx) \
	{                             \
		return call;          \
	}

/* Reached by tail calls alone. */
SEC("kprobe")
int finish_record(struct pt_regs *ctx)
{
	__u32 zero = 0;
	struct assembly *a = bpf_map_lookup_elem(&assemblies, &zero);

	if (!a)
		return 0;
	for (int slot = 0; slot < PATH_SLOTS; slot++)
		append_wanted_path(a, slot);
	if (a->finish == FINISH_KEEP_CONNECT)
		keep_connect(a);
	else if (a->finish == FINISH_KEEP_CALL)
		keep_call(a);
	else
		submit(a);
	return 0;
}

/* Control groups */
SEC("raw_tp/cgroup_mkdir")
int group_made(struct bpf_raw_tracepoint_args *ctx)
{
	return on_cgroup_mkdir((struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
}

SEC("raw_tp/cgroup_release")
int group_released(struct bpf_raw_tracepoint_args *ctx)
{
	return on_cgroup_release((struct cgroup *)ctx->args[0]);
}

/* int kernfs_vfs_xattr_set(handler, [mnt_userns or idmap,] dentry, inode, suffix, value, size, flags) */
SEC("kprobe")
int probe_kernfs_xattr(struct pt_regs *ctx)
{
	if (bpf_core_field_exists(struct vfsmount___5_12, mnt_userns) ||
	    bpf_core_field_exists(struct vfsmount___6_3, mnt_idmap))
		return on_kernfs_xattr(PARM(4, struct inode *), (const char *)ctx->r8, (const char *)ctx->r9);
	return on_kernfs_xattr(PARM(3, struct inode *), PARM(4, const char *), (const char *)ctx->r8);
}

/* open */
PROBE(probe_filp_open,
      on_filp_open(ctx, PARM(1, int), PARM(2, struct filename *), PARM(3, const struct open_flags *)))
PROBE(probe_handle_open, on_handle_open(ctx, PARM(3, int)))
PROBE(probe_fd_install, on_fd_install(ctx, PARM(1, unsigned int), PARM(2, struct file *)))
PROBE(probe_fixed_fd_install, on_fixed_fd_install(ctx, PARM(3, struct file *)))
PROBE(probe_put_unused_fd, on_put_unused_fd())
PROBE(return_open, on_open_return(ctx, PT_REGS_RC(ctx)))
PROBE(probe_uring_open, on_uring_open(ctx, PARM(1, struct io_kiocb *)))
PROBE(probe_uring_complete, on_uring_complete(PARM(1, struct io_kiocb *), PARM(2, int)))
PROBE(return_uring_open, on_uring_open_return(ctx, PT_REGS_RC(ctx)))

/* exec */
PROBE(probe_exec, on_exec_begin(PARM(1, struct linux_binprm *)))
PROBE(probe_exec_check, on_exec_check(PARM(1, struct linux_binprm *)))
PROBE(probe_exec_success, on_exec_success(ctx, PARM(1, struct linux_binprm *)))
PROBE(return_exec, on_exec_failure(ctx, PT_REGS_RC(ctx)))
PROBE(return_exec_call, on_exec_return(ctx, PT_REGS_RC(ctx)))

/* fork, exit */

/* close, read, write */

/* Names in directories */
PROBE(probe_mkdir, on_mkdir(PARM(1, int), PARM(2, const void *), PARM(3, __u32)))
PROBE(probe_made_mkdir, on_path_created(ctx, EVENT_MKDIR, PARM(1, struct path *), PARM(2, struct dentry *)))
PROBE(return_mkdir, end_call(ctx, EVENT_MKDIR, PT_REGS_RC(ctx)))

/* What changes files: truncate, chmod, chown, setxattr */

/* Mounts */

/* tcp-connect */
PROBE(probe_tcp_connect, on_tcp_connect(ctx, PARM(1, struct sock *), PARM(2, const void *)))
PROBE(return_tcp_connect, on_tcp_connect_return(PT_REGS_RC(ctx)))
PROBE(probe_tcp_state, on_tcp_state(PARM(1, struct sock *), PARM(2, int)))

/* Other events of the network */

/* Privileges */

/* Whatever a task leaves behind when it ends. */
SEC("kprobe")
int probe_exit(struct pt_regs *ctx)
{
	__u64 task = bpf_get_current_task();

	settle_open_call(task);
	bpf_map_delete_elem(&exec_calls, &task);
	settle_connect(task);
	settle_call(task);
	return 0;
}
