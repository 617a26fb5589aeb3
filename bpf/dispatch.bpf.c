// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where programs are pinned, these stand at the hooks and hand each event on to the programs of one generation.
 *
 * The programs of a generation are loaded, not attached: user space puts them into one of the two slots of each hook's
 * array. `word` is the number of the running generation, its last bit the slot; one write to it switches all hooks at
 * once. Each event reads it exactly once, here, so exactly one generation sees the event. Two programs attached side by
 * side that each looked at the word could both see an event or neither, when it changes between them.
 *
 * These outlive the build that loaded them: later builds only add to this file.
 */
#include "loss.h"

struct dispatch {
	__u32 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dispatch);
} word SEC(".maps");

/* Events that were handed to nobody: the slot was empty. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct loss);
} undispatched SEC(".maps");

/* After a tail call that works nothing of this program runs any more. */
#define DISPATCH(hook, section)                                                                                        \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                                 \
		__uint(max_entries, 2);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, __u32);                                                                                  \
	} hook##_programs SEC(".maps");                                                                                \
                                                                                                                       \
	SEC(section)                                                                                                   \
	int hook(void *ctx)                                                                                            \
	{                                                                                                              \
		__u32 key = 0;                                                                                         \
		struct dispatch *running = bpf_map_lookup_elem(&word, &key);                                           \
		struct loss *loss = bpf_map_lookup_elem(&undispatched, &key);                                          \
                                                                                                                       \
		if (running)                                                                                           \
			bpf_tail_call(ctx, &hook##_programs, running->generation & 1);                                 \
		if (loss)                                                                                              \
			note_loss(loss, bpf_ktime_get_boot_ns());                                                      \
		return 0;                                                                                              \
	}

DISPATCH(on_exec, "tp_btf/sched_process_exec")
DISPATCH(on_fork, "tp_btf/sched_process_fork")
DISPATCH(on_exit, "tp_btf/sched_process_exit")
DISPATCH(on_call, "tp_btf/sys_exit")
DISPATCH(on_fput, "fentry/__fput")
DISPATCH(on_write_check, "fentry/security_file_permission")
DISPATCH(on_uring_write, "tp_btf/io_uring_complete")
DISPATCH(on_uring_open, "tp_btf/io_uring_complete")
DISPATCH(on_filp_open, "fexit/do_filp_open")
DISPATCH(on_file_enter, "tp_btf/sys_enter")
DISPATCH(on_files_exit, "tp_btf/sched_process_exit")
DISPATCH(on_mount_check, "fentry/security_sb_mount")
DISPATCH(on_move_check, "fentry/security_move_mount")
DISPATCH(on_unmount_check, "fentry/security_sb_umount")
DISPATCH(on_pivot_check, "fentry/security_sb_pivotroot")
DISPATCH(on_fork_rights, "tp_btf/sched_process_fork")
DISPATCH(on_exec_rights, "tp_btf/sched_process_exec")
DISPATCH(on_signal, "tp_btf/signal_generate")
DISPATCH(on_path_unlink, "fentry/security_path_unlink")
DISPATCH(on_path_rmdir, "fentry/security_path_rmdir")
DISPATCH(on_path_rename, "fentry/security_path_rename")
DISPATCH(on_path_link, "fentry/security_path_link")
DISPATCH(on_path_symlink, "fentry/security_path_symlink")
DISPATCH(on_path_chmod, "fentry/security_path_chmod")
DISPATCH(on_path_chown, "fentry/security_path_chown")
DISPATCH(on_truncate, "fentry/vfs_truncate")
DISPATCH(on_ftruncate, "fentry/do_ftruncate")
DISPATCH(on_want_write, "fentry/mnt_want_write")
DISPATCH(on_want_write_file, "fentry/mnt_want_write_file")
DISPATCH(on_set_xattr, "fentry/vfs_setxattr")
DISPATCH(on_remove_xattr, "fentry/vfs_removexattr")
DISPATCH(on_set_acl, "fentry/vfs_set_acl")
DISPATCH(on_remove_acl, "fentry/vfs_remove_acl")
DISPATCH(on_socket_state, "tp_btf/inet_sock_set_state")
DISPATCH(on_ring_connect, "fexit/inet_dgram_connect")
DISPATCH(on_ring_accept, "fexit/inet_accept")
DISPATCH(on_ring_unix_connect, "fexit/unix_stream_connect")
DISPATCH(on_ring_socket, "fentry/security_socket_post_create")
DISPATCH(on_udp_send, "fexit/udp_sendmsg")
DISPATCH(on_udp6_send, "fexit/udpv6_sendmsg")
DISPATCH(on_udp_receive, "fentry/skb_consume_udp")
DISPATCH(on_socket_send, "tp_btf/sock_send_length")
DISPATCH(on_socket_receive, "tp_btf/sock_recv_length")
DISPATCH(on_setns_begin, "fentry/__x64_sys_setns")
DISPATCH(on_setns32_begin, "fentry/__ia32_sys_setns")
DISPATCH(on_unshare_begin, "fentry/ksys_unshare")
DISPATCH(on_clone, "tp_btf/sched_process_fork")
DISPATCH(on_module_load, "tp_btf/module_load")
DISPATCH(on_module_free, "tp_btf/module_free")
DISPATCH(on_reboot, "fentry/reboot_pid_ns")

char LICENSE[] SEC("license") = "GPL";
