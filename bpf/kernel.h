/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The members of kernel structures that we read, and no others. CO-RE finds where they lie in the running
 * kernel, so neither order nor size matters here.
 */
#pragma once

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr {
	__u32 hash;
	__u32 len;
	const unsigned char *name;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	__u32 s_dev;
	struct file_system_type *s_type;
};

struct inode {
	unsigned short i_mode;
	__u32 i_nlink;
	struct super_block *i_sb;
	unsigned long i_ino;
	long long i_size;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct ns_common {
	unsigned int inum;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	const char *mnt_devname;
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file_operations {
	void *flush;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	const struct file_operations *f_op;
	unsigned int f_flags;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *close_on_exec;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct net {
	struct ns_common ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
};

/* As the kernel names them. */
struct pt_regs___kernel {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
		flags, sp, ss;
};

struct thread_info {
	__u32 status;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

typedef struct {
	__u64 val;
} kernel_cap_t;

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kgid_t sgid;
	kuid_t euid;
	kgid_t egid;
	kuid_t fsuid;
	kgid_t fsgid;
};

struct module {
	char name[56]; /* MODULE_NAME_LEN */
};

struct filename {
	const char *name;
};

/* A look-up of a path under way. */
struct nameidata {
	struct filename *name;
};

/* A file system being prepared to be mounted. */
struct fs_context {
	struct file_system_type *fs_type;
	const char *source;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct signal_struct {
	unsigned int flags;
	int group_exit_code;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct kernel_clone_args {
	__u64 flags;
	int exit_signal;
};

struct task_io_accounting {
	__u64 rchar;
	__u64 wchar;
	__u64 syscr;
	__u64 syscw;
};

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int flags;
	int exit_code;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct css_set *cgroups;
	char comm[16];
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	const struct cred *cred;
	struct nameidata *nameidata;
	kuid_t loginuid;
	unsigned int sessionid;
	struct task_io_accounting ioac;
};

struct open_flags {
	int open_flag;
	__u16 mode;
};

struct linux_binprm {
	struct file *file;
	int argc;
	const char *filename;
	const char *interp;
	const char *fdpath;
};

/* The descriptor is where the result is later. */
struct io_cqe {
	__s32 res;
	int fd;
};

struct io_kiocb {
	struct file *file;
	__u8 opcode;
	unsigned int flags;
	struct io_cqe cqe;
};

struct xattr_name {
	char name[256];
};

struct xattr_ctx {
	unsigned long size;
	struct xattr_name *kname;
	unsigned int flags;
};

/* Of a request that sets an extended attribute (v5.19). */
struct io_xattr {
	struct xattr_ctx ctx;
	struct filename *filename;
};

/* Since v7.0. */
struct delayed_filename {
	struct filename *__incomplete_filename;
};

struct io_xattr___7_0 {
	struct delayed_filename filename;
};

/* Before commit cef216fc32d7 (v5.19). */
struct io_kiocb___5_18 {
	__u32 result;
};

struct open_how {
	__u64 flags;
};

/* What io_uring keeps of an open, a close, a read or a write, at the beginning of its request. */
struct io_open {
	struct open_how how;
};

struct io_close {
	int fd;
	__u32 file_slot;
};

struct io_rw {
	__u64 addr;
	__u32 len;
};

struct in6_addr {
	__u8 bytes[16];
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct socket {
	short type;
	struct file *file;
	struct sock *sk;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* Before commit 8520e224f547 (v5.15). */
struct sock_cgroup_data___5_14 {
	__u64 val;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	__u16 sk_type;
	__u16 sk_protocol;
	struct socket *sk_socket;
	struct pid *sk_peer_pid;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sock___5_14 {
	struct sock_cgroup_data___5_14 sk_cgrp_data;
};

struct sk_buff {
	char cb[48];
};

/* What is in `cb` of a datagram between unix sockets. */
struct unix_skb_parms {
	struct pid *pid;
};

struct inet_sock {
	__u16 inet_sport;
};

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
};

struct msghdr {
	void *msg_name;
	int msg_namelen;
};

struct sockaddr_un {
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

/* Commit 02f92b3868a1 (v5.12) gave xattr handlers a user namespace before the dentry. */
struct vfsmount___5_12 {
	void *mnt_userns;
};

/* Commit c14329d39f2d (v6.3) made that argument an idmap. */
struct vfsmount___6_3 {
	void *mnt_idmap;
};

/* Commit e34a02dc40c9 (v5.15). */
enum io_uring_op___5_15 {
	IORING_OP_MKDIRAT = 37,
};

#pragma clang attribute pop
