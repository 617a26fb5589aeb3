"""Numbers of the kernel by name, from the headers of Linux 7.3. Written by bpf/words.py."""

from collections.abc import Mapping

ERRNO: Mapping[int, str] = {
    1: "EPERM", 2: "ENOENT", 3: "ESRCH", 4: "EINTR", 5: "EIO", 6: "ENXIO", 7: "E2BIG", 8: "ENOEXEC", 9: "EBADF",
    10: "ECHILD", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 15: "ENOTBLK", 16: "EBUSY", 17: "EEXIST",
    18: "EXDEV", 19: "ENODEV", 20: "ENOTDIR", 21: "EISDIR", 22: "EINVAL", 23: "ENFILE", 24: "EMFILE", 25: "ENOTTY",
    26: "ETXTBSY", 27: "EFBIG", 28: "ENOSPC", 29: "ESPIPE", 30: "EROFS", 31: "EMLINK", 32: "EPIPE", 33: "EDOM",
    34: "ERANGE", 35: "EDEADLK", 36: "ENAMETOOLONG", 37: "ENOLCK", 38: "ENOSYS", 39: "ENOTEMPTY", 40: "ELOOP",
    42: "ENOMSG", 43: "EIDRM", 44: "ECHRNG", 45: "EL2NSYNC", 46: "EL3HLT", 47: "EL3RST", 48: "ELNRNG", 49: "EUNATCH",
    50: "ENOCSI", 51: "EL2HLT", 52: "EBADE", 53: "EBADR", 54: "EXFULL", 55: "ENOANO", 56: "EBADRQC", 57: "EBADSLT",
    59: "EBFONT", 60: "ENOSTR", 61: "ENODATA", 62: "ETIME", 63: "ENOSR", 64: "ENONET", 65: "ENOPKG", 66: "EREMOTE",
    67: "ENOLINK", 68: "EADV", 69: "ESRMNT", 70: "ECOMM", 71: "EPROTO", 72: "EMULTIHOP", 73: "EDOTDOT", 74: "EBADMSG",
    75: "EOVERFLOW", 76: "ENOTUNIQ", 77: "EBADFD", 78: "EREMCHG", 79: "ELIBACC", 80: "ELIBBAD", 81: "ELIBSCN",
    82: "ELIBMAX", 83: "ELIBEXEC", 84: "EILSEQ", 85: "ERESTART", 86: "ESTRPIPE", 87: "EUSERS", 88: "ENOTSOCK",
    89: "EDESTADDRREQ", 90: "EMSGSIZE", 91: "EPROTOTYPE", 92: "ENOPROTOOPT", 93: "EPROTONOSUPPORT",
    94: "ESOCKTNOSUPPORT", 95: "EOPNOTSUPP", 96: "EPFNOSUPPORT", 97: "EAFNOSUPPORT", 98: "EADDRINUSE",
    99: "EADDRNOTAVAIL", 100: "ENETDOWN", 101: "ENETUNREACH", 102: "ENETRESET", 103: "ECONNABORTED", 104: "ECONNRESET",
    105: "ENOBUFS", 106: "EISCONN", 107: "ENOTCONN", 108: "ESHUTDOWN", 109: "ETOOMANYREFS", 110: "ETIMEDOUT",
    111: "ECONNREFUSED", 112: "EHOSTDOWN", 113: "EHOSTUNREACH", 114: "EALREADY", 115: "EINPROGRESS", 116: "ESTALE",
    117: "EUCLEAN", 118: "ENOTNAM", 119: "ENAVAIL", 120: "EISNAM", 121: "EREMOTEIO", 122: "EDQUOT", 123: "ENOMEDIUM",
    124: "EMEDIUMTYPE", 125: "ECANCELED", 126: "ENOKEY", 127: "EKEYEXPIRED", 128: "EKEYREVOKED", 129: "EKEYREJECTED",
    130: "EOWNERDEAD", 131: "ENOTRECOVERABLE", 132: "ERFKILL", 133: "EHWPOISON", 134: "EFTYPE",
}  # fmt: skip
"""Errors."""

OPEN: Mapping[int, str] = {
    0o0: "O_RDONLY", 0o1: "O_WRONLY", 0o2: "O_RDWR", 0o3: "O_ACCMODE", 0o100: "O_CREAT", 0o200: "O_EXCL",
    0o400: "O_NOCTTY", 0o1000: "O_TRUNC", 0o2000: "O_APPEND", 0o4000: "O_NONBLOCK", 0o10000: "O_DSYNC",
    0o20000: "FASYNC", 0o40000: "O_DIRECT", 0o100000: "O_LARGEFILE", 0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW",
    0o1000000: "O_NOATIME", 0o2000000: "O_CLOEXEC", 0o4010000: "O_SYNC", 0o10000000: "O_PATH", 0o20200000: "O_TMPFILE",
    0o400000000: "O_EMPTYPATH",
}  # fmt: skip
"""Flags of open()."""

RESOLVE: Mapping[int, str] = {
    0x1: "RESOLVE_NO_XDEV", 0x2: "RESOLVE_NO_MAGICLINKS", 0x4: "RESOLVE_NO_SYMLINKS", 0x8: "RESOLVE_BENEATH",
    0x10: "RESOLVE_IN_ROOT", 0x20: "RESOLVE_CACHED",
}  # fmt: skip
"""Flags of openat2() for the way to the file."""

CLONE: Mapping[int, str] = {
    0x80: "CLONE_NEWTIME", 0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES", 0x800: "CLONE_SIGHAND",
    0x1000: "CLONE_PIDFD", 0x2000: "CLONE_PTRACE", 0x4000: "CLONE_VFORK", 0x8000: "CLONE_PARENT",
    0x10000: "CLONE_THREAD", 0x20000: "CLONE_NEWNS", 0x40000: "CLONE_SYSVSEM", 0x80000: "CLONE_SETTLS",
    0x100000: "CLONE_PARENT_SETTID", 0x200000: "CLONE_CHILD_CLEARTID", 0x400000: "CLONE_DETACHED",
    0x800000: "CLONE_UNTRACED", 0x1000000: "CLONE_CHILD_SETTID", 0x2000000: "CLONE_NEWCGROUP",
    0x4000000: "CLONE_NEWUTS", 0x8000000: "CLONE_NEWIPC", 0x10000000: "CLONE_NEWUSER", 0x20000000: "CLONE_NEWPID",
    0x40000000: "CLONE_NEWNET", 0x80000000: "CLONE_IO", 0x100000000: "CLONE_CLEAR_SIGHAND",
    0x200000000: "CLONE_INTO_CGROUP", 0x400000000: "CLONE_AUTOREAP", 0x800000000: "CLONE_NNP",
    0x1000000000: "CLONE_PIDFD_AUTOKILL", 0x2000000000: "CLONE_EMPTY_MNTNS",
}  # fmt: skip
"""Flags of clone(), clone3(), unshare() and setns()."""

MOUNT: Mapping[int, str] = {
    0x1: "MS_RDONLY", 0x2: "MS_NOSUID", 0x4: "MS_NODEV", 0x8: "MS_NOEXEC", 0x10: "MS_SYNCHRONOUS", 0x20: "MS_REMOUNT",
    0x40: "MS_MANDLOCK", 0x80: "MS_DIRSYNC", 0x100: "MS_NOSYMFOLLOW", 0x400: "MS_NOATIME", 0x800: "MS_NODIRATIME",
    0x1000: "MS_BIND", 0x2000: "MS_MOVE", 0x4000: "MS_REC", 0x8000: "MS_SILENT", 0x10000: "MS_POSIXACL",
    0x20000: "MS_UNBINDABLE", 0x40000: "MS_PRIVATE", 0x80000: "MS_SLAVE", 0x100000: "MS_SHARED",
    0x200000: "MS_RELATIME", 0x400000: "MS_KERNMOUNT", 0x800000: "MS_I_VERSION", 0x1000000: "MS_STRICTATIME",
    0x2000000: "MS_LAZYTIME", 0x4000000: "MS_SUBMOUNT", 0x8000000: "MS_NOREMOTELOCK", 0x10000000: "MS_NOSEC",
    0x20000000: "MS_BORN", 0x40000000: "MS_ACTIVE", 0x80000000: "MS_NOUSER", 0xc0ed0000: "MS_MGC_VAL",
}  # fmt: skip
"""Flags of mount()."""

UMOUNT: Mapping[int, str] = {
    0x1: "MNT_FORCE", 0x2: "MNT_DETACH", 0x4: "MNT_EXPIRE", 0x8: "UMOUNT_NOFOLLOW",
}  # fmt: skip
"""Flags of umount2()."""

MOUNT_ATTR: Mapping[int, str] = {
    0x1: "MOUNT_ATTR_RDONLY", 0x2: "MOUNT_ATTR_NOSUID", 0x4: "MOUNT_ATTR_NODEV", 0x8: "MOUNT_ATTR_NOEXEC",
    0x10: "MOUNT_ATTR_NOATIME", 0x20: "MOUNT_ATTR_STRICTATIME", 0x80: "MOUNT_ATTR_NODIRATIME",
    0x100000: "MOUNT_ATTR_IDMAP", 0x200000: "MOUNT_ATTR_NOSYMFOLLOW",
}  # fmt: skip
"""Attributes of fsmount() and mount_setattr()."""

MOVE_MOUNT: Mapping[int, str] = {
    0x1: "MOVE_MOUNT_F_SYMLINKS", 0x2: "MOVE_MOUNT_F_AUTOMOUNTS", 0x4: "MOVE_MOUNT_F_EMPTY_PATH",
    0x10: "MOVE_MOUNT_T_SYMLINKS", 0x20: "MOVE_MOUNT_T_AUTOMOUNTS", 0x40: "MOVE_MOUNT_T_EMPTY_PATH",
    0x100: "MOVE_MOUNT_SET_GROUP", 0x200: "MOVE_MOUNT_BENEATH",
}  # fmt: skip
"""Flags of move_mount()."""

PROT: Mapping[int, str] = {
    0x0: "PROT_NONE", 0x1: "PROT_READ", 0x2: "PROT_WRITE", 0x4: "PROT_EXEC", 0x8: "PROT_SEM",
    0x1000000: "PROT_GROWSDOWN", 0x2000000: "PROT_GROWSUP",
}  # fmt: skip
"""Protection of memory."""

MAP: Mapping[int, str] = {
    0x0: "MAP_FILE", 0x1: "MAP_SHARED", 0x2: "MAP_PRIVATE", 0x3: "MAP_SHARED_VALIDATE", 0x8: "MAP_DROPPABLE",
    0x10: "MAP_FIXED", 0x20: "MAP_ANONYMOUS", 0x40: "MAP_32BIT", 0x80: "MAP_ABOVE4G", 0x100: "MAP_GROWSDOWN",
    0x800: "MAP_DENYWRITE", 0x1000: "MAP_EXECUTABLE", 0x2000: "MAP_LOCKED", 0x4000: "MAP_NORESERVE",
    0x8000: "MAP_POPULATE", 0x10000: "MAP_NONBLOCK", 0x20000: "MAP_STACK", 0x40000: "MAP_HUGETLB", 0x80000: "MAP_SYNC",
    0x100000: "MAP_FIXED_NOREPLACE", 0x4000000: "MAP_UNINITIALIZED", 0x38000000: "MAP_HUGE_16KB",
    0x40000000: "MAP_HUGE_64KB", 0x4c000000: "MAP_HUGE_512KB", 0x50000000: "MAP_HUGE_1MB", 0x54000000: "MAP_HUGE_2MB",
    0x5c000000: "MAP_HUGE_8MB", 0x60000000: "MAP_HUGE_16MB", 0x64000000: "MAP_HUGE_32MB", 0x70000000: "MAP_HUGE_256MB",
    0x74000000: "MAP_HUGE_512MB", 0x78000000: "MAP_HUGE_1GB", 0x7c000000: "MAP_HUGE_2GB", 0x88000000: "MAP_HUGE_16GB",
}  # fmt: skip
"""Flags of mmap()."""

MFD: Mapping[int, str] = {
    0x1: "MFD_CLOEXEC", 0x2: "MFD_ALLOW_SEALING", 0x4: "MFD_HUGETLB", 0x8: "MFD_NOEXEC_SEAL", 0x10: "MFD_EXEC",
    0x40000000: "MFD_HUGE_64KB", 0x4c000000: "MFD_HUGE_512KB", 0x50000000: "MFD_HUGE_1MB", 0x54000000: "MFD_HUGE_2MB",
    0x5c000000: "MFD_HUGE_8MB", 0x60000000: "MFD_HUGE_16MB", 0x64000000: "MFD_HUGE_32MB", 0x70000000: "MFD_HUGE_256MB",
    0x74000000: "MFD_HUGE_512MB", 0x78000000: "MFD_HUGE_1GB", 0x7c000000: "MFD_HUGE_2GB", 0x88000000: "MFD_HUGE_16GB",
}  # fmt: skip
"""Flags of memfd_create()."""

FAMILY: Mapping[int, str] = {
    0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 3: "AF_AX25", 4: "AF_IPX", 5: "AF_APPLETALK", 6: "AF_NETROM",
    7: "AF_BRIDGE", 8: "AF_ATMPVC", 9: "AF_X25", 10: "AF_INET6", 11: "AF_ROSE", 12: "AF_DECnet", 13: "AF_NETBEUI",
    14: "AF_SECURITY", 15: "AF_KEY", 16: "AF_NETLINK", 17: "AF_PACKET", 18: "AF_ASH", 19: "AF_ECONET", 20: "AF_ATMSVC",
    21: "AF_RDS", 22: "AF_SNA", 23: "AF_IRDA", 24: "AF_PPPOX", 25: "AF_WANPIPE", 26: "AF_LLC", 27: "AF_IB",
    28: "AF_MPLS", 29: "AF_CAN", 30: "AF_TIPC", 31: "AF_BLUETOOTH", 32: "AF_IUCV", 33: "AF_RXRPC", 34: "AF_ISDN",
    35: "AF_PHONET", 36: "AF_IEEE802154", 37: "AF_CAIF", 38: "AF_ALG", 39: "AF_NFC", 40: "AF_VSOCK", 41: "AF_KCM",
    42: "AF_QIPCRTR", 43: "AF_SMC", 44: "AF_XDP", 45: "AF_MCTP",
}  # fmt: skip
"""Address families."""

SOCKET_TYPE: Mapping[int, str] = {
    0x1: "SOCK_STREAM", 0x2: "SOCK_DGRAM", 0x3: "SOCK_RAW", 0x4: "SOCK_RDM", 0x5: "SOCK_SEQPACKET", 0x6: "SOCK_DCCP",
    0xa: "SOCK_PACKET", 0x800: "SOCK_NONBLOCK", 0x80000: "SOCK_CLOEXEC",
}  # fmt: skip
"""Types of sockets, and flags of socket()."""

PROTOCOL: Mapping[int, str] = {
    0: "IPPROTO_IP", 1: "IPPROTO_ICMP", 2: "IPPROTO_IGMP", 4: "IPPROTO_IPIP", 6: "IPPROTO_TCP", 8: "IPPROTO_EGP",
    12: "IPPROTO_PUP", 17: "IPPROTO_UDP", 22: "IPPROTO_IDP", 29: "IPPROTO_TP", 33: "IPPROTO_DCCP", 41: "IPPROTO_IPV6",
    43: "IPPROTO_ROUTING", 44: "IPPROTO_FRAGMENT", 46: "IPPROTO_RSVP", 47: "IPPROTO_GRE", 50: "IPPROTO_ESP",
    51: "IPPROTO_AH", 58: "IPPROTO_ICMPV6", 59: "IPPROTO_NONE", 60: "IPPROTO_DSTOPTS", 92: "IPPROTO_MTP",
    94: "IPPROTO_BEETPH", 98: "IPPROTO_ENCAP", 103: "IPPROTO_PIM", 108: "IPPROTO_COMP", 115: "IPPROTO_L2TP",
    132: "IPPROTO_SCTP", 135: "IPPROTO_MH", 136: "IPPROTO_UDPLITE", 137: "IPPROTO_MPLS", 143: "IPPROTO_ETHERNET",
    144: "IPPROTO_AGGFRAG", 255: "IPPROTO_RAW", 256: "IPPROTO_SMC", 262: "IPPROTO_MPTCP",
}  # fmt: skip
"""Protocols over IP."""

ETHER_PROTOCOL: Mapping[int, str] = {
    0x1: "ETH_P_802_3", 0x2: "ETH_P_AX25", 0x3: "ETH_P_ALL", 0x4: "ETH_P_802_2", 0x5: "ETH_P_SNAP", 0x6: "ETH_P_DDCMP",
    0x7: "ETH_P_WAN_PPP", 0x8: "ETH_P_PPP_MP", 0x9: "ETH_P_LOCALTALK", 0xc: "ETH_P_CAN", 0xd: "ETH_P_CANFD",
    0xe: "ETH_P_CANXL", 0x10: "ETH_P_PPPTALK", 0x11: "ETH_P_TR_802_2", 0x15: "ETH_P_MOBITEX", 0x16: "ETH_P_CONTROL",
    0x17: "ETH_P_IRDA", 0x18: "ETH_P_ECONET", 0x19: "ETH_P_HDLC", 0x1a: "ETH_P_ARCNET", 0x1b: "ETH_P_DSA",
    0x1c: "ETH_P_TRAILER", 0x60: "ETH_P_LOOP", 0xf5: "ETH_P_PHONET", 0xf6: "ETH_P_IEEE802154", 0xf7: "ETH_P_CAIF",
    0xf8: "ETH_P_XDSA", 0xf9: "ETH_P_MAP", 0xfa: "ETH_P_MCTP", 0xfe: "ETH_P_GRE_OSI", 0x200: "ETH_P_PUP",
    0x201: "ETH_P_PUPAT", 0x800: "ETH_P_IP", 0x805: "ETH_P_X25", 0x806: "ETH_P_ARP", 0x8ff: "ETH_P_BPQ",
    0xa00: "ETH_P_IEEEPUP", 0xa01: "ETH_P_IEEEPUPAT", 0x22eb: "ETH_P_ERSPAN2", 0x22f0: "ETH_P_TSN",
    0x4305: "ETH_P_BATMAN", 0x6000: "ETH_P_DEC", 0x6001: "ETH_P_DNA_DL", 0x6002: "ETH_P_DNA_RC", 0x6003: "ETH_P_DNA_RT",
    0x6004: "ETH_P_LAT", 0x6005: "ETH_P_DIAG", 0x6006: "ETH_P_CUST", 0x6007: "ETH_P_SCA", 0x6558: "ETH_P_TEB",
    0x8035: "ETH_P_RARP", 0x809b: "ETH_P_ATALK", 0x80f3: "ETH_P_AARP", 0x8100: "ETH_P_8021Q", 0x8137: "ETH_P_IPX",
    0x86dd: "ETH_P_IPV6", 0x8808: "ETH_P_PAUSE", 0x8809: "ETH_P_SLOW", 0x883e: "ETH_P_WCCP", 0x8847: "ETH_P_MPLS_UC",
    0x8848: "ETH_P_MPLS_MC", 0x884c: "ETH_P_ATMMPOA", 0x8863: "ETH_P_PPP_DISC", 0x8864: "ETH_P_PPP_SES",
    0x886c: "ETH_P_LINK_CTL", 0x8870: "ETH_P_8021AC", 0x8884: "ETH_P_ATMFATE", 0x888e: "ETH_P_PAE",
    0x8892: "ETH_P_PROFINET", 0x8899: "ETH_P_REALTEK", 0x88a2: "ETH_P_AOE", 0x88a4: "ETH_P_ETHERCAT",
    0x88a8: "ETH_P_8021AD", 0x88b5: "ETH_P_802_EX1", 0x88be: "ETH_P_ERSPAN", 0x88c3: "ETH_P_MXLGSW",
    0x88c7: "ETH_P_PREAUTH", 0x88ca: "ETH_P_TIPC", 0x88cc: "ETH_P_LLDP", 0x88e3: "ETH_P_MRP", 0x88e5: "ETH_P_MACSEC",
    0x88e7: "ETH_P_8021AH", 0x88f5: "ETH_P_MVRP", 0x88f7: "ETH_P_1588", 0x88f8: "ETH_P_NCSI", 0x88fb: "ETH_P_PRP",
    0x8902: "ETH_P_CFM", 0x8906: "ETH_P_FCOE", 0x890d: "ETH_P_TDLS", 0x8914: "ETH_P_FIP", 0x8915: "ETH_P_IBOE",
    0x8917: "ETH_P_80221", 0x892f: "ETH_P_HSR", 0x894f: "ETH_P_NSH", 0x9000: "ETH_P_LOOPBACK", 0x9100: "ETH_P_QINQ1",
    0x9200: "ETH_P_QINQ2", 0x9300: "ETH_P_QINQ3", 0x9988: "ETH_P_YT921X", 0xdada: "ETH_P_EDSA",
    0xdadb: "ETH_P_DSA_8021Q", 0xe001: "ETH_P_DSA_A5PSW", 0xed3e: "ETH_P_IFE", 0xfbfb: "ETH_P_AF_IUCV",
    0xfd3a: "ETH_P_NXP_NETC",
}  # fmt: skip
"""Protocols of packet sockets, in the host's byte order."""

PTRACE: Mapping[int, str] = {
    0: "PTRACE_TRACEME", 1: "PTRACE_PEEKTEXT", 2: "PTRACE_PEEKDATA", 3: "PTRACE_PEEKUSR", 4: "PTRACE_POKETEXT",
    5: "PTRACE_POKEDATA", 6: "PTRACE_POKEUSR", 7: "PTRACE_CONT", 8: "PTRACE_KILL", 9: "PTRACE_SINGLESTEP",
    12: "PTRACE_GETREGS", 13: "PTRACE_SETREGS", 14: "PTRACE_GETFPREGS", 15: "PTRACE_SETFPREGS", 16: "PTRACE_ATTACH",
    17: "PTRACE_DETACH", 18: "PTRACE_GETFPXREGS", 19: "PTRACE_SETFPXREGS", 21: "PTRACE_OLDSETOPTIONS",
    24: "PTRACE_SYSCALL", 25: "PTRACE_GET_THREAD_AREA", 26: "PTRACE_SET_THREAD_AREA", 30: "PTRACE_ARCH_PRCTL",
    31: "PTRACE_SYSEMU", 32: "PTRACE_SYSEMU_SINGLESTEP", 33: "PTRACE_SINGLEBLOCK", 16896: "PTRACE_SETOPTIONS",
    16897: "PTRACE_GETEVENTMSG", 16898: "PTRACE_GETSIGINFO", 16899: "PTRACE_SETSIGINFO", 16900: "PTRACE_GETREGSET",
    16901: "PTRACE_SETREGSET", 16902: "PTRACE_SEIZE", 16903: "PTRACE_INTERRUPT", 16904: "PTRACE_LISTEN",
    16905: "PTRACE_PEEKSIGINFO", 16906: "PTRACE_GETSIGMASK", 16907: "PTRACE_SETSIGMASK",
    16908: "PTRACE_SECCOMP_GET_FILTER", 16909: "PTRACE_SECCOMP_GET_METADATA", 16910: "PTRACE_GET_SYSCALL_INFO",
    16911: "PTRACE_GET_RSEQ_CONFIGURATION", 16912: "PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG",
    16913: "PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG", 16914: "PTRACE_SET_SYSCALL_INFO",
}  # fmt: skip
"""Requests of ptrace()."""

PRCTL: Mapping[int, str] = {
    1: "PR_SET_PDEATHSIG", 2: "PR_GET_PDEATHSIG", 3: "PR_GET_DUMPABLE", 4: "PR_SET_DUMPABLE", 5: "PR_GET_UNALIGN",
    6: "PR_SET_UNALIGN", 7: "PR_GET_KEEPCAPS", 8: "PR_SET_KEEPCAPS", 9: "PR_GET_FPEMU", 10: "PR_SET_FPEMU",
    11: "PR_GET_FPEXC", 12: "PR_SET_FPEXC", 13: "PR_GET_TIMING", 14: "PR_SET_TIMING", 15: "PR_SET_NAME",
    16: "PR_GET_NAME", 19: "PR_GET_ENDIAN", 20: "PR_SET_ENDIAN", 21: "PR_GET_SECCOMP", 22: "PR_SET_SECCOMP",
    23: "PR_CAPBSET_READ", 24: "PR_CAPBSET_DROP", 25: "PR_GET_TSC", 26: "PR_SET_TSC", 27: "PR_GET_SECUREBITS",
    28: "PR_SET_SECUREBITS", 29: "PR_SET_TIMERSLACK", 30: "PR_GET_TIMERSLACK", 31: "PR_TASK_PERF_EVENTS_DISABLE",
    32: "PR_TASK_PERF_EVENTS_ENABLE", 33: "PR_MCE_KILL", 34: "PR_MCE_KILL_GET", 35: "PR_SET_MM",
    36: "PR_SET_CHILD_SUBREAPER", 37: "PR_GET_CHILD_SUBREAPER", 38: "PR_SET_NO_NEW_PRIVS", 39: "PR_GET_NO_NEW_PRIVS",
    40: "PR_GET_TID_ADDRESS", 41: "PR_SET_THP_DISABLE", 42: "PR_GET_THP_DISABLE", 43: "PR_MPX_ENABLE_MANAGEMENT",
    44: "PR_MPX_DISABLE_MANAGEMENT", 45: "PR_SET_FP_MODE", 46: "PR_GET_FP_MODE", 47: "PR_CAP_AMBIENT",
    50: "PR_SVE_SET_VL", 51: "PR_SVE_GET_VL", 52: "PR_GET_SPECULATION_CTRL", 53: "PR_SET_SPECULATION_CTRL",
    54: "PR_PAC_RESET_KEYS", 55: "PR_SET_TAGGED_ADDR_CTRL", 56: "PR_GET_TAGGED_ADDR_CTRL", 57: "PR_SET_IO_FLUSHER",
    58: "PR_GET_IO_FLUSHER", 59: "PR_SET_SYSCALL_USER_DISPATCH", 60: "PR_PAC_SET_ENABLED_KEYS",
    61: "PR_PAC_GET_ENABLED_KEYS", 62: "PR_SCHED_CORE", 63: "PR_SME_SET_VL", 64: "PR_SME_GET_VL", 65: "PR_SET_MDWE",
    66: "PR_GET_MDWE", 67: "PR_SET_MEMORY_MERGE", 68: "PR_GET_MEMORY_MERGE", 69: "PR_RISCV_V_SET_CONTROL",
    70: "PR_RISCV_V_GET_CONTROL", 71: "PR_RISCV_SET_ICACHE_FLUSH_CTX", 72: "PR_PPC_GET_DEXCR", 73: "PR_PPC_SET_DEXCR",
    74: "PR_GET_SHADOW_STACK_STATUS", 75: "PR_SET_SHADOW_STACK_STATUS", 76: "PR_LOCK_SHADOW_STACK_STATUS",
    77: "PR_TIMER_CREATE_RESTORE_IDS", 78: "PR_FUTEX_HASH", 79: "PR_RSEQ_SLICE_EXTENSION", 80: "PR_GET_CFI",
    81: "PR_SET_CFI", 1096112214: "PR_GET_AUXV", 1398164801: "PR_SET_VMA", 1499557217: "PR_SET_PTRACER",
}  # fmt: skip
"""Options of prctl()."""

SECUREBITS: Mapping[int, str] = {
    0x1: "SECBIT_NOROOT", 0x2: "SECBIT_NOROOT_LOCKED", 0x4: "SECBIT_NO_SETUID_FIXUP",
    0x8: "SECBIT_NO_SETUID_FIXUP_LOCKED", 0x10: "SECBIT_KEEP_CAPS", 0x20: "SECBIT_KEEP_CAPS_LOCKED",
    0x40: "SECBIT_NO_CAP_AMBIENT_RAISE", 0x80: "SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED", 0x100: "SECBIT_EXEC_RESTRICT_FILE",
    0x200: "SECBIT_EXEC_RESTRICT_FILE_LOCKED", 0x400: "SECBIT_EXEC_DENY_INTERACTIVE",
    0x800: "SECBIT_EXEC_DENY_INTERACTIVE_LOCKED",
}  # fmt: skip
"""Bits that say what root may do, of PR_SET_SECUREBITS."""

AMBIENT: Mapping[int, str] = {
    1: "PR_CAP_AMBIENT_IS_SET", 2: "PR_CAP_AMBIENT_RAISE", 3: "PR_CAP_AMBIENT_LOWER", 4: "PR_CAP_AMBIENT_CLEAR_ALL",
}  # fmt: skip
"""What PR_CAP_AMBIENT does."""

SECCOMP_MODE: Mapping[int, str] = {
    0: "SECCOMP_MODE_DISABLED", 1: "SECCOMP_MODE_STRICT", 2: "SECCOMP_MODE_FILTER",
}  # fmt: skip
"""Modes of seccomp."""

KEYCTL: Mapping[int, str] = {
    0: "KEYCTL_GET_KEYRING_ID", 1: "KEYCTL_JOIN_SESSION_KEYRING", 2: "KEYCTL_UPDATE", 3: "KEYCTL_REVOKE",
    4: "KEYCTL_CHOWN", 5: "KEYCTL_SETPERM", 6: "KEYCTL_DESCRIBE", 7: "KEYCTL_CLEAR", 8: "KEYCTL_LINK",
    9: "KEYCTL_UNLINK", 10: "KEYCTL_SEARCH", 11: "KEYCTL_READ", 12: "KEYCTL_INSTANTIATE", 13: "KEYCTL_NEGATE",
    14: "KEYCTL_SET_REQKEY_KEYRING", 15: "KEYCTL_SET_TIMEOUT", 16: "KEYCTL_ASSUME_AUTHORITY", 17: "KEYCTL_GET_SECURITY",
    18: "KEYCTL_SESSION_TO_PARENT", 19: "KEYCTL_REJECT", 20: "KEYCTL_INSTANTIATE_IOV", 21: "KEYCTL_INVALIDATE",
    22: "KEYCTL_GET_PERSISTENT", 23: "KEYCTL_DH_COMPUTE", 24: "KEYCTL_PKEY_QUERY", 25: "KEYCTL_PKEY_ENCRYPT",
    26: "KEYCTL_PKEY_DECRYPT", 27: "KEYCTL_PKEY_SIGN", 28: "KEYCTL_PKEY_VERIFY", 29: "KEYCTL_RESTRICT_KEYRING",
    30: "KEYCTL_MOVE", 31: "KEYCTL_CAPABILITIES", 32: "KEYCTL_WATCH_KEY",
}  # fmt: skip
"""Operations of keyctl()."""

KEY_SPEC: Mapping[int, str] = {
    0xfffffff8: "KEY_SPEC_REQUESTOR_KEYRING", 0xfffffff9: "KEY_SPEC_REQKEY_AUTH_KEY",
    0xfffffffa: "KEY_SPEC_GROUP_KEYRING", 0xfffffffb: "KEY_SPEC_USER_SESSION_KEYRING",
    0xfffffffc: "KEY_SPEC_USER_KEYRING", 0xfffffffd: "KEY_SPEC_SESSION_KEYRING", 0xfffffffe: "KEY_SPEC_PROCESS_KEYRING",
    0xffffffff: "KEY_SPEC_THREAD_KEYRING",
}  # fmt: skip
"""Keyrings that every process calls by the same number."""

BPF_COMMAND: Mapping[int, str] = {
    0: "BPF_MAP_CREATE", 1: "BPF_MAP_LOOKUP_ELEM", 2: "BPF_MAP_UPDATE_ELEM", 3: "BPF_MAP_DELETE_ELEM",
    4: "BPF_MAP_GET_NEXT_KEY", 5: "BPF_PROG_LOAD", 6: "BPF_OBJ_PIN", 7: "BPF_OBJ_GET", 8: "BPF_PROG_ATTACH",
    9: "BPF_PROG_DETACH", 10: "BPF_PROG_TEST_RUN", 11: "BPF_PROG_GET_NEXT_ID", 12: "BPF_MAP_GET_NEXT_ID",
    13: "BPF_PROG_GET_FD_BY_ID", 14: "BPF_MAP_GET_FD_BY_ID", 15: "BPF_OBJ_GET_INFO_BY_FD", 16: "BPF_PROG_QUERY",
    17: "BPF_RAW_TRACEPOINT_OPEN", 18: "BPF_BTF_LOAD", 19: "BPF_BTF_GET_FD_BY_ID", 20: "BPF_TASK_FD_QUERY",
    21: "BPF_MAP_LOOKUP_AND_DELETE_ELEM", 22: "BPF_MAP_FREEZE", 23: "BPF_BTF_GET_NEXT_ID", 24: "BPF_MAP_LOOKUP_BATCH",
    25: "BPF_MAP_LOOKUP_AND_DELETE_BATCH", 26: "BPF_MAP_UPDATE_BATCH", 27: "BPF_MAP_DELETE_BATCH",
    28: "BPF_LINK_CREATE", 29: "BPF_LINK_UPDATE", 30: "BPF_LINK_GET_FD_BY_ID", 31: "BPF_LINK_GET_NEXT_ID",
    32: "BPF_ENABLE_STATS", 33: "BPF_ITER_CREATE", 34: "BPF_LINK_DETACH", 35: "BPF_PROG_BIND_MAP",
    36: "BPF_TOKEN_CREATE", 37: "BPF_PROG_STREAM_READ_BY_FD", 38: "BPF_PROG_ASSOC_STRUCT_OPS",
    65536: "BPF_COMMON_ATTRS",
}  # fmt: skip
"""Commands of bpf(), and a flag beside them."""

BPF_PROGRAM_TYPE: Mapping[int, str] = {
    0: "BPF_PROG_TYPE_UNSPEC", 1: "BPF_PROG_TYPE_SOCKET_FILTER", 2: "BPF_PROG_TYPE_KPROBE",
    3: "BPF_PROG_TYPE_SCHED_CLS", 4: "BPF_PROG_TYPE_SCHED_ACT", 5: "BPF_PROG_TYPE_TRACEPOINT", 6: "BPF_PROG_TYPE_XDP",
    7: "BPF_PROG_TYPE_PERF_EVENT", 8: "BPF_PROG_TYPE_CGROUP_SKB", 9: "BPF_PROG_TYPE_CGROUP_SOCK",
    10: "BPF_PROG_TYPE_LWT_IN", 11: "BPF_PROG_TYPE_LWT_OUT", 12: "BPF_PROG_TYPE_LWT_XMIT", 13: "BPF_PROG_TYPE_SOCK_OPS",
    14: "BPF_PROG_TYPE_SK_SKB", 15: "BPF_PROG_TYPE_CGROUP_DEVICE", 16: "BPF_PROG_TYPE_SK_MSG",
    17: "BPF_PROG_TYPE_RAW_TRACEPOINT", 18: "BPF_PROG_TYPE_CGROUP_SOCK_ADDR", 19: "BPF_PROG_TYPE_LWT_SEG6LOCAL",
    20: "BPF_PROG_TYPE_LIRC_MODE2", 21: "BPF_PROG_TYPE_SK_REUSEPORT", 22: "BPF_PROG_TYPE_FLOW_DISSECTOR",
    23: "BPF_PROG_TYPE_CGROUP_SYSCTL", 24: "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE", 25: "BPF_PROG_TYPE_CGROUP_SOCKOPT",
    26: "BPF_PROG_TYPE_TRACING", 27: "BPF_PROG_TYPE_STRUCT_OPS", 28: "BPF_PROG_TYPE_EXT", 29: "BPF_PROG_TYPE_LSM",
    30: "BPF_PROG_TYPE_SK_LOOKUP", 31: "BPF_PROG_TYPE_SYSCALL", 32: "BPF_PROG_TYPE_NETFILTER",
}  # fmt: skip
"""Types of BPF programs."""

BPF_ATTACH_TYPE: Mapping[int, str] = {
    0: "BPF_CGROUP_INET_INGRESS", 1: "BPF_CGROUP_INET_EGRESS", 2: "BPF_CGROUP_INET_SOCK_CREATE",
    3: "BPF_CGROUP_SOCK_OPS", 4: "BPF_SK_SKB_STREAM_PARSER", 5: "BPF_SK_SKB_STREAM_VERDICT", 6: "BPF_CGROUP_DEVICE",
    7: "BPF_SK_MSG_VERDICT", 8: "BPF_CGROUP_INET4_BIND", 9: "BPF_CGROUP_INET6_BIND", 10: "BPF_CGROUP_INET4_CONNECT",
    11: "BPF_CGROUP_INET6_CONNECT", 12: "BPF_CGROUP_INET4_POST_BIND", 13: "BPF_CGROUP_INET6_POST_BIND",
    14: "BPF_CGROUP_UDP4_SENDMSG", 15: "BPF_CGROUP_UDP6_SENDMSG", 16: "BPF_LIRC_MODE2", 17: "BPF_FLOW_DISSECTOR",
    18: "BPF_CGROUP_SYSCTL", 19: "BPF_CGROUP_UDP4_RECVMSG", 20: "BPF_CGROUP_UDP6_RECVMSG", 21: "BPF_CGROUP_GETSOCKOPT",
    22: "BPF_CGROUP_SETSOCKOPT", 23: "BPF_TRACE_RAW_TP", 24: "BPF_TRACE_FENTRY", 25: "BPF_TRACE_FEXIT",
    26: "BPF_MODIFY_RETURN", 27: "BPF_LSM_MAC", 28: "BPF_TRACE_ITER", 29: "BPF_CGROUP_INET4_GETPEERNAME",
    30: "BPF_CGROUP_INET6_GETPEERNAME", 31: "BPF_CGROUP_INET4_GETSOCKNAME", 32: "BPF_CGROUP_INET6_GETSOCKNAME",
    33: "BPF_XDP_DEVMAP", 34: "BPF_CGROUP_INET_SOCK_RELEASE", 35: "BPF_XDP_CPUMAP", 36: "BPF_SK_LOOKUP", 37: "BPF_XDP",
    38: "BPF_SK_SKB_VERDICT", 39: "BPF_SK_REUSEPORT_SELECT", 40: "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE",
    41: "BPF_PERF_EVENT", 42: "BPF_TRACE_KPROBE_MULTI", 43: "BPF_LSM_CGROUP", 44: "BPF_STRUCT_OPS", 45: "BPF_NETFILTER",
    46: "BPF_TCX_INGRESS", 47: "BPF_TCX_EGRESS", 48: "BPF_TRACE_UPROBE_MULTI", 49: "BPF_CGROUP_UNIX_CONNECT",
    50: "BPF_CGROUP_UNIX_SENDMSG", 51: "BPF_CGROUP_UNIX_RECVMSG", 52: "BPF_CGROUP_UNIX_GETPEERNAME",
    53: "BPF_CGROUP_UNIX_GETSOCKNAME", 54: "BPF_NETKIT_PRIMARY", 55: "BPF_NETKIT_PEER", 56: "BPF_TRACE_KPROBE_SESSION",
    57: "BPF_TRACE_UPROBE_SESSION", 58: "BPF_TRACE_FSESSION", 59: "BPF_TRACE_FENTRY_MULTI", 60: "BPF_TRACE_FEXIT_MULTI",
    61: "BPF_TRACE_FSESSION_MULTI",
}  # fmt: skip
"""What BPF programs attach to."""

PERF_TYPE: Mapping[int, str] = {
    0: "PERF_TYPE_HARDWARE", 1: "PERF_TYPE_SOFTWARE", 2: "PERF_TYPE_TRACEPOINT", 3: "PERF_TYPE_HW_CACHE",
    4: "PERF_TYPE_RAW", 5: "PERF_TYPE_BREAKPOINT",
}  # fmt: skip
"""Types of events of perf_event_open(); those of devices have numbers of this machine."""

KEXEC: Mapping[int, str] = {
    0x0: "KEXEC_ARCH_DEFAULT", 0x1: "KEXEC_ON_CRASH", 0x2: "KEXEC_PRESERVE_CONTEXT", 0x4: "KEXEC_UPDATE_ELFCOREHDR",
    0x8: "KEXEC_CRASH_HOTPLUG_SUPPORT", 0x30000: "KEXEC_ARCH_386", 0x40000: "KEXEC_ARCH_68K",
    0x80000: "KEXEC_ARCH_MIPS", 0xa0000: "KEXEC_ARCH_MIPS_LE", 0xf0000: "KEXEC_ARCH_PARISC", 0x140000: "KEXEC_ARCH_PPC",
    0x150000: "KEXEC_ARCH_PPC64", 0x160000: "KEXEC_ARCH_S390", 0x280000: "KEXEC_ARCH_ARM", 0x2a0000: "KEXEC_ARCH_SH",
    0x320000: "KEXEC_ARCH_IA_64", 0x3e0000: "KEXEC_ARCH_X86_64", 0xb70000: "KEXEC_ARCH_AARCH64",
    0xf30000: "KEXEC_ARCH_RISCV", 0x1020000: "KEXEC_ARCH_LOONGARCH",
}  # fmt: skip
"""Flags of kexec_load()."""

KEXEC_FILE: Mapping[int, str] = {
    0x1: "KEXEC_FILE_UNLOAD", 0x2: "KEXEC_FILE_ON_CRASH", 0x4: "KEXEC_FILE_NO_INITRAMFS", 0x8: "KEXEC_FILE_DEBUG",
    0x10: "KEXEC_FILE_NO_CMA", 0x20: "KEXEC_FILE_FORCE_DTB",
}  # fmt: skip
"""Flags of kexec_file_load()."""

REBOOT: Mapping[int, str] = {
    0x0: "LINUX_REBOOT_CMD_CAD_OFF", 0x1234567: "LINUX_REBOOT_CMD_RESTART", 0x4321fedc: "LINUX_REBOOT_CMD_POWER_OFF",
    0x45584543: "LINUX_REBOOT_CMD_KEXEC", 0x89abcdef: "LINUX_REBOOT_CMD_CAD_ON",
    0xa1b2c3d4: "LINUX_REBOOT_CMD_RESTART2", 0xcdef0123: "LINUX_REBOOT_CMD_HALT",
    0xd000fce2: "LINUX_REBOOT_CMD_SW_SUSPEND",
}  # fmt: skip
"""Commands of reboot()."""

CLOCK: Mapping[int, str] = {
    0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 2: "CLOCK_PROCESS_CPUTIME_ID", 3: "CLOCK_THREAD_CPUTIME_ID",
    4: "CLOCK_MONOTONIC_RAW", 5: "CLOCK_REALTIME_COARSE", 6: "CLOCK_MONOTONIC_COARSE", 7: "CLOCK_BOOTTIME",
    8: "CLOCK_REALTIME_ALARM", 9: "CLOCK_BOOTTIME_ALARM", 10: "CLOCK_SGI_CYCLE", 11: "CLOCK_TAI", 16: "CLOCK_AUX",
}  # fmt: skip
"""Clocks."""

ADJ: Mapping[int, str] = {
    0x1: "ADJ_OFFSET", 0x2: "ADJ_FREQUENCY", 0x4: "ADJ_MAXERROR", 0x8: "ADJ_ESTERROR", 0x10: "ADJ_STATUS",
    0x20: "ADJ_TIMECONST", 0x80: "ADJ_TAI", 0x100: "ADJ_SETOFFSET", 0x1000: "ADJ_MICRO", 0x2000: "ADJ_NANO",
    0x4000: "ADJ_TICK", 0x8001: "ADJ_OFFSET_SINGLESHOT", 0xa001: "ADJ_OFFSET_SS_READ",
}  # fmt: skip
"""What adjtimex() and clock_adjtime() change."""

MODULE: Mapping[int, str] = {
    0x1: "MODULE_INIT_IGNORE_MODVERSIONS", 0x2: "MODULE_INIT_IGNORE_VERMAGIC", 0x4: "MODULE_INIT_COMPRESSED_FILE",
}  # fmt: skip
"""Flags of finit_module()."""

IO_URING_OPCODE: Mapping[int, str] = {
    0: "IORING_OP_NOP", 1: "IORING_OP_READV", 2: "IORING_OP_WRITEV", 3: "IORING_OP_FSYNC", 4: "IORING_OP_READ_FIXED",
    5: "IORING_OP_WRITE_FIXED", 6: "IORING_OP_POLL_ADD", 7: "IORING_OP_POLL_REMOVE", 8: "IORING_OP_SYNC_FILE_RANGE",
    9: "IORING_OP_SENDMSG", 10: "IORING_OP_RECVMSG", 11: "IORING_OP_TIMEOUT", 12: "IORING_OP_TIMEOUT_REMOVE",
    13: "IORING_OP_ACCEPT", 14: "IORING_OP_ASYNC_CANCEL", 15: "IORING_OP_LINK_TIMEOUT", 16: "IORING_OP_CONNECT",
    17: "IORING_OP_FALLOCATE", 18: "IORING_OP_OPENAT", 19: "IORING_OP_CLOSE", 20: "IORING_OP_FILES_UPDATE",
    21: "IORING_OP_STATX", 22: "IORING_OP_READ", 23: "IORING_OP_WRITE", 24: "IORING_OP_FADVISE",
    25: "IORING_OP_MADVISE", 26: "IORING_OP_SEND", 27: "IORING_OP_RECV", 28: "IORING_OP_OPENAT2",
    29: "IORING_OP_EPOLL_CTL", 30: "IORING_OP_SPLICE", 31: "IORING_OP_PROVIDE_BUFFERS", 32: "IORING_OP_REMOVE_BUFFERS",
    33: "IORING_OP_TEE", 34: "IORING_OP_SHUTDOWN", 35: "IORING_OP_RENAMEAT", 36: "IORING_OP_UNLINKAT",
    37: "IORING_OP_MKDIRAT", 38: "IORING_OP_SYMLINKAT", 39: "IORING_OP_LINKAT", 40: "IORING_OP_MSG_RING",
    41: "IORING_OP_FSETXATTR", 42: "IORING_OP_SETXATTR", 43: "IORING_OP_FGETXATTR", 44: "IORING_OP_GETXATTR",
    45: "IORING_OP_SOCKET", 46: "IORING_OP_URING_CMD", 47: "IORING_OP_SEND_ZC", 48: "IORING_OP_SENDMSG_ZC",
    49: "IORING_OP_READ_MULTISHOT", 50: "IORING_OP_WAITID", 51: "IORING_OP_FUTEX_WAIT", 52: "IORING_OP_FUTEX_WAKE",
    53: "IORING_OP_FUTEX_WAITV", 54: "IORING_OP_FIXED_FD_INSTALL", 55: "IORING_OP_FTRUNCATE", 56: "IORING_OP_BIND",
    57: "IORING_OP_LISTEN", 58: "IORING_OP_RECV_ZC", 59: "IORING_OP_EPOLL_WAIT", 60: "IORING_OP_READV_FIXED",
    61: "IORING_OP_WRITEV_FIXED", 62: "IORING_OP_PIPE", 63: "IORING_OP_NOP128", 64: "IORING_OP_URING_CMD128",
}  # fmt: skip
"""What is asked through io_uring."""

IO_URING_SETUP: Mapping[int, str] = {
    0x1: "IORING_SETUP_IOPOLL", 0x2: "IORING_SETUP_SQPOLL", 0x4: "IORING_SETUP_SQ_AFF", 0x8: "IORING_SETUP_CQSIZE",
    0x10: "IORING_SETUP_CLAMP", 0x20: "IORING_SETUP_ATTACH_WQ", 0x40: "IORING_SETUP_R_DISABLED",
    0x80: "IORING_SETUP_SUBMIT_ALL", 0x100: "IORING_SETUP_COOP_TASKRUN", 0x200: "IORING_SETUP_TASKRUN_FLAG",
    0x400: "IORING_SETUP_SQE128", 0x800: "IORING_SETUP_CQE32", 0x1000: "IORING_SETUP_SINGLE_ISSUER",
    0x2000: "IORING_SETUP_DEFER_TASKRUN", 0x4000: "IORING_SETUP_NO_MMAP", 0x8000: "IORING_SETUP_REGISTERED_FD_ONLY",
    0x10000: "IORING_SETUP_NO_SQARRAY", 0x20000: "IORING_SETUP_HYBRID_IOPOLL", 0x40000: "IORING_SETUP_CQE_MIXED",
    0x80000: "IORING_SETUP_SQE_MIXED", 0x100000: "IORING_SETUP_SQ_REWIND",
}  # fmt: skip
"""Flags of io_uring_setup()."""

RENAME: Mapping[int, str] = {
    0x1: "RENAME_NOREPLACE", 0x2: "RENAME_EXCHANGE", 0x4: "RENAME_WHITEOUT",
}  # fmt: skip
"""Flags of renameat2()."""

XATTR: Mapping[int, str] = {
    0x1: "XATTR_CREATE", 0x2: "XATTR_REPLACE",
}  # fmt: skip
"""Flags of setxattr()."""

AT: Mapping[int, str] = {
    0x100: "AT_SYMLINK_NOFOLLOW", 0x200: "AT_REMOVEDIR", 0x400: "AT_SYMLINK_FOLLOW", 0x800: "AT_NO_AUTOMOUNT",
    0x1000: "AT_EMPTY_PATH", 0x2000: "AT_STATX_FORCE_SYNC", 0x4000: "AT_STATX_DONT_SYNC", 0x8000: "AT_RECURSIVE",
    0x10000: "AT_EXECVE_CHECK",
}  # fmt: skip
"""Flags of calls that take a directory and a path."""

CAPABILITY: Mapping[int, str] = {
    0: "CAP_CHOWN", 1: "CAP_DAC_OVERRIDE", 2: "CAP_DAC_READ_SEARCH", 3: "CAP_FOWNER", 4: "CAP_FSETID", 5: "CAP_KILL",
    6: "CAP_SETGID", 7: "CAP_SETUID", 8: "CAP_SETPCAP", 9: "CAP_LINUX_IMMUTABLE", 10: "CAP_NET_BIND_SERVICE",
    11: "CAP_NET_BROADCAST", 12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 14: "CAP_IPC_LOCK", 15: "CAP_IPC_OWNER",
    16: "CAP_SYS_MODULE", 17: "CAP_SYS_RAWIO", 18: "CAP_SYS_CHROOT", 19: "CAP_SYS_PTRACE", 20: "CAP_SYS_PACCT",
    21: "CAP_SYS_ADMIN", 22: "CAP_SYS_BOOT", 23: "CAP_SYS_NICE", 24: "CAP_SYS_RESOURCE", 25: "CAP_SYS_TIME",
    26: "CAP_SYS_TTY_CONFIG", 27: "CAP_MKNOD", 28: "CAP_LEASE", 29: "CAP_AUDIT_WRITE", 30: "CAP_AUDIT_CONTROL",
    31: "CAP_SETFCAP", 32: "CAP_MAC_OVERRIDE", 33: "CAP_MAC_ADMIN", 34: "CAP_SYSLOG", 35: "CAP_WAKE_ALARM",
    36: "CAP_BLOCK_SUSPEND", 37: "CAP_AUDIT_READ", 38: "CAP_PERFMON", 39: "CAP_BPF", 40: "CAP_CHECKPOINT_RESTORE",
}  # fmt: skip
"""Capabilities by bit."""

SIGNAL: Mapping[int, str] = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
    23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
    30: "SIGPWR", 31: "SIGSYS",
}  # fmt: skip
"""Signals before the real-time ones."""

SYSCALLS: Mapping[str, int] = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16,
    "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24,
    "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28, "shmget": 29, "shmat": 30, "shmctl": 31, "dup": 32,
    "dup2": 33, "pause": 34, "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39,
    "sendfile": 40, "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "shutdown": 48, "bind": 49, "listen": 50, "getsockname": 51, "getpeername": 52, "socketpair": 53,
    "setsockopt": 54, "getsockopt": 55, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61,
    "kill": 62, "uname": 63, "semget": 64, "semop": 65, "semctl": 66, "shmdt": 67, "msgget": 68, "msgsnd": 69,
    "msgrcv": 70, "msgctl": 71, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77,
    "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85,
    "link": 86, "unlink": 87, "symlink": 88, "readlink": 89, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93,
    "lchown": 94, "umask": 95, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100,
    "ptrace": 101, "getuid": 102, "syslog": 103, "getgid": 104, "setuid": 105, "setgid": 106, "geteuid": 107,
    "getegid": 108, "setpgid": 109, "getppid": 110, "getpgrp": 111, "setsid": 112, "setreuid": 113, "setregid": 114,
    "getgroups": 115, "setgroups": 116, "setresuid": 117, "getresuid": 118, "setresgid": 119, "getresgid": 120,
    "getpgid": 121, "setfsuid": 122, "setfsgid": 123, "getsid": 124, "capget": 125, "capset": 126, "rt_sigpending": 127,
    "rt_sigtimedwait": 128, "rt_sigqueueinfo": 129, "rt_sigsuspend": 130, "sigaltstack": 131, "utime": 132,
    "mknod": 133, "uselib": 134, "personality": 135, "ustat": 136, "statfs": 137, "fstatfs": 138, "sysfs": 139,
    "getpriority": 140, "setpriority": 141, "sched_setparam": 142, "sched_getparam": 143, "sched_setscheduler": 144,
    "sched_getscheduler": 145, "sched_get_priority_max": 146, "sched_get_priority_min": 147,
    "sched_rr_get_interval": 148, "mlock": 149, "munlock": 150, "mlockall": 151, "munlockall": 152, "vhangup": 153,
    "modify_ldt": 154, "pivot_root": 155, "_sysctl": 156, "prctl": 157, "arch_prctl": 158, "adjtimex": 159,
    "setrlimit": 160, "chroot": 161, "sync": 162, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166,
    "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
    "create_module": 174, "init_module": 175, "delete_module": 176, "get_kernel_syms": 177, "query_module": 178,
    "quotactl": 179, "nfsservctl": 180, "getpmsg": 181, "putpmsg": 182, "afs_syscall": 183, "tuxcall": 184,
    "security": 185, "gettid": 186, "readahead": 187, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "getxattr": 191, "lgetxattr": 192, "fgetxattr": 193, "listxattr": 194, "llistxattr": 195, "flistxattr": 196,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "tkill": 200, "time": 201, "futex": 202,
    "sched_setaffinity": 203, "sched_getaffinity": 204, "set_thread_area": 205, "io_setup": 206, "io_destroy": 207,
    "io_getevents": 208, "io_submit": 209, "io_cancel": 210, "get_thread_area": 211, "lookup_dcookie": 212,
    "epoll_create": 213, "epoll_ctl_old": 214, "epoll_wait_old": 215, "remap_file_pages": 216, "getdents64": 217,
    "set_tid_address": 218, "restart_syscall": 219, "semtimedop": 220, "fadvise64": 221, "timer_create": 222,
    "timer_settime": 223, "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226, "clock_settime": 227,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232,
    "epoll_ctl": 233, "tgkill": 234, "utimes": 235, "vserver": 236, "mbind": 237, "set_mempolicy": 238,
    "get_mempolicy": 239, "mq_open": 240, "mq_unlink": 241, "mq_timedsend": 242, "mq_timedreceive": 243,
    "mq_notify": 244, "mq_getsetattr": 245, "kexec_load": 246, "waitid": 247, "add_key": 248, "request_key": 249,
    "keyctl": 250, "ioprio_set": 251, "ioprio_get": 252, "inotify_init": 253, "inotify_add_watch": 254,
    "inotify_rm_watch": 255, "migrate_pages": 256, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260,
    "futimesat": 261, "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266,
    "readlinkat": 267, "fchmodat": 268, "faccessat": 269, "pselect6": 270, "ppoll": 271, "unshare": 272,
    "set_robust_list": 273, "get_robust_list": 274, "splice": 275, "tee": 276, "sync_file_range": 277, "vmsplice": 278,
    "move_pages": 279, "utimensat": 280, "epoll_pwait": 281, "signalfd": 282, "timerfd_create": 283, "eventfd": 284,
    "fallocate": 285, "timerfd_settime": 286, "timerfd_gettime": 287, "accept4": 288, "signalfd4": 289, "eventfd2": 290,
    "epoll_create1": 291, "dup3": 292, "pipe2": 293, "inotify_init1": 294, "preadv": 295, "pwritev": 296,
    "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "recvmmsg": 299, "fanotify_init": 300, "fanotify_mark": 301,
    "prlimit64": 302, "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "syncfs": 306,
    "sendmmsg": 307, "setns": 308, "getcpu": 309, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "sched_setattr": 314, "sched_getattr": 315, "renameat2": 316, "seccomp": 317, "getrandom": 318,
    "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "execveat": 322, "userfaultfd": 323, "membarrier": 324,
    "mlock2": 325, "copy_file_range": 326, "preadv2": 327, "pwritev2": 328, "pkey_mprotect": 329, "pkey_alloc": 330,
    "pkey_free": 331, "statx": 332, "io_pgetevents": 333, "rseq": 334, "uretprobe": 335, "uprobe": 336,
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435,
    "close_range": 436, "openat2": 437, "pidfd_getfd": 438, "faccessat2": 439, "process_madvise": 440,
    "epoll_pwait2": 441, "mount_setattr": 442, "quotactl_fd": 443, "landlock_create_ruleset": 444,
    "landlock_add_rule": 445, "landlock_restrict_self": 446, "memfd_secret": 447, "process_mrelease": 448,
    "futex_waitv": 449, "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453,
    "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456, "statmount": 457, "listmount": 458,
    "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463,
    "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468,
    "file_setattr": 469, "listns": 470, "rseq_slice_yield": 471, "fchroot": 472,
}  # fmt: skip
"""Calls of x86-64."""

SYSCALLS_I386: Mapping[str, int] = {
    "restart_syscall": 0, "exit": 1, "fork": 2, "read": 3, "write": 4, "open": 5, "close": 6, "waitpid": 7, "creat": 8,
    "link": 9, "unlink": 10, "execve": 11, "chdir": 12, "time": 13, "mknod": 14, "chmod": 15, "lchown": 16, "break": 17,
    "oldstat": 18, "lseek": 19, "getpid": 20, "mount": 21, "umount": 22, "setuid": 23, "getuid": 24, "stime": 25,
    "ptrace": 26, "alarm": 27, "oldfstat": 28, "pause": 29, "utime": 30, "stty": 31, "gtty": 32, "access": 33,
    "nice": 34, "ftime": 35, "sync": 36, "kill": 37, "rename": 38, "mkdir": 39, "rmdir": 40, "dup": 41, "pipe": 42,
    "times": 43, "prof": 44, "brk": 45, "setgid": 46, "getgid": 47, "signal": 48, "geteuid": 49, "getegid": 50,
    "acct": 51, "umount2": 52, "lock": 53, "ioctl": 54, "fcntl": 55, "mpx": 56, "setpgid": 57, "ulimit": 58,
    "oldolduname": 59, "umask": 60, "chroot": 61, "ustat": 62, "dup2": 63, "getppid": 64, "getpgrp": 65, "setsid": 66,
    "sigaction": 67, "sgetmask": 68, "ssetmask": 69, "setreuid": 70, "setregid": 71, "sigsuspend": 72, "sigpending": 73,
    "sethostname": 74, "setrlimit": 75, "getrlimit": 76, "getrusage": 77, "gettimeofday": 78, "settimeofday": 79,
    "getgroups": 80, "setgroups": 81, "select": 82, "symlink": 83, "oldlstat": 84, "readlink": 85, "uselib": 86,
    "swapon": 87, "reboot": 88, "readdir": 89, "mmap": 90, "munmap": 91, "truncate": 92, "ftruncate": 93, "fchmod": 94,
    "fchown": 95, "getpriority": 96, "setpriority": 97, "profil": 98, "statfs": 99, "fstatfs": 100, "ioperm": 101,
    "socketcall": 102, "syslog": 103, "setitimer": 104, "getitimer": 105, "stat": 106, "lstat": 107, "fstat": 108,
    "olduname": 109, "iopl": 110, "vhangup": 111, "idle": 112, "vm86old": 113, "wait4": 114, "swapoff": 115,
    "sysinfo": 116, "ipc": 117, "fsync": 118, "sigreturn": 119, "clone": 120, "setdomainname": 121, "uname": 122,
    "modify_ldt": 123, "adjtimex": 124, "mprotect": 125, "sigprocmask": 126, "create_module": 127, "init_module": 128,
    "delete_module": 129, "get_kernel_syms": 130, "quotactl": 131, "getpgid": 132, "fchdir": 133, "bdflush": 134,
    "sysfs": 135, "personality": 136, "afs_syscall": 137, "setfsuid": 138, "setfsgid": 139, "_llseek": 140,
    "getdents": 141, "_newselect": 142, "flock": 143, "msync": 144, "readv": 145, "writev": 146, "getsid": 147,
    "fdatasync": 148, "_sysctl": 149, "mlock": 150, "munlock": 151, "mlockall": 152, "munlockall": 153,
    "sched_setparam": 154, "sched_getparam": 155, "sched_setscheduler": 156, "sched_getscheduler": 157,
    "sched_yield": 158, "sched_get_priority_max": 159, "sched_get_priority_min": 160, "sched_rr_get_interval": 161,
    "nanosleep": 162, "mremap": 163, "setresuid": 164, "getresuid": 165, "vm86": 166, "query_module": 167, "poll": 168,
    "nfsservctl": 169, "setresgid": 170, "getresgid": 171, "prctl": 172, "rt_sigreturn": 173, "rt_sigaction": 174,
    "rt_sigprocmask": 175, "rt_sigpending": 176, "rt_sigtimedwait": 177, "rt_sigqueueinfo": 178, "rt_sigsuspend": 179,
    "pread64": 180, "pwrite64": 181, "chown": 182, "getcwd": 183, "capget": 184, "capset": 185, "sigaltstack": 186,
    "sendfile": 187, "getpmsg": 188, "putpmsg": 189, "vfork": 190, "ugetrlimit": 191, "mmap2": 192, "truncate64": 193,
    "ftruncate64": 194, "stat64": 195, "lstat64": 196, "fstat64": 197, "lchown32": 198, "getuid32": 199,
    "getgid32": 200, "geteuid32": 201, "getegid32": 202, "setreuid32": 203, "setregid32": 204, "getgroups32": 205,
    "setgroups32": 206, "fchown32": 207, "setresuid32": 208, "getresuid32": 209, "setresgid32": 210, "getresgid32": 211,
    "chown32": 212, "setuid32": 213, "setgid32": 214, "setfsuid32": 215, "setfsgid32": 216, "pivot_root": 217,
    "mincore": 218, "madvise": 219, "getdents64": 220, "fcntl64": 221, "gettid": 224, "readahead": 225, "setxattr": 226,
    "lsetxattr": 227, "fsetxattr": 228, "getxattr": 229, "lgetxattr": 230, "fgetxattr": 231, "listxattr": 232,
    "llistxattr": 233, "flistxattr": 234, "removexattr": 235, "lremovexattr": 236, "fremovexattr": 237, "tkill": 238,
    "sendfile64": 239, "futex": 240, "sched_setaffinity": 241, "sched_getaffinity": 242, "set_thread_area": 243,
    "get_thread_area": 244, "io_setup": 245, "io_destroy": 246, "io_getevents": 247, "io_submit": 248, "io_cancel": 249,
    "fadvise64": 250, "exit_group": 252, "lookup_dcookie": 253, "epoll_create": 254, "epoll_ctl": 255,
    "epoll_wait": 256, "remap_file_pages": 257, "set_tid_address": 258, "timer_create": 259, "timer_settime": 260,
    "timer_gettime": 261, "timer_getoverrun": 262, "timer_delete": 263, "clock_settime": 264, "clock_gettime": 265,
    "clock_getres": 266, "clock_nanosleep": 267, "statfs64": 268, "fstatfs64": 269, "tgkill": 270, "utimes": 271,
    "fadvise64_64": 272, "vserver": 273, "mbind": 274, "get_mempolicy": 275, "set_mempolicy": 276, "mq_open": 277,
    "mq_unlink": 278, "mq_timedsend": 279, "mq_timedreceive": 280, "mq_notify": 281, "mq_getsetattr": 282,
    "kexec_load": 283, "waitid": 284, "add_key": 286, "request_key": 287, "keyctl": 288, "ioprio_set": 289,
    "ioprio_get": 290, "inotify_init": 291, "inotify_add_watch": 292, "inotify_rm_watch": 293, "migrate_pages": 294,
    "openat": 295, "mkdirat": 296, "mknodat": 297, "fchownat": 298, "futimesat": 299, "fstatat64": 300, "unlinkat": 301,
    "renameat": 302, "linkat": 303, "symlinkat": 304, "readlinkat": 305, "fchmodat": 306, "faccessat": 307,
    "pselect6": 308, "ppoll": 309, "unshare": 310, "set_robust_list": 311, "get_robust_list": 312, "splice": 313,
    "sync_file_range": 314, "tee": 315, "vmsplice": 316, "move_pages": 317, "getcpu": 318, "epoll_pwait": 319,
    "utimensat": 320, "signalfd": 321, "timerfd_create": 322, "eventfd": 323, "fallocate": 324, "timerfd_settime": 325,
    "timerfd_gettime": 326, "signalfd4": 327, "eventfd2": 328, "epoll_create1": 329, "dup3": 330, "pipe2": 331,
    "inotify_init1": 332, "preadv": 333, "pwritev": 334, "rt_tgsigqueueinfo": 335, "perf_event_open": 336,
    "recvmmsg": 337, "fanotify_init": 338, "fanotify_mark": 339, "prlimit64": 340, "name_to_handle_at": 341,
    "open_by_handle_at": 342, "clock_adjtime": 343, "syncfs": 344, "sendmmsg": 345, "setns": 346,
    "process_vm_readv": 347, "process_vm_writev": 348, "kcmp": 349, "finit_module": 350, "sched_setattr": 351,
    "sched_getattr": 352, "renameat2": 353, "seccomp": 354, "getrandom": 355, "memfd_create": 356, "bpf": 357,
    "execveat": 358, "socket": 359, "socketpair": 360, "bind": 361, "connect": 362, "listen": 363, "accept4": 364,
    "getsockopt": 365, "setsockopt": 366, "getsockname": 367, "getpeername": 368, "sendto": 369, "sendmsg": 370,
    "recvfrom": 371, "recvmsg": 372, "shutdown": 373, "userfaultfd": 374, "membarrier": 375, "mlock2": 376,
    "copy_file_range": 377, "preadv2": 378, "pwritev2": 379, "pkey_mprotect": 380, "pkey_alloc": 381, "pkey_free": 382,
    "statx": 383, "arch_prctl": 384, "io_pgetevents": 385, "rseq": 386, "semget": 393, "semctl": 394, "shmget": 395,
    "shmctl": 396, "shmat": 397, "shmdt": 398, "msgget": 399, "msgsnd": 400, "msgrcv": 401, "msgctl": 402,
    "clock_gettime64": 403, "clock_settime64": 404, "clock_adjtime64": 405, "clock_getres_time64": 406,
    "clock_nanosleep_time64": 407, "timer_gettime64": 408, "timer_settime64": 409, "timerfd_gettime64": 410,
    "timerfd_settime64": 411, "utimensat_time64": 412, "pselect6_time64": 413, "ppoll_time64": 414,
    "io_pgetevents_time64": 416, "recvmmsg_time64": 417, "mq_timedsend_time64": 418, "mq_timedreceive_time64": 419,
    "semtimedop_time64": 420, "rt_sigtimedwait_time64": 421, "futex_time64": 422, "sched_rr_get_interval_time64": 423,
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435,
    "close_range": 436, "openat2": 437, "pidfd_getfd": 438, "faccessat2": 439, "process_madvise": 440,
    "epoll_pwait2": 441, "mount_setattr": 442, "quotactl_fd": 443, "landlock_create_ruleset": 444,
    "landlock_add_rule": 445, "landlock_restrict_self": 446, "memfd_secret": 447, "process_mrelease": 448,
    "futex_waitv": 449, "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453,
    "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456, "statmount": 457, "listmount": 458,
    "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463,
    "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468,
    "file_setattr": 469, "listns": 470, "rseq_slice_yield": 471, "fchroot": 472,
}  # fmt: skip
"""Calls of 32-bit programs."""
