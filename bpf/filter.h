/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What nobody asked for is left out here, before anything is gathered of it: by cgroup, user and program of who does
 * it, by path, by address and port of what is done.
 *
 * User space writes the rules (source/filters.py), and says by constants which of them there are: what there is no rule
 * for, the verifier cuts out. The life of processes (exec, fork, exit) is never left out: it says who does the rest.
 */
#ifndef PODWITNESS_FILTER_H
#define PODWITNESS_FILTER_H

#include "kernel.h"

/* A rule's verdict. Where any rule of a sort takes something in, all that no rule names is left out. */
enum verdict { no_verdict, taken_in, left_out };

struct rules {
	bool some; /* there are rules of this sort */
	bool only; /* what none of them names is left out */
};

const volatile struct rules cgroup_filter;
const volatile struct rules user_filter;
const volatile struct rules binary_filter;
const volatile struct rules path_filter;
const volatile struct rules address_filter;
const volatile struct rules port_filter;

#define RULES 1024
#define PREFIX_BYTES 256 /* LPM_DATA_SIZE_MAX, kernel/bpf/lpm_trie.c */
#define CGROUP_LEVELS 16

struct text_prefix {
	__u32 bits;
	char text[PREFIX_BYTES];
};

struct address_prefix {
	__u32 bits;
	__u8 address[16];
};

#define RULE_MAP(name, map_type, key_type, map_flags_value)                                                            \
	struct {                                                                                                       \
		__uint(type, map_type);                                                                                \
		__uint(map_flags, map_flags_value);                                                                    \
		__uint(max_entries, RULES);                                                                            \
		__type(key, key_type);                                                                                 \
		__type(value, __u8);                                                                                   \
	} name SEC(".maps")

RULE_MAP(cgroup_rules, BPF_MAP_TYPE_HASH, __u64, 0); /* by kernfs id; they count for all beneath, the nearest wins */
RULE_MAP(user_rules, BPF_MAP_TYPE_HASH, __u32, 0);   /* by effective user id */
RULE_MAP(port_rules, BPF_MAP_TYPE_HASH, __u16, 0);
RULE_MAP(binary_rules, BPF_MAP_TYPE_LPM_TRIE, struct text_prefix, BPF_F_NO_PREALLOC);
RULE_MAP(path_rules, BPF_MAP_TYPE_LPM_TRIE, struct text_prefix, BPF_F_NO_PREALLOC);
RULE_MAP(address_rules, BPF_MAP_TYPE_LPM_TRIE, struct address_prefix, BPF_F_NO_PREALLOC);

/* Process images whose program the rules leave out: known from their exec, their fork or the snapshot. */
struct image_key {
	__u64 start_time;
	__u64 exec_id;
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct image_key);
	__type(value, __u8);
} image_rules SEC(".maps");

static __always_inline bool is_left_out(const volatile struct rules *rules, __u8 *verdict)
{
	return verdict && *verdict != no_verdict ? *verdict == left_out : rules->only;
}

static __always_inline bool is_user_left_out(__u32 user)
{
	return user_filter.some && is_left_out(&user_filter, bpf_map_lookup_elem(&user_rules, &user));
}

static __always_inline bool is_port_left_out(__u16 port)
{
	return port_filter.some && is_left_out(&port_filter, bpf_map_lookup_elem(&port_rules, &port));
}

/* `address` in IPv6's form, IPv4 as ::ffff:a.b.c.d. */
static __always_inline bool is_address_left_out(const __u8 *address)
{
	struct address_prefix prefix = {.bits = 128};

	if (!address_filter.some)
		return false;
	__builtin_memcpy(prefix.address, address, sizeof(prefix.address));
	return is_left_out(&address_filter, bpf_map_lookup_elem(&address_rules, &prefix));
}

#endif
