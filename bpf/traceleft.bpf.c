// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The hooks: which kernel function leads where. Programs called probe_* and return_* are attached to kprobes
 * and kretprobes that the daemon defines in tracefs, where maxactive can be set; or, as they are built with
 * FENTRY, to trampolines. daemon/src/probes says which function each one belongs to.
 */
#include "accept.h"
#include "access.h"
#include "attributes.h"
#include "call.h"
#include "close.h"
#include "common.h"
#include "connect.h"
#include "credentials.h"
#include "entries.h"
#include "exec.h"
#include "group.h"
#include "io.h"
#include "journald.h"
#include "kernel_change.h"
#include "mounts.h"
#include "open.h"
#include "socket.h"
#include "truncate.h"
#include "udp.h"
#include "unix.h"
#include "uring.h"
#include "xattr.h"
#include "process.h"
#include "ptrace.h"
#include "signal.h"

char LICENSE[] SEC("license") = "GPL";

#ifdef FENTRY
/* An argument of the function, or what it has returned: a number, though the verifier knows it as a pointer. */
static __always_inline __u64 argument(void *ctx, __u32 n)
{
	__u64 value = 0;

	bpf_get_func_arg(ctx, n, &value);
	return value;
}

static __always_inline __u64 returned(void *ctx)
{
	__u64 value = 0;

	bpf_get_func_ret(ctx, &value);
	return value;
}

#define PARM(n, type) ((type)argument(ctx, (n) - 1))
#define RESULT returned(ctx)
#define PROGRAM(section, name, call)   \
	SEC(section)                   \
	int name(void *ctx)            \
	{                              \
		call;                  \
		give_back_workspace(); \
		return 0;              \
	}
#define PROBE(name, call) PROGRAM("fentry", name, call)
#define RETURN(name, call) PROGRAM("fexit", name, call)
#else
#define PARM(n, type) ((type)PT_REGS_PARM##n(ctx))
#define RESULT PT_REGS_RC(ctx)
#define PROBE(name, call)             \
	SEC("kprobe")                 \
	int name(struct pt_regs *ctx) \
	{                             \
		return call;          \
	}
#define RETURN(name, call) PROBE(name, call)
#endif

static __always_inline void finish_assembly(struct assembly *a, __u32 workspace)
{
	append_paths(a, workspace);
	if (a->finish == FINISH_KEEP_CONNECT)
		keep_connect(a, workspace);
	else if (a->finish == FINISH_KEEP_CONNECTION)
		keep_connection_of(a, workspace);
	else if (a->finish == FINISH_KEEP_ACCEPT)
		keep_accept(a, workspace);
	else if (a->finish == FINISH_KEEP_LEAVING)
		keep_leaving(a, workspace);
	else if (a->finish == FINISH_KEEP_CALL)
		keep_call(a);
	else
		submit(a);
}

#ifdef FENTRY
int finish_record(__u32 workspace)
{
	struct assembly *a = assembly_in(workspace);

	if (a)
		finish_assembly(a, workspace);
	return 0;
}
#else
/* Reached by tail calls alone. */
SEC("kprobe")
int finish_record(struct pt_regs *ctx)
{
	struct assembly *a = assembly_in(0);

	if (a)
		finish_assembly(a, 0);
	return 0;
}
#endif

/* Control groups */
SEC("raw_tp/cgroup_mkdir")
int group_made(struct bpf_raw_tracepoint_args *ctx)
{
	return on_cgroup_mkdir((struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
}

SEC("raw_tp/cgroup_rmdir")
int group_removed(struct bpf_raw_tracepoint_args *ctx)
{
	return on_cgroup_rmdir((struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
}

/* Attached to nothing: the daemon runs it. */
SEC("raw_tp")
int access_map(void *ctx)
{
	__u32 zero = 0;
	struct map_access *a = bpf_map_lookup_elem(&map_access, &zero);

	return a ? on_map_access(a) : -ENOENT;
}

/* Functions that change a file have an argument about its mount before the dentry since v5.12. */
static __always_inline int has_mount_argument(void)
{
	return bpf_core_field_exists(struct vfsmount___5_12, mnt_userns) ||
	       bpf_core_field_exists(struct vfsmount___6_3, mnt_idmap);
}

/* int kernfs_vfs_xattr_set(handler, [mnt_userns or idmap,] dentry, inode, suffix, value, size, flags) */
PROBE(probe_kernfs_xattr,
      has_mount_argument() ?
	      on_kernfs_xattr(PARM(4, struct inode *), PARM(5, const char *), PARM(6, const char *)) :
	      on_kernfs_xattr(PARM(3, struct inode *), PARM(4, const char *), PARM(5, const char *)))

/* int vfs_symlink([mnt_userns or idmap,] dir, dentry, oldname, ...) */
PROBE(probe_symlink_made, has_mount_argument() ?
				  on_symlink_made(PARM(3, struct dentry *), PARM(4, const char *)) :
				  on_symlink_made(PARM(2, struct dentry *), PARM(3, const char *)))

/* What systemd does before a unit's program runs; on_exec_check() and on_exec_success() are a part of it */
PROBE(probe_task_made, on_task_made(PARM(1, struct task_struct *)))
static __always_inline int on_files_gone(void)
{
	end_own_work();
	return on_task_gone();
}

PROBE(probe_task_gone, on_files_gone())

/* journald at our records */
PROBE(probe_turn, on_turn())
PROBE(probe_datagram, on_datagram(PARM(2, struct sock *), PARM(3, struct sk_buff *)))
PROBE(probe_timer, on_timer())

/* open */
PROBE(probe_filp_open,
      on_filp_open(ctx, PARM(1, int), PARM(2, struct filename *), PARM(3, const struct open_flags *)))
PROBE(probe_handle_open, on_handle_open(ctx, PARM(3, int)))
PROBE(probe_fd_install, on_fd_install(ctx, PARM(1, unsigned int), PARM(2, struct file *)))
PROBE(probe_fixed_fd_install, on_fixed_fd_install(ctx, PARM(3, struct file *)))
PROBE(probe_put_unused_fd, on_put_unused_fd())
RETURN(return_open, on_open_return(ctx, RESULT))
PROBE(probe_uring_open, on_uring_open(ctx, PARM(1, struct io_kiocb *)))
PROBE(probe_uring_complete, on_uring_complete(PARM(1, struct io_kiocb *), PARM(2, int)))
RETURN(return_uring_open, on_uring_open_return(ctx, RESULT))

/* exec */
PROBE(probe_exec_alloc, on_exec_alloc(PARM(2, struct filename *)))
RETURN(return_exec_alloc, on_exec_alloc_failure(ctx, RESULT))
PROBE(probe_exec, on_exec_begin(PARM(1, struct linux_binprm *)))
PROBE(probe_exec_check, on_exec_check(PARM(1, struct linux_binprm *)))
PROBE(probe_exec_success, on_exec_success(ctx, PARM(1, struct linux_binprm *)))
RETURN(return_exec, on_exec_failure(ctx, RESULT))
RETURN(return_exec_call, on_exec_return(ctx, RESULT))

/* fork, exit */
PROBE(probe_fork, on_fork(PARM(1, struct kernel_clone_args *)))
PROBE(probe_new_task, on_new_task(ctx, PARM(1, struct task_struct *)))
RETURN(return_fork, on_fork_return(ctx, RESULT))
RETURN(return_clone3, on_clone3_return(ctx, RESULT))
PROBE(probe_thread_end, on_thread_end(ctx, PARM(1, long), PARM(2, int)))

/* close */
PROBE(probe_close, on_close(PARM(1, unsigned int)))
RETURN(return_close, on_close_return(ctx, RESULT))
PROBE(probe_flush, on_flush(ctx, PARM(1, struct file *)))
RETURN(return_flush, on_flush_return(ctx, RESULT))
PROBE(probe_close_range, on_close_range())
RETURN(return_close_range, on_close_range_return(ctx, RESULT))
PROBE(probe_pick, on_pick(PARM(2, unsigned int)))
PROBE(probe_uring_close, on_uring_close(PARM(1, struct io_kiocb *)))
RETURN(return_uring_close, on_uring_close_return(ctx, RESULT))

/* read */
PROBE(probe_read, on_io(EVENT_READ, PARM(1, int), PARM(3, __u64)))
PROBE(probe_pread_inlined, on_inlined(EVENT_READ, 0))
PROBE(probe_pread, on_outlined(EVENT_READ, INLINED_PREAD64, 0))
PROBE(probe_preadv_inlined, on_inlined(EVENT_READ, 1))
PROBE(probe_preadv, on_outlined(EVENT_READ, INLINED_PREADV, 1))
PROBE(probe_readv, on_io(EVENT_READ, PARM(1, int), SIZE_UNKNOWN))
RETURN(return_read, on_io_return(ctx, EVENT_READ, 0, RESULT))
RETURN(return_readv, on_io_return(ctx, EVENT_READ, 1, RESULT))
PROBE(probe_sendfile_in, on_side(EVENT_READ, 1, 3))
PROBE(probe_splice_in, on_side(EVENT_READ, 0, 4))
PROBE(probe_file_in, on_side_file(ctx, EVENT_READ, PARM(1, struct file *)))
RETURN(return_in, on_side_return(ctx, EVENT_READ, RESULT))
PROBE(probe_uring_read, on_uring_io(ctx, EVENT_READ, PARM(1, struct io_kiocb *)))
RETURN(return_uring_read, on_uring_io_return(ctx, EVENT_READ, RESULT))
PROBE(probe_uring_splice_in, on_uring_splice(ctx, EVENT_READ, PARM(1, struct file *), PARM(5, __u64)))
RETURN(return_uring_splice_in, on_uring_splice_return(ctx, EVENT_READ, RESULT))
RETURN(return_uring_multishot, on_uring_multishot_return(ctx, RESULT))

/* write */
PROBE(probe_write, on_io(EVENT_WRITE, PARM(1, int), PARM(3, __u64)))
PROBE(probe_pwrite_inlined, on_inlined(EVENT_WRITE, 0))
PROBE(probe_pwrite, on_outlined(EVENT_WRITE, INLINED_PWRITE64, 0))
PROBE(probe_pwritev_inlined, on_inlined(EVENT_WRITE, 1))
PROBE(probe_pwritev, on_outlined(EVENT_WRITE, INLINED_PWRITEV, 1))
PROBE(probe_writev, on_io(EVENT_WRITE, PARM(1, int), SIZE_UNKNOWN))
RETURN(return_write, on_io_return(ctx, EVENT_WRITE, 0, RESULT))
RETURN(return_writev, on_io_return(ctx, EVENT_WRITE, 1, RESULT))
PROBE(probe_sendfile_out, on_side(EVENT_WRITE, 0, 3))
PROBE(probe_splice_out, on_side(EVENT_WRITE, 2, 4))
PROBE(probe_file_out, on_side_file(ctx, EVENT_WRITE, PARM(3, struct file *)))
RETURN(return_out, on_side_return(ctx, EVENT_WRITE, RESULT))
PROBE(probe_uring_write, on_uring_io(ctx, EVENT_WRITE, PARM(1, struct io_kiocb *)))
RETURN(return_uring_write, on_uring_io_return(ctx, EVENT_WRITE, RESULT))
PROBE(probe_uring_splice_out, on_uring_splice(ctx, EVENT_WRITE, PARM(3, struct file *), PARM(5, __u64)))
RETURN(return_uring_splice_out, on_uring_splice_return(ctx, EVENT_WRITE, RESULT))

/* Both */
PROBE(probe_verify_area, on_verify_area(ctx, PARM(1, int), PARM(2, struct file *), PARM(4, __u64)))
PROBE(probe_uring_rw_complete, on_uring_rw_complete(PARM(1, __u64), PARM(2, __s32)))
PROBE(probe_uring_post, on_uring_post(ctx, PARM(1, struct io_kiocb *), PARM(2, __s32)))

/* Names in directories */
PROBE(probe_mkdir, on_entry(EVENT_MKDIR, PARM(1, int), PARM(2, const void *), PARM(3, __u32), 0))
PROBE(probe_path_mkdir, on_entry_found(ctx, EVENT_MKDIR, PARM(1, struct path *), PARM(2, struct dentry *)))
RETURN(return_mkdir, on_entry_return(ctx, EVENT_MKDIR, RESULT))
PROBE(probe_rmdir, on_entry(EVENT_RMDIR, PARM(1, int), PARM(2, const void *), 0, 0))
PROBE(probe_path_rmdir, on_entry_found(ctx, EVENT_RMDIR, PARM(1, struct path *), PARM(2, struct dentry *)))
RETURN(return_rmdir, on_entry_return(ctx, EVENT_RMDIR, RESULT))
PROBE(probe_unlink, on_entry(EVENT_UNLINK, PARM(1, int), PARM(2, const void *), 0, 0))
PROBE(probe_path_unlink, on_entry_found(ctx, EVENT_UNLINK, PARM(1, struct path *), PARM(2, struct dentry *)))
RETURN(return_unlink, on_entry_return(ctx, EVENT_UNLINK, RESULT))
PROBE(probe_unlinkat, on_unlinkat())
RETURN(return_unlinkat, on_unlinkat_return(ctx, RESULT))
PROBE(probe_rename, on_two_names(EVENT_RENAME, PARM(1, int), PARM(2, const void *), PARM(3, int),
				 PARM(4, const void *), PARM(5, __u32)))
PROBE(probe_path_rename, on_rename_found(ctx, PARM(1, struct path *), PARM(2, struct dentry *),
					 PARM(3, struct path *), PARM(4, struct dentry *)))
RETURN(return_rename, on_entry_return(ctx, EVENT_RENAME, RESULT))
PROBE(probe_link, on_two_names(EVENT_LINK, PARM(1, int), PARM(2, const void *), PARM(3, int),
			       PARM(4, const void *), PARM(5, __u32)))
PROBE(probe_path_link,
      on_link_found(ctx, PARM(1, struct dentry *), PARM(2, struct path *), PARM(3, struct dentry *)))
RETURN(return_link, on_entry_return(ctx, EVENT_LINK, RESULT))
PROBE(probe_symlink, on_symlink(PARM(1, const void *), PARM(2, int), PARM(3, const void *)))
PROBE(probe_path_symlink,
      on_entry_found(ctx, EVENT_SYMLINK, PARM(1, struct path *), PARM(2, struct dentry *)))
RETURN(return_symlink, on_entry_return(ctx, EVENT_SYMLINK, RESULT))
PROBE(probe_mknod, on_entry(EVENT_MKNOD, PARM(1, int), PARM(2, const void *), PARM(3, __u32), PARM(4, __u32)))
PROBE(probe_path_mknod, on_entry_found(ctx, EVENT_MKNOD, PARM(1, struct path *), PARM(2, struct dentry *)))
RETURN(return_mknod, on_entry_return(ctx, EVENT_MKNOD, RESULT))
RETURN(return_entry_made, on_entry_made(RESULT))

/* What changes files: truncate, chmod, chown, setxattr */
PROBE(probe_chmod, on_chmod())
PROBE(probe_chmod_path, on_path_found(ctx, EVENT_CHMOD, PARM(1, struct path *)))
RETURN(return_chmod, end_file_call(ctx, EVENT_CHMOD, RESULT))
PROBE(probe_chown, on_chown())
PROBE(probe_chown_path, on_path_found(ctx, EVENT_CHOWN, PARM(1, struct path *)))
RETURN(return_chown, end_file_call(ctx, EVENT_CHOWN, RESULT))
PROBE(probe_truncate, on_truncate())
PROBE(probe_truncate_path, on_path_found(ctx, EVENT_TRUNCATE, PARM(1, struct path *)))
RETURN(return_do_truncate, on_do_truncate_return(ctx, RESULT))
RETURN(return_truncate, end_file_call(ctx, EVENT_TRUNCATE, RESULT))
PROBE(probe_uring_truncate, on_uring_truncate(ctx, PARM(1, struct file *), PARM(2, __u64)))
RETURN(return_uring_truncate, on_uring_truncate_return(ctx, RESULT))
PROBE(probe_setxattr, on_setxattr())
PROBE(probe_want_write, on_want_write(PARM(1, struct vfsmount *)))
RETURN(return_setxattr, on_setxattr_return(ctx, RESULT))
PROBE(probe_uring_setxattr, on_uring_setxattr(PARM(1, struct io_kiocb *)))
PROBE(probe_uring_fsetxattr, on_uring_fsetxattr(ctx, PARM(1, struct io_kiocb *)))
RETURN(return_uring_setxattr, on_uring_setxattr_return(ctx, RESULT))

/* int do_truncate([mnt_userns or idmap,] dentry, length, time_attrs, filp) */
PROBE(probe_do_truncate, has_mount_argument() ?
				 on_do_truncate(ctx, PARM(3, __u64), PARM(4, __u32), PARM(5, struct file *)) :
				 on_do_truncate(ctx, PARM(2, __u64), PARM(3, __u32), PARM(4, struct file *)))

/*
 * int vfs_setxattr([mnt_userns or idmap,] dentry, name, value, size, flags)
 * int do_set_acl(idmap, dentry, name, value, size)
 */
PROBE(probe_set_xattr,
      has_mount_argument() ?
	      on_xattr_set(ctx, PARM(2, struct dentry *), PARM(3, const char *), PARM(5, __u64)) :
	      on_xattr_set(ctx, PARM(1, struct dentry *), PARM(2, const char *), PARM(4, __u64)))

/* Mounts */
PROBE(probe_mount, on_mount())
PROBE(probe_path_mount,
      on_path_mount(ctx, PARM(1, const char *), PARM(2, struct path *), PARM(3, const char *)))
PROBE(probe_move_mount, on_move_mount(ctx, PARM(1, struct path *), PARM(2, struct path *)))
PROBE(probe_fsmount, on_fsmount(PARM(1, struct fs_context *)))
PROBE(probe_open_tree, on_path_found(ctx, EVENT_MOUNT, PARM(1, struct path *)))
PROBE(probe_mount_setattr, on_mount_setattr(ctx, PARM(1, void *), PARM(2, void *)))
RETURN(return_mount, on_mount_return(ctx, RESULT))
PROBE(probe_umount, on_umount())
PROBE(probe_umount_path, on_path_found(ctx, EVENT_UMOUNT, PARM(1, struct path *)))
RETURN(return_umount, end_file_call(ctx, EVENT_UMOUNT, RESULT))

/* tcp-connect */
PROBE(probe_tcp_connect, on_tcp_connect(ctx, PARM(1, struct sock *), PARM(2, const void *)))
RETURN(return_tcp_connect, on_tcp_connect_return(RESULT))

/*
 * States of sockets change in softirqs, too, that come on top of any program; a kprobe would be missed then. A
 * tracepoint's program is missed only on top of itself (v6.1 on), so there are two of each: what comes on top of
 * the first is seen by the second, and the other way round.
 */
#define STATE_PROGRAM(name, call)                                \
	SEC("raw_tp/inet_sock_set_state")                        \
	int name(struct bpf_raw_tracepoint_args *ctx)            \
	{                                                        \
		struct sock *sk = (struct sock *)ctx->args[0];   \
		int before = ctx->args[1], state = ctx->args[2]; \
                                                                 \
		return call;                                     \
	}

STATE_PROGRAM(state_connect, on_connect_state(sk, before, state, 0))
STATE_PROGRAM(state_connect_again, on_connect_state(sk, before, state, 1))

/* tcp-accept */
PROBE(probe_accept, on_accept(PARM(1, int)))
RETURN(return_accept, on_accept_return(ctx, RESULT))
PROBE(probe_do_accept, on_do_accept(PARM(1, struct file *)))
RETURN(return_do_accept, on_do_accept_return(ctx, RESULT))
PROBE(probe_sock_graft, on_sock_graft(ctx, PARM(1, struct sock *)))
PROBE(probe_accept_installed, on_accept_installed(ctx, PARM(1, __u32), PARM(2, struct file *)))
PROBE(probe_accept_fixed, on_accept_fixed(ctx, PARM(3, struct file *)))
/* Before v6.0 by another function. */
PROBE(probe_accept_fixed_5_15, on_accept_fixed(ctx, PARM(2, struct file *)))

/* tcp-close */
STATE_PROGRAM(state_close, on_close_state(sk, before, state, 0))
STATE_PROGRAM(state_close_again, on_close_state(sk, before, state, 1))
PROBE(probe_tcp_close, on_tcp_close(ctx, PARM(1, struct sock *)))
PROBE(probe_leaving, on_leaving(ctx))
PROBE(probe_socket_freed, on_socket_freed(PARM(1, struct sock *)))

/* Other ends of connections: of all processes */
PROBE(probe_client, on_client(PARM(1, struct sock *)))
PROBE(probe_listener, on_listener(PARM(1, struct sock *)))
PROBE(probe_listener_accepts, on_listener(PARM(1, struct sock *)))
PROBE(probe_request, on_request(PARM(1, struct sock *), PARM(3, struct sock *)))

SEC("iter/task_file")
int find_listeners(struct bpf_iter__task_file *ctx)
{
	return on_task_file(ctx);
}

/* bind, listen */
PROBE(probe_bind, on_socket_call(EVENT_BIND, PARM(1, int), 0))
PROBE(probe_bind_address, on_bind_address(PARM(1, struct socket *), PARM(2, const void *), PARM(3, int)))
RETURN(return_bind, on_socket_return(ctx, EVENT_BIND, RESULT))
PROBE(probe_listen, on_socket_call(EVENT_LISTEN, PARM(1, int), PARM(2, int)))
PROBE(probe_listen_socket, on_listen_socket(PARM(1, struct socket *), PARM(2, int)))
RETURN(return_listen, on_socket_return(ctx, EVENT_LISTEN, RESULT))

/* udp-send */
PROBE(probe_udp_send, on_udp_send(PARM(1, struct sock *), PARM(2, struct msghdr *), 0))
PROBE(probe_udp6_send, on_udp_send(PARM(1, struct sock *), PARM(2, struct msghdr *), 1))
RETURN(return_udp_send, on_udp_send_return(ctx, RESULT))

/* unix-connect */
PROBE(probe_connect, on_connect_call(PARM(1, int)))
PROBE(probe_unix_connect, on_unix_connect(PARM(1, struct socket *), PARM(2, const void *), PARM(3, int), 0))
PROBE(probe_unix_datagram, on_unix_connect(PARM(1, struct socket *), PARM(2, const void *), PARM(3, int), 1))
PROBE(probe_kern_path, on_kern_path(PARM(3, struct path *)))
RETURN(return_kern_path, on_kern_path_return(ctx, RESULT))
PROBE(probe_unix_peer, on_unix_stream_peer(ctx, PARM(1, struct sock *), PARM(2, struct sock *)))
RETURN(return_unix_connect, on_unix_connect_return(ctx, RESULT))

/* Other events of the network */

/* kill, ptrace */
PROBE(probe_signal_call, on_signal_call(ctx))
PROBE(probe_signal_target, on_signal_target(ctx, PARM(2, struct task_struct *)))
RETURN(return_signal_answer, on_signal_answer(RESULT))
RETURN(return_signal_call, on_signal_return(ctx, RESULT))
PROBE(probe_ptrace, on_ptrace())
RETURN(return_task_by_pid, on_ptrace_target(RESULT))
RETURN(return_ptrace, end_call(ctx, EVENT_PTRACE, RESULT))

/* Privileges */

/* setuid */
PROBE(probe_setuid, on_set_ids(EVENT_SETUID, NO_NUMBER, PARM(1, __u32), NO_NUMBER, NO_NUMBER))
PROBE(probe_setreuid, on_set_ids(EVENT_SETUID, PARM(1, __u32), PARM(2, __u32), NO_NUMBER, NO_NUMBER))
PROBE(probe_setresuid, on_set_ids(EVENT_SETUID, PARM(1, __u32), PARM(2, __u32), PARM(3, __u32), NO_NUMBER))
PROBE(probe_setfsuid, on_set_ids(EVENT_SETUID, NO_NUMBER, NO_NUMBER, NO_NUMBER, PARM(1, __u32)))
RETURN(return_setuid, on_ids_set(ctx, EVENT_SETUID, RESULT))
RETURN(return_setfsuid, on_file_system_id_set(ctx, EVENT_SETUID, RESULT))

/* setgid */
PROBE(probe_setgid, on_set_ids(EVENT_SETGID, NO_NUMBER, PARM(1, __u32), NO_NUMBER, NO_NUMBER))
PROBE(probe_setregid, on_set_ids(EVENT_SETGID, PARM(1, __u32), PARM(2, __u32), NO_NUMBER, NO_NUMBER))
PROBE(probe_setresgid, on_set_ids(EVENT_SETGID, PARM(1, __u32), PARM(2, __u32), PARM(3, __u32), NO_NUMBER))
PROBE(probe_setfsgid, on_set_ids(EVENT_SETGID, NO_NUMBER, NO_NUMBER, NO_NUMBER, PARM(1, __u32)))
RETURN(return_setgid, on_ids_set(ctx, EVENT_SETGID, RESULT))
RETURN(return_setfsgid, on_file_system_id_set(ctx, EVENT_SETGID, RESULT))

/* capset */
PROBE(probe_capset, on_capset())
PROBE(probe_capset_check, on_capset_check(PARM(3, const kernel_cap_t *), PARM(4, const kernel_cap_t *),
					  PARM(5, const kernel_cap_t *)))
RETURN(return_capset, end_call(ctx, EVENT_CAPSET, RESULT))

/* bpf */
PROBE(probe_bpf, on_bpf())
PROBE(probe_bpf_check, on_bpf_check(PARM(1, __u32), PARM(2, const void *)))
RETURN(return_bpf, end_call(ctx, EVENT_BPF, RESULT))

/* module-load */
PROBE(probe_init_module, on_init_module())
PROBE(probe_finit_module, on_finit_module())
PROBE(probe_kernel_read_file, on_kernel_read_file(ctx, PARM(1, struct file *)))
PROBE(probe_module_sections, on_module_name(PARM(4, struct module *)->name))
PROBE(probe_module_search, on_module_name(PARM(1, const char *)))
PROBE(probe_module_parameters, on_module_parameters(PARM(1, const char *), PARM(2, const char *)))
RETURN(return_module, on_module_return(ctx, RESULT))

/* Whatever a task leaves behind when it ends. */
static __always_inline int on_exit(void)
{
	__u64 task = bpf_get_current_task();

	settle_open(slot_of(task), task);
	forget_exec(task);
	settle_connect(task);
	settle_call(task);
	settle_call(second_side(task));
	settle_call(call_key(EVENT_UDP_SEND));
	remove_task(task);
	forget_call(task);
	forget_call(second_side(task));
	forget_call(call_key(EVENT_UDP_SEND));
	return 0;
}

PROBE(probe_exit, on_exit())
