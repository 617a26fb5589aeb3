"""Which labels and annotations are told: none unless asked, secrets by their full name only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Globs
from exporter.enrich.annotations import LONGEST, MANIFESTS, guarded, select, useful

SECRET_LIKE = [
    "password",
    "example.com/db-password",
    "dbPassword",
    "passwd",
    "db.pwd",
    "vault/secret",
    "vault.hashicorp.com/secrets",
    "example.com/api-key",
    "example.com/apikey",
    "apiKey",
    "API_KEY",
    "private-key",
    "tls.privateKey",
    "auth-token",
    "TOKEN",
    "credentials",
    "aws/access.key",
    "proxy-auth",
    "session-cookie",
    # Innocent perhaps; safe in any case.
    "token-expiry",
    "checksum/secret",
]
HARMLESS = [
    "team",
    "example.com/owner",
    "app.kubernetes.io/name",
    "key",
    "author",
    "monkey",
    "passage",
    "compass",
    "keyboard",
]


def test_nothing_is_told_unless_asked_for() -> None:
    assert select({"team": "blue"}, Globs()) == {}
    assert select({"team": "blue"}, Globs(exclude=("x",))) == {}


def test_globs_include_and_exclude_wins() -> None:
    found = {"example.com/owner": "a", "example.com/cost.center": "b", "team": "c", "Team": "d"}

    assert select(found, Globs(include=("example.com/*", "team"))) == {
        "example.com/owner": "a",
        "example.com/cost.center": "b",
        "team": "c",
    }
    assert select(found, Globs(include=("*",), exclude=("*/*",))) == {"team": "c", "Team": "d"}
    assert select(found, Globs(include=("team",), exclude=("t*",))) == {}


@pytest.mark.parametrize("key", [*MANIFESTS, *SECRET_LIKE])
def test_what_looks_like_a_secret_is_told_by_its_full_name_only(key: str) -> None:
    for glob in ("*", f"{key}*", f"*{key}", f"[{key[0]}]{key[1:]}", f"?{key[1:]}"):
        assert select({key: "x"}, Globs(include=(glob,))) == {}, glob
    assert select({key: "x"}, Globs(include=("*", key))) == {key: "x"}
    assert select({key: "x"}, Globs(include=(key,), exclude=("*",))) == {}


@pytest.mark.parametrize("key", HARMLESS)
def test_an_ordinary_key_is_not_taken_for_a_secret(key: str) -> None:
    assert not guarded(key)
    assert select({key: ""}, Globs(include=("*",))) == {key: ""}, "an empty value is a value"


@given(st.text(), st.text(), st.sampled_from(["password", "Secret", "api-key", "TOKEN", "private.key"]))
def test_a_secret_word_is_found_whatever_stands_around_it(before: str, after: str, word: str) -> None:
    assert guarded(f"{before}/{word}/{after}")


def test_what_nobody_asked_for_is_not_even_kept() -> None:
    assert useful({"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "blue"}, Globs()) is None
    assert useful({"team": "blue", "other": "x"}, Globs(include=("t*",))) == {"team": "blue"}
    assert useful(None, Globs(include=("*",))) is None


@pytest.mark.parametrize(
    "key",
    [
        "resource.opentelemetry.io/service.name",
        "resource.opentelemetry.io/deployment.environment.name",
        "kubernetes.io/config.hash",
        "kubernetes.io/config.mirror",
        "app.kubernetes.io/instance",
        "pod-template-hash",
    ],
)
def test_what_attributes_are_computed_from_is_kept_whatever_the_globs_say(key: str) -> None:
    assert useful({key: "v"}, Globs(exclude=("*",))) == {key: "v"}


@given(st.dictionaries(st.sampled_from([*SECRET_LIKE, *HARMLESS, *MANIFESTS]), st.text()), st.sampled_from(HARMLESS))
def test_nothing_that_is_told_gets_lost_by_keeping_less(found: dict[str, str], name: str) -> None:
    for globs in (Globs(include=("*",)), Globs(include=(name, "api*")), Globs(include=("*",), exclude=(name,))):
        assert select(useful(found, globs) or {}, globs) == select(found, globs)


def test_of_an_enormous_value_just_enough_is_kept_to_see_that_it_was_cut() -> None:
    kept = useful({"big": "x" * 200_000}, Globs(include=("big",)))

    assert kept == {"big": "x" * (LONGEST + 1)}
