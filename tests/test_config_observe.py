"""The settings of what is looked at: what could match nothing is refused, with what was probably meant."""

import re

import msgspec
import pytest

from exporter import config
from exporter.errors import ConfigError

MANY = list(range(1, 600))


def told(observe: object) -> str:
    """What is said of these settings; empty where they can be."""
    try:
        config.parse(msgspec.json.encode({"sinks": {}, "observe": observe}).decode(), where="c.yaml")
    except ConfigError as error:
        return re.sub(r"\Ac.yaml: observe(: |\.)", "", str(error))
    return ""


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/etc/../root/", "/root/"),
        ("//etc/", "/etc/"),
        ("/etc//", "/etc/"),
        ("/etc/.", "/etc"),
        ("/etc/./pass*", "/etc/pass*"),
        ("/..", "/"),
    ],
)
def test_a_path_that_no_kernel_tells_is_refused_with_the_one_that_was_meant(path: str, meant: str) -> None:
    for observe, place in (
        ({"files": {"paths": {"include": [path]}}}, "files.paths"),
        ({"binaries": {"exclude": [path]}}, "binaries"),
    ):
        assert told(observe) == f"{place}: {path} is no path that the kernel tells: write {meant}"
    assert told({"binaries": {"exclude": [meant]}}) == ""


@pytest.mark.parametrize("path", ["/", "/*", "/etc/", "/etc/..*", "/etc/pass*", "/a b/ü"])
def test_other_paths_are_allowed(path: str) -> None:
    assert told({"files": {"paths": {"include": [path]}}}) == ""


@pytest.mark.parametrize(
    ("observe", "said"),
    [
        (
            {"files": {"paths": {"include": ["/etc/*/x"]}}},
            "files.paths: /etc/*/x: a * can only be the end: /etc/* is all that begins so",
        ),
        ({"files": {"paths": {"include": ["etc"]}}}, "files.paths: etc is no absolute path, which is all that the"),
        ({"cgroups": {"include": ["kube"]}}, "cgroups: kube is no absolute path, which is all that the"),
        ({"cgroups": {"exclude": ["/a/kube*"]}}, "cgroups: /a/kube* has a wildcard, which cgroups have not: /a is all"),
        ({"cgroups": {"exclude": ["/a/../b"]}}, "cgroups: /a/../b is no path that the kernel tells: write /b"),
        ({"cgroups": {"exclude": ["/a\0"]}}, "cgroups.exclude[0]: has a NUL character"),
        ({"unix_sockets": ["/run/../x.sock"]}, "unix_sockets: /run/../x.sock is no socket's path: write /x.sock"),
        ({"unix_sockets": ["/run/"]}, "unix_sockets: /run/ is no socket's path: write /run"),
        ({"unix_sockets": ["/"]}, "unix_sockets: / is no socket's path"),
        ({"unix_sockets": ["x\0"]}, "unix_sockets[0]: has a NUL character"),
        ({"unix_sockets": list(map(str, MANY))}, "unix_sockets: has 599; the kernel compares 32 at most"),
        (
            {"network": {"addresses": {"include": ["fe80::1%eth0"]}}},
            "network.addresses: fe80::1%eth0 names an interface, which the kernel's addresses do not: write fe80::1",
        ),
        (
            {"network": {"addresses": {"include": ["fe80::%eth0/64"]}}},
            "network.addresses: fe80::%eth0/64 names an interface, which the kernel's addresses do not: write",
        ),
        ({"network": {"addresses": {"include": ["10.0.0.1/8"]}}}, "network.addresses: 10.0.0.1/8 has host bits set"),
    ],
)
def test_what_could_match_nothing_is_refused(observe: object, said: str) -> None:
    assert told(observe).startswith(said)


@pytest.mark.parametrize("path", ["docker.sock", "podman/podman.sock", "/run/docker.sock", "@name", "@a/../b", "@/"])
def test_sockets_can_be_named_by_their_end_or_whole(path: str) -> None:
    assert told({"unix_sockets": [path]}) == ""


@pytest.mark.parametrize(
    ("section", "include", "exclude", "twice"),
    [
        ("files.paths", ["/etc/"], ["/etc/*"], "/etc/*"),
        ("binaries", ["/bin/sh"], ["/bin/sh"], "/bin/sh"),
        ("cgroups", ["/a"], ["/a/"], "/a/"),
        ("users", [1, 2], [2], "2"),
        ("network.ports", [53], [53], "53"),
        ("network.addresses", ["10.0.0.1"], ["10.0.0.1/32"], "10.0.0.1/32"),
    ],
)
def test_what_is_both_in_and_out_is_refused(
    section: str, include: list[object], exclude: list[object], twice: str
) -> None:
    rules: object = {"include": include, "exclude": exclude}
    for name in reversed(section.split(".")):
        rules = {name: rules}
    assert told(rules) == f"{section}: {twice} is in include and in exclude: take it out of one"


@pytest.mark.parametrize(
    ("section", "rule"),
    [
        ("files.paths", "/{}/"),
        ("binaries", "/{}"),
        ("cgroups", "/{}"),
        ("users", ""),
        ("network.ports", ""),
        ("network.addresses", "::{}"),
    ],
)
def test_more_rules_than_the_kernel_keeps_are_refused_wherever_they_stand(section: str, rule: str) -> None:
    some, others = ([rule.format(one) if rule else one for one in (*MANY, *range(600, 2000))][:n] for n in (599, 1200))
    observe: object = {"include": some, "exclude": others[599:]}
    for name in reversed(section.split(".")):
        observe = {name: observe}
    assert told(observe) == (
        f"{section}: has 1200 rules; the kernel keeps 1000, include and exclude together: write wider ones"
    )
