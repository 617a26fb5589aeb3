/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a sample is: the typedefs that say what a number means, the kinds, the header. User space reads all of it from
 * the object's BTF: the layout is written here and nowhere else.
 *
 * A sample is one struct whose name is its kind's name, followed by the bytes of its strings: a member of type
 * str_len_t or argv_len_t is the length of one of them, and they follow in the order of those members.
 */
#ifndef PODWITNESS_SAMPLE_H
#define PODWITNESS_SAMPLE_H

#include "loss.h"

/* Meaning by name: the typedef picks how user space shows the number (boot_ns_t is in loss.h). */
typedef __u64 cgroup_id_t; /* kernfs id in the hierarchy chosen at start */
typedef __u64 exec_id_t;   /* task_struct.self_exec_id */
typedef __u64 cap_t;	   /* bit set of capabilities */
typedef __u32 tgid_t;	   /* process id in the host's pid namespace */
typedef __u32 tid_t;	   /* thread id in the host's pid namespace */
typedef __u32 ns_inum_t;   /* inode number of a namespace */
typedef __u32 signal_t;	   /* signal number, 0: none */
typedef __s32 exit_code_t; /* exit status, -1: ended by a signal */
typedef __u32 str_len_t;   /* length of a string behind the struct */
typedef __u32 argv_len_t;  /* length of NUL-separated strings behind the struct */
typedef __u8 cut_t;	   /* what is missing of a path: 0 nothing, 1 its beginning, 2 its end */
typedef __u64 duration_ns_t;
typedef __u32 count_t;	       /* 1 says nothing */
typedef __u8 flag_t;	       /* yes or no */
typedef __s32 device_number_t; /* major or minor number, -1: none */
typedef __u32 user_id_t;       /* -1: none, or as it was */
typedef __u32 owner_id_t;      /* of a file, which OpenTelemetry has as text; -1: none */
typedef __u32 group_id_t;      /* the same */
typedef __s32 errno_t;	       /* why a call failed, 0: it did not */
typedef __u32 call_t;	       /* number of a system call, as x86-64 counts them; NO_CALL: none */
typedef __u64 inode_t;	       /* 0: none */
typedef __u32 device_t;	       /* dev_t as the kernel has it inside: 12 bits major, 20 bits minor */
typedef __u16 file_mode_t;     /* permission bits, as stat has them */
typedef __u16 file_type_t;     /* what kind of file it is, as stat has it */
typedef __u64 clone_flags_t;
typedef __u64 resolve_flags_t;
typedef __u64 mount_flags_t;
typedef __u64 mount_attr_t;
typedef __u32 open_flags_t;
typedef __u32 umount_flags_t;
typedef __u32 move_mount_flags_t;
typedef __u32 prot_t;
typedef __u32 map_flags_t;
typedef __u32 memfd_flags_t;
typedef __u32 rename_flags_t;
typedef __u32 xattr_flags_t;
typedef __u8 xattr_operation_t; /* 1 set, 2 remove */
typedef __u32 at_flags_t;
typedef __u32 namespace_types_t; /* CLONE_NEW* */
typedef __u32 module_flags_t;
typedef __u32 kexec_flags_t; /* -1: another call */
typedef __u32 kexec_file_flags_t;
typedef __u8 module_signature_t; /* 1: verified, 2: not, 0: nobody knows */
typedef __u32 unload_flags_t;
typedef __s32 clock_id_t;
typedef __u32 adjustments_t;
typedef __u32 bpf_id_t; /* 0: none */
typedef __u32 io_uring_setup_t;
typedef __u32 socket_type_t;
typedef __u16 family_t;
typedef __u16 ip_protocol_t;
typedef __u16 ether_protocol_t;
typedef __u16 port_t;		 /* in the host's byte order, 0: none */
typedef __u16 transport_t;	 /* protocol over IP, UNIX_TRANSPORT: none but the kernel */
typedef __u8 ip_version_t;	 /* 4 or 6, 0: none */
typedef __u8 tcp_state_t;	 /* include/net/tcp_states.h, 0: none */
typedef __u8 direction_t;	 /* 1: outbound, 2: inbound */
typedef __u64 byte_count_t;	 /* ~0: not known */
typedef __u32 socket_protocol_t; /* third argument of socket(), in the host's byte order; above 16 bits its family */
typedef __u32 ptrace_request_t;
typedef __u32 prctl_option_t;
typedef __u32 securebits_t;
typedef __u32 ambient_t;	  /* what PR_CAP_AMBIENT does, 0: another option */
typedef __s32 capability_t;	  /* number of one capability, -1: none */
typedef __u64 changed_caps_t;	  /* bit set of capabilities; none of them says nothing */
typedef __u64 known_caps_t;	  /* bit set of capabilities, ~0: not known */
typedef __u32 group_count_t;	  /* -1: not known */
typedef __u8 gained_by_t;	  /* enum gained_by of rights.h */
typedef __u32 other_tgid_t;	  /* process id in the host's pid namespace, 0: not found */
typedef __u32 other_ns_t;	  /* inode number of a namespace, 0: none, or not known */
typedef __u32 keyctl_t;		  /* NO_KEYCTL: another call */
typedef __u32 key_serial_t;	  /* 0: none; the keyrings that every process has are words */
typedef __u32 bpf_command_t;	  /* -1: another call */
typedef __u32 bpf_program_type_t; /* -1: not known */
typedef __u32 bpf_attach_type_t;  /* -1: none */
typedef __u32 perf_type_t;
typedef __u32 reboot_command_t;
typedef __u8 io_uring_opcode_t;
typedef __u64 total_t;	      /* a sum, -1: nobody knows it (yet) */
typedef __u64 user_address_t; /* of a process's own memory */
typedef __u32 writer_t;	      /* process id, 0: the one that the event is of */
typedef __u32 write_phase_t;  /* enum write_phase */
typedef __u8 address_t[16];   /* always IPv6's form: IPv4 is ::ffff:a.b.c.d; :: where there is none */

/* Later kinds only come behind the earlier ones; 64 of them at most, a bit each in `wanted` and in `shed`. */
enum kind {
	process_exec_kind = 1,
	process_fork_kind,
	process_exit_kind,
	process_snapshot_kind,
	process_exec_failed_kind,
	file_open_kind,
	file_write_kind,
	file_truncate_kind,
	file_delete_kind,
	file_rename_kind,
	file_link_kind,
	file_chmod_kind,
	file_chown_kind,
	file_xattr_kind,
	file_mmap_kind,
	file_memfd_kind,
	filesystem_mount_kind,
	filesystem_unmount_kind,
	filesystem_move_mount_kind,
	filesystem_pivot_root_kind,
	network_connect_kind,
	network_accept_kind,
	network_listen_kind,
	network_bind_kind,
	network_close_kind,
	network_datagram_kind,
	network_socket_kind,
	network_unix_connect_kind,
	privilege_setuid_kind,
	privilege_setgid_kind,
	privilege_capset_kind,
	privilege_gained_kind,
	privilege_user_namespace_kind,
	privilege_prctl_kind,
	privilege_ptrace_kind,
	privilege_vm_access_kind,
	privilege_signal_kind,
	namespace_setns_kind,
	namespace_unshare_kind,
	namespace_clone_kind,
	namespace_escape_kind,
	kernel_module_load_kind,
	kernel_module_unload_kind,
	kernel_bpf_load_kind,
	kernel_bpf_attach_kind,
	kernel_perf_event_open_kind,
	kernel_keyring_kind,
	kernel_kexec_kind,
	kernel_reboot_kind,
	kernel_settime_kind,
	kernel_io_uring_setup_kind,
};

/* The struct of a kind; the pointer keeps it in BTF, where user space finds it by its name. */
#define SAMPLE(name)                                                                                                   \
	const struct name *name##_layout;                                                                              \
	struct name
const enum kind *kind_names;

/* `sequence` counts the samples of one ring, those too that did not fit: a hole is a loss. */
struct header {
	__u32 kind;
	tgid_t pid;
	boot_ns_t time;
	boot_ns_t start_time;
	exec_id_t exec_id;
	cgroup_id_t cgroup;
	__u64 sequence;
};

#endif
