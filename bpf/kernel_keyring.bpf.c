// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's keys: kernel.keyring. Which key, where and what is done with it, never what is in it: no call's payload
 * is looked at.
 */
#include "file.h"
#include "written_name.h"

/* include/uapi/linux/keyctl.h */
#define KEYCTL_GET_KEYRING_ID 0
#define KEYCTL_JOIN_SESSION_KEYRING 1
#define KEYCTL_LINK 8
#define KEYCTL_UNLINK 9
#define KEYCTL_SEARCH 10
#define KEYCTL_INSTANTIATE 12
#define KEYCTL_NEGATE 13
#define KEYCTL_SET_REQKEY_KEYRING 14
#define KEYCTL_SESSION_TO_PARENT 18
#define KEYCTL_REJECT 19
#define KEYCTL_INSTANTIATE_IOV 20
#define KEYCTL_GET_PERSISTENT 22
#define KEYCTL_DH_COMPUTE 23
#define KEYCTL_PKEY_ENCRYPT 25
#define KEYCTL_PKEY_VERIFY 28
#define KEYCTL_RESTRICT_KEYRING 29
#define KEYCTL_MOVE 30
#define KEYCTL_CAPABILITIES 31
#define NO_KEYCTL (-1)
#define KEY_TYPE_BYTES 32

SAMPLE(kernel_keyring)
{
	struct header header;
	keyctl_t operation;
	key_serial_t serial; /* of the key that it is about, and that came of it */
	key_serial_t ring;   /* where it is put, looked for, or taken from */
	errno_t error;
	call_t call;
	str_len_t type;
	str_len_t description;
	__u32 pad;
};

SCRATCH(keyring_text);

/* Where the strings and numbers of a call are. */
struct places {
	__u64 type;
	__u64 description;
	__u32 serial;
	__u32 ring;
	bool is_result; /* the serial is what the call returned */
};

static __always_inline void find_key(struct places *found, struct call *call)
{
	found->type = call->args[0];
	found->description = call->args[1];
	found->ring = call->args[call->number == __NR_add_key ? 4 : 3];
	found->is_result = true;
}

/* The first argument is the operation; most take the key as their second. */
static __always_inline void find_operand(struct places *found, struct call *call)
{
	__u32 operation = call->args[0];

	found->serial = call->args[1];
	switch (operation) {
	case KEYCTL_JOIN_SESSION_KEYRING:
		found->description = call->args[1];
		found->serial = 0;
		found->is_result = true;
		break;
	case KEYCTL_GET_KEYRING_ID:
		found->is_result = call->result > 0;
		break;
	case KEYCTL_SEARCH:
		found->ring = call->args[1];
		found->type = call->args[2];
		found->description = call->args[3];
		found->serial = 0;
		found->is_result = true;
		break;
	case KEYCTL_GET_PERSISTENT:
		found->ring = call->args[2];
		found->serial = 0;
		found->is_result = true;
		break;
	case KEYCTL_LINK:
	case KEYCTL_UNLINK:
		found->ring = call->args[2];
		break;
	case KEYCTL_NEGATE:
	case KEYCTL_MOVE:
		found->ring = call->args[3];
		break;
	case KEYCTL_INSTANTIATE:
	case KEYCTL_INSTANTIATE_IOV:
	case KEYCTL_REJECT:
		found->ring = call->args[4];
		break;
	case KEYCTL_RESTRICT_KEYRING:
		found->type = call->args[2];
		break;
	case KEYCTL_SET_REQKEY_KEYRING:
	case KEYCTL_SESSION_TO_PARENT:
	case KEYCTL_DH_COMPUTE:
	case KEYCTL_CAPABILITIES:
		found->serial = 0;
		break;
	case KEYCTL_PKEY_ENCRYPT ... KEYCTL_PKEY_VERIFY: /* struct keyctl_pkey_params begins with the key */
		found->serial = 0;
		bpf_probe_read_user(&found->serial, sizeof(found->serial), (void *)call->args[1]);
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_keyring_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&keyring_text, &key);
	struct places found = {};
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct kernel_keyring *event = STRUCT_OF(text, kernel_keyring);

	if (!begin_event(&event->header, kernel_keyring_kind, activity_ring, task))
		return 0;
	if (call.number == __NR_keyctl)
		find_operand(&found, &call);
	else
		find_key(&found, &call);
	text->used = 0;
	event->error = error_of(call.result);
	event->call = call.number;
	event->operation = call.number == __NR_keyctl ? call.args[0] : NO_KEYCTL;
	event->serial = !found.is_result ? found.serial : event->error ? 0 : call.result;
	event->ring = found.ring;
	event->type = write_asked_name(text, (void *)found.type, KEY_TYPE_BYTES);
	event->description = write_asked(text, (void *)found.description);
	event->pad = 0;
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
