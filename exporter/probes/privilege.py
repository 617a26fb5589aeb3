"""Rights: who becomes somebody else and gains capabilities; what reaches into other processes is in `reach.py`.

OpenTelemetry has names for the ids of a process, not for their change: that stands under `podwitness.cred.*` with the
leaf names of the Elastic Common Schema. Ids and capabilities are those of the thread that made the call, as the host
counts them; what was requested is as the caller counts.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.process import COMMON
from exporter.probes.reach import REACHES
from exporter.probes.target import TARGET_DERIVED, TARGET_FIELDS

_USERS = {"uid": "real_user.id", "euid": "user.id", "suid": "saved_user.id", "fsuid": "fs_user.id"}
_GROUPS = {
    "gid": "real_group.id", "egid": "group.id", "sgid": "saved_group.id", "fsgid": "fs_group.id",
    "groups": "groups.count",
}  # fmt: skip
_CAPABILITIES = {
    "effective": "capabilities.effective", "permitted": "capabilities.permitted",
    "inheritable": "capabilities.inheritable",
}  # fmt: skip
_IMAGE = {
    "uid": "process.real_user.id",
    "euid": "process.user.id",
    "suid": "process.saved_user.id",
    "gid": "podwitness.process.real_group.id",
    "egid": "podwitness.process.group.id",
    "sgid": "podwitness.process.saved_group.id",
    **{member: f"podwitness.process.{leaf}" for member, leaf in _CAPABILITIES.items()},
    "user_ns": "podwitness.process.namespace.user",
}
"""Members of `struct rights` that the process image has too: the process table brings it up to date with them."""

OLD, NEW, REQUESTED = "podwitness.cred.old.", "podwitness.cred.new.", "podwitness.cred.requested."
OF_IMAGE = tuple(_IMAGE.values())
"""Attributes of the image that a call can change."""
OLD_OF_IMAGE = {
    OLD + leaf: _IMAGE[member] for member, leaf in {**_USERS, **_GROUPS, **_CAPABILITIES}.items() if member in _IMAGE
} | {f"{OLD}user_namespace": _IMAGE["user_ns"]}
"""What the image calls the old values."""


def _change(leaves: dict[str, str]) -> tuple[Field, ...]:
    """What a call changed: these members told as they were and as they are, all of them for the process table."""
    return (
        *(Field(f"change.old.{member}", OLD + leaf) for member, leaf in leaves.items()),
        *(Field(f"change.new.{member}", NEW + leaf) for member, leaf in leaves.items()),
        *(Field(f"change.new.{member}", name, "process") for member, name in _IMAGE.items()),
    )


def _untold(leaves: dict[str, str]) -> tuple[str, ...]:
    """Members of struct rights_change that are not told by such a kind."""
    members = (*_USERS, *_GROUPS, *_CAPABILITIES, "user_ns")
    old = (f"change.old.{member}" for member in members if member not in leaves)
    new = (f"change.new.{member}" for member in members if member not in leaves and member not in _IMAGE)
    return (*old, *new)


THREAD = (
    Field("tid", "podwitness.process.thread.id"),
    Field("tid", "thread", "table"),
)
"""Who made the call: each thread has rights of its own, though libraries change those of all threads."""

ERROR = Field("error", "error.type")
CALL = Field("call", "podwitness.syscall.name")

_RIGHTS_CALLS = ("setuid", "setreuid", "setresuid", "setfsuid")
_GROUP_CALLS = ("setgid", "setregid", "setresgid", "setfsgid", "setgroups")
_KEPT = ("on_fork_rights", "on_exec_rights")
_KEPT_COST = "what each thread may do is kept with it: 0.2 KiB and one copy a fork"
_SETFS = "what setfsuid() and setfsgid() return does not say whether they were refused: compare requested and new"


def _rights_hook(calls: tuple[str, ...], caveats: str = "") -> Hook:
    return Hook(programs=_KEPT, handler="on_rights_call", calls=calls, cost=_KEPT_COST, caveats=caveats)


PRIVILEGE_SETUID = Kind(
    name="privilege.setuid",
    program="privilege",
    ring="lifecycle",
    hooks=(_rights_hook(_RIGHTS_CALLS, _SETFS),),
    fields=(
        *_change(_USERS),
        Field("asked.real", f"{REQUESTED}real_user.id"),
        Field("asked.effective", f"{REQUESTED}user.id"),
        Field("asked.saved", f"{REQUESTED}saved_user.id"),
        Field("asked.fs", f"{REQUESTED}fs_user.id"),
        *THREAD,
        CALL,
        ERROR,
    ),
    unused=_untold(_USERS),
    carries=COMMON,
    body=(
        ("call", "podwitness.syscall.name"),
        ("old", f"{OLD}user.id"),
        ("new", f"{NEW}user.id"),
        ("error", "error.type"),
    ),
)
"""A thread's user ids were set, or were not: then what was requested is told too."""

PRIVILEGE_SETGID = Kind(
    name="privilege.setgid",
    program="privilege",
    ring="lifecycle",
    hooks=(_rights_hook(_GROUP_CALLS, _SETFS),),
    fields=(
        *_change(_GROUPS),
        Field("asked.real", f"{REQUESTED}real_group.id"),
        Field("asked.effective", f"{REQUESTED}group.id"),
        Field("asked.saved", f"{REQUESTED}saved_group.id"),
        Field("asked.fs", f"{REQUESTED}fs_group.id"),
        *THREAD,
        CALL,
        ERROR,
    ),
    unused=_untold(_GROUPS),
    carries=COMMON,
    body=(
        ("call", "podwitness.syscall.name"),
        ("old", f"{OLD}group.id"),
        ("new", f"{NEW}group.id"),
        ("error", "error.type"),
    ),
)
"""A thread's group ids or its supplementary groups were set; of the latter their number is told."""

CHANGED = (
    Field("gained", "podwitness.cred.capabilities.gained"),
    Field("lost", "podwitness.cred.capabilities.lost"),
)
"""Capabilities that are effective or permitted and were not, and the other way round."""

PRIVILEGE_CAPSET = Kind(
    name="privilege.capset",
    program="privilege",
    ring="lifecycle",
    hooks=(_rights_hook(("capset",), "what was requested is read when the call has ended"),),
    fields=(
        *_change(_CAPABILITIES),
        Field("asked_effective", f"{REQUESTED}capabilities.effective"),
        Field("asked_permitted", f"{REQUESTED}capabilities.permitted"),
        Field("asked_inheritable", f"{REQUESTED}capabilities.inheritable"),
        *CHANGED,
        *THREAD,
        ERROR,
    ),
    unused=_untold(_CAPABILITIES),
    carries=COMMON,
    body=(
        ("gained", "podwitness.cred.capabilities.gained"),
        ("lost", "podwitness.cred.capabilities.lost"),
        ("error", "error.type"),
    ),
)
"""A thread set its own capabilities."""

PRIVILEGE_GAINED = Kind(
    name="privilege.gained",
    program="privilege",
    ring="lifecycle",
    hooks=(
        _rights_hook(
            (*_RIGHTS_CALLS, *_GROUP_CALLS, "capset"),
            "by unshare() and setns() it is told where privilege.user_namespace is looked at",
        ),
    ),
    fields=(
        CHANGED[0],
        Field("by", "podwitness.cred.gained_by"),
        Field("old_euid", f"{OLD}user.id"),
        Field("new_euid", f"{NEW}user.id"),
        Field("old_uid", f"{OLD}real_user.id"),
        Field("new_uid", f"{NEW}real_user.id"),
        Field("old_user_ns", f"{OLD}user_namespace"),
        Field("new_user_ns", f"{NEW}user_namespace"),
        Field("tid", "podwitness.process.thread.id"),
        Field("call", "podwitness.syscall.name"),
    ),
    carries=COMMON,
    severity=13,
    body=(
        ("by", "podwitness.cred.gained_by"),
        ("capabilities", "podwitness.cred.capabilities.gained"),
        ("old", f"{OLD}user.id"),
        ("new", f"{NEW}user.id"),
    ),
)
"""A thread has capabilities, or the effective user id 0, that it did not have before: by a call or by an exec.

An event of its own, beside that of the call or the exec: it is rare, and it is the one that people set alerts on.
Those gained in a new user namespace count in that one only, and say so.
"""

PRIVILEGE_PRCTL = Kind(
    name="privilege.prctl",
    program="privilege",
    ring="activity",
    importance=6,
    hooks=(
        Hook(
            handler="on_prctl_call",
            calls=("prctl",),
            cost="one compare for each other prctl()",
            caveats="of its options only those that change what a process may become",
        ),
    ),
    fields=(
        Field("option", "podwitness.prctl.option"),
        Field("value", "podwitness.prctl.value"),
        Field("securebits", "podwitness.prctl.securebits"),
        Field("ambient", "podwitness.prctl.ambient"),
        Field("capability", "podwitness.prctl.capability"),
        Field("tid", "podwitness.process.thread.id"),
        ERROR,
    ),
    carries=COMMON,
    body=(("option", "podwitness.prctl.option"), ("value", "podwitness.prctl.value"), ("error", "error.type")),
)
"""PR_SET_NO_NEW_PRIVS, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_SET_DUMPABLE, and PR_CAP_AMBIENT but for its question."""

_SEEN_BEFORE = "the old namespace is that at the thread's last change, else the process's"

PRIVILEGE_USER_NAMESPACE = Kind(
    name="privilege.user_namespace",
    program="namespace",
    ring="lifecycle",
    hooks=(
        Hook(
            programs=("on_clone",),
            handler="on_setns_call",
            calls=("setns",),
            also=(("on_unshare_call", ("unshare",)), ("on_clone_call", ("clone", "clone3"))),
            caveats=_SEEN_BEFORE,
        ),
    ),
    fields=(
        CALL,
        Field("flags", "podwitness.namespace.flags"),
        Field("old_ns", f"{OLD}user_namespace"),
        Field("new_ns", f"{NEW}user_namespace"),
        *(Field(f"new.{member}", name, "process") for member, name in _IMAGE.items()),
        *TARGET_FIELDS,
        *THREAD,
        ERROR,
    ),
    unused=("new.fsuid", "new.fsgid", "new.groups"),
    derived=TARGET_DERIVED,
    carries=COMMON,
    body=(("call", "podwitness.syscall.name"), ("new", f"{NEW}user_namespace"), ("error", "error.type")),
)
"""A user namespace was made or entered, or was to be; of clone() the target is the child, who is in it."""

PRIVILEGES = (
    PRIVILEGE_SETUID,
    PRIVILEGE_SETGID,
    PRIVILEGE_CAPSET,
    PRIVILEGE_GAINED,
    PRIVILEGE_USER_NAMESPACE,
    PRIVILEGE_PRCTL,
    *REACHES,
)
