"""Redaction of arguments: the secret goes, everything else stays."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Redaction
from exporter.errors import ConfigError
from exporter.shape import redact
from exporter.shape.presets import PRESETS

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
AWS = "AKIAIOSFODNN7EXAMPLE"
GITHUB = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"

presets = redact.compile(Redaction())


def custom(*patterns: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    return redact.compile(Redaction(presets=False, patterns=patterns))(argv)


SECRETS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    # options
    (("x", "--password=hunter2", "-v"), ("x", "--password=*****", "-v")),
    (("x", "--password", "hunter2", "-v"), ("x", "--password", "*****", "-v")),
    (("x", "--password", "correct horse"), ("x", "--password", "*****")),
    (("x", "--password=correct 'horse\" ba&ttery"), ("x", "--password=*****")),
    (("x", "--password=two\nlines"), ("x", "--password=*****")),
    (("x", "--password", "-s3cret"), ("x", "--password", "*****")),
    (("x", "-password", "hunter2"), ("x", "-password", "*****")),
    (("x", "--db-password", "hunter2"), ("x", "--db-password", "*****")),
    (("x", "--DB_PASSWD=hunter2"), ("x", "--DB_PASSWD=*****")),
    (("x", "--token", "abc", "--api-key=def"), ("x", "--token", "*****", "--api-key=*****")),
    (("x", "--client-secret", "abc"), ("x", "--client-secret", "*****")),
    (("x", "--client_secret=abc", "--apikey", "d"), ("x", "--client_secret=*****", "--apikey", "*****")),
    (("x", "--private-key=MIIEow"), ("x", "--private-key=*****")),
    (("x", "--reset-password", "abc"), ("x", "--reset-password", "*****")),
    (("x", "--pass", "abc", "--pw=d"), ("x", "--pass", "*****", "--pw=*****")),
    (("x", "--set", "auth.password=abc,image=d"), ("x", "--set", "auth.password=*****,image=d")),
    (("x", "--from-literal=password=hunter2"), ("x", "--from-literal=password=*****")),
    (("--password", "argv0"), ("--password", "*****")),
    # key=value, key: value
    (("x", "password=hunter2"), ("x", "password=*****")),
    (("x", "passwd=a", "pwd=b", "secret=c"), ("x", "passwd=*****", "pwd=*****", "secret=*****")),
    (
        ("x", "token=a", "api_key=b", "access_key=c"),
        ("x", "token=*****", "api_key=*****", "access_key=*****"),
    ),
    (("x", "password: hunter2"), ("x", "password: *****")),
    (("x", "Password = hunter2"), ("x", "Password = *****")),
    (("x", "host=h password=hunter2 user=u"), ("x", "host=h password=***** user=u")),
    (("x", "username=u,password=p,vers=3.0"), ("x", "username=u,password=*****,vers=3.0")),
    (("x", "Server=h;Password=p;Database=d"), ("x", "Server=h;Password=*****;Database=d")),
    (("x", "password=a,b&c"), ("x", "password=*****")),
    (("x", '{"user":"u","password":"hun \\"ter2","a":1}'), ("x", '{"user":"u","password":"*****","a":1}')),
    (("x", '{\\"password\\": \\"hunter2\\"}'), ("x", '{\\"password\\": \\"*****\\"}')),
    (("x", "{'secret': 's', 'b': 'c'}"), ("x", "{'secret': '*****', 'b': 'c'}")),
    (("x", "https://h/p?token=abc&user=u"), ("x", "https://h/p?token=*****&user=u")),
    (("x", "//registry.npmjs.org/:_authToken=abc"), ("x", "//registry.npmjs.org/:_authToken=*****")),
    (("x", "password=\\xff\\xfe"), ("x", "password=*****")),
    # environment
    (("env", "AWS_SECRET_ACCESS_KEY=wJalr/x+y", "a"), ("env", "AWS_SECRET_ACCESS_KEY=*****", "a")),
    (("docker", "run", "-e", "DB_PASSWORD=a b", "i"), ("docker", "run", "-e", "DB_PASSWORD=*****", "i")),
    (
        ("env", "MYSQL_PWD=a", "PGPASSWORD=b", "DB_PASS=c"),
        ("env", "MYSQL_PWD=*****", "PGPASSWORD=*****", "DB_PASS=*****"),
    ),
    # headers
    (
        ("curl", "-H", "Authorization: Bearer abc.def", "u"),
        ("curl", "-H", "Authorization: Bearer *****", "u"),
    ),
    (("curl", "-HAuthorization: Basic dTpw"), ("curl", "-HAuthorization: Basic *****")),
    (("curl", "-HAuthorization:Bearer abc"), ("curl", "-HAuthorization:Bearer *****")),
    (("curl", "-sHauthorization: abc"), ("curl", "-sHauthorization: *****")),
    (("curl", "--header=X-Api-Key: abc"), ("curl", "--header=X-Api-Key: *****")),
    (("curl", "-H", "X-Api-Key:abc"), ("curl", "-H", "X-Api-Key:*****")),
    (("curl", "-H", "X-Auth-Token: abc"), ("curl", "-H", "X-Auth-Token: *****")),
    (("curl", "-H", "Proxy-Authorization: Basic abc"), ("curl", "-H", "Proxy-Authorization: Basic *****")),
    (("curl", "-H", 'Cookie: a="b c"; d=e'), ("curl", "-H", "Cookie: *****")),
    (
        ("curl", "-H", 'Authorization: Digest username="u", response="r"'),
        ("curl", "-H", "Authorization: Digest *****"),
    ),
    (("curl", "-b", "session=abc; a=b"), ("curl", "-b", "session=*****")),
    (("x", '{"Authorization": "Bearer abc"}'), ("x", '{"Authorization": "Bearer *****"}')),
    (("grpcurl", "-d", "bearer abcdefghijklmnopqrstuvwxyz"), ("grpcurl", "-d", "bearer *****")),
    # URLs
    (("x", "https://u:p@h/path"), ("x", "https://u:*****@h/path")),
    (("x", "postgres://u:p@ss@h:5432/d?a=b@c"), ("x", "postgres://u:*****@h:5432/d?a=b@c")),
    (("x", "postgres://u:p/ss@h:5432/d"), ("x", "postgres://u:*****@h:5432/d")),
    (("x", "redis://:p@h"), ("x", "redis://:*****@h")),
    (("x", "a=https://u:p@h,b=amqp://v:q@i"), ("x", "a=https://u:*****@h,b=amqp://v:*****@i")),
    (("git", "clone", "https://t0k3n@github.com/a/b"), ("git", "clone", "https://*****@github.com/a/b")),
    (("git", "clone", "https://t0k3n:x-oauth-basic@h/a"), ("git", "clone", "https://*****:*****@h/a")),
    (("x", "https://h/b?se=1&sig=a%2Bb%3D&sp=r"), ("x", "https://h/b?se=1&sig=*****&sp=r")),
    # programs
    (("curl", "-u", "user:pass", "h"), ("curl", "-u", "user:*****", "h")),
    (("curl", "-u", "user:pa ss:x", "h"), ("curl", "-u", "user:*****", "h")),
    (("/usr/bin/curl", "-uuser:pass"), ("/usr/bin/curl", "-uuser:*****")),
    (("curl", "-sSfu", "user:pass"), ("curl", "-sSfu", "user:*****")),
    (("curl", "--user", "user:pass", "h"), ("curl", "--user", "user:*****", "h")),
    (("curl", "--user=user:pass", "h"), ("curl", "--user=user:*****", "h")),
    (("curl", "h", "-U", "a:b", "-o", "f"), ("curl", "h", "-U", "a:*****", "-o", "f")),
    (("curl", "-u", "sk_key:", "h"), ("curl", "-u", "*****:", "h")),
    (("sudo", "curl", "-u", "user:pass"), ("sudo", "curl", "-u", "user:*****")),
    (("mysql", "-uroot", "-psecret", "db"), ("mysql", "-uroot", "-p*****", "db")),
    (("/usr/bin/mariadb", "-pse cret"), ("/usr/bin/mariadb", "-p*****")),
    (("mysqldump", "-h", "h", "-psecret", "db"), ("mysqldump", "-h", "h", "-p*****", "db")),
    (("docker", "exec", "db", "mysql", "-psecret"), ("docker", "exec", "db", "mysql", "-p*****")),
    (("sshpass", "-p", "secret", "ssh", "h"), ("sshpass", "-p", "*****", "ssh", "h")),
    (("sshpass", "-psecret", "ssh", "-p", "22"), ("sshpass", "-p*****", "ssh", "-p", "22")),
    (("redis-cli", "-h", "h", "-a", "secret"), ("redis-cli", "-h", "h", "-a", "*****")),
    (("docker", "login", "-u", "u", "-p", "secret", "r"), ("docker", "login", "-u", "u", "-p", "*****", "r")),
    (("openssl", "rsa", "-passin", "pass:secret"), ("openssl", "rsa", "-passin", "pass:*****")),
    # shapes
    (("x", f"--id={AWS}"), ("x", "--id=*****")),
    (("x", GITHUB), ("x", "*****")),
    (("x", "xoxb-123456789012-abcdef"), ("x", "*****")),
    (("x", f"a {JWT} b"), ("x", "a ***** b")),
    (
        ("x", PEM, "y"),
        (
            "x",
            "-----BEGIN RSA PRIVATE KEY----------END RSA PRIVATE KEY-----".replace("-----" * 2, "-----*****-----"),
            "y",
        ),
    ),
    (("x", PEM[:40]), ("x", "-----BEGIN RSA PRIVATE KEY-----*****")),
    # a shell's command in one argument
    (
        ("sh", "-c", "curl --password=hunter2 https://u:p@h"),
        ("sh", "-c", "curl --password=***** https://u:*****@h"),
    ),
    (("sh", "-c", "x --password hunter2 -v"), ("sh", "-c", "x --password ***** -v")),
    (("sh", "-c", "x --password 'hun ter2' -v"), ("sh", "-c", "x --password '*****' -v")),
    (("sh", "-c", 'x --token "a b" && y'), ("sh", "-c", 'x --token "*****" && y')),
    (("sh", "-c", "PGPASSWORD=abc psql -h h"), ("sh", "-c", "PGPASSWORD=***** psql -h h")),
    (("sh", "-lc", "export A_TOKEN='a b'; y"), ("sh", "-lc", "export A_TOKEN='*****'; y")),
    (
        ("sh", "-c", 'curl -H "Authorization: Bearer abc" https://h'),
        ("sh", "-c", 'curl -H "Authorization: Bearer *****" https://h'),
    ),
    (("sh", "-c", "curl -s -u user:pass https://h"), ("sh", "-c", "curl -s -u user:***** https://h")),
    (("sh", "-c", "curl -u 'user:pa ss' https://h"), ("sh", "-c", "curl -u 'user:*****' https://h")),
    (("sh", "-c", "cd /; mysql -uroot -psecret db"), ("sh", "-c", "cd /; mysql -uroot -p***** db")),
    (("sh", "-c", "mysql -p'sec ret' db"), ("sh", "-c", "mysql -p'*****' db")),
    (
        ("sh", "-c", 'sh -c "curl -d \'{\\"password\\":\\"abc\\"}\' h"'),
        ("sh", "-c", 'sh -c "curl -d \'{\\"password\\":\\"*****\\"}\' h"'),
    ),
]

ORDINARY = [
    ("/usr/bin/ls", "-l", "--color=auto", "/etc/passwd"),
    ("x", "--token-file=/x", "--password-file", "/run/pw"),
    ("x", "--token-ttl=3600", "--secret-name=db", "--password-stdin", "-"),
    ("x", "tokenize=true", "passwordless=yes", "token_type=bearer", "secretary=jo", "keyboard=us"),
    ("x", "--max-tokens=4096", "--tokens", "5", "bypass=1", "--compass", "north"),
    ("psql", "--no-password", "db"),
    ("x", "--ask-password", "db"),
    ("x", "--password", "--verbose"),
    ("mysql", "--password", "-h", "db"),
    ("x", "--password"),
    ("x", "--password="),
    ("x", "--token", ""),
    ("env", "PWD=/srv/app", "OLDPWD=/srv"),
    ("singularity", "exec", "--pwd", "/data", "i"),
    ("ansible", "--private-key", "~/.ssh/id_rsa", "--private-key=/x.pem"),
    ("x", "--public-key=abc", "--key=/x", "--primary-key", "id", "monkey=a"),
    ("docker", "run", "-u", "1000:1000", "-p3306:3306", "mysql:8"),
    ("docker", "run", "--name", "mysql", "-p3306:3306", "i"),
    ("docker", "run", "--user", "app:app", "i"),
    ("sh", "-c", "curl -s https://h | docker run -u 1000:1000 i"),
    ("curl", "-o", "f:g", "--user-agent", "a:b", "-A", "c:d", "-b", "cookies.txt", "-c", "jar"),
    ("curl", "-u", "user", "https://h:8443/a@b", "-H", "Accept: text/plain"),
    ("ssh", "-p22", "-p", "2222", "user@host"),
    ("mkdir", "-pv", "/a"),
    ("mysql", "-p", "db", "-P3306"),
    ("ssh", "ssh://git@github.com/a/b", "git@github.com:a/b.git"),
    ("x", "http://h:8080/a@b", "https://h/a:b@c", "mailto:a@b"),
    ("skopeo", "copy", "docker://alpine:3.19@sha256:abc", "docker://r:5000/token:1@sha256:abc"),
    ("x", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-abc"),
    ("kubectl", "get", "secret", "db", "-o", "yaml"),
    ("x", "secret:\n  secretName: db"),
    ("x", "--tls-private-key-file=/x", "--service-account-signing-key-file=/y"),
    ("login", "-p", "--", "alice"),
    ("python", "-c", "import secrets, token, getpass"),
    ("x", "std::token::kind", "sk-learn", "xoxo", "eyJust.a.word", "AKIA"),
    ("x", "-----BEGIN CERTIFICATE-----\nMIIEow\n-----END CERTIFICATE-----"),
    ("x", "-----BEGIN PUBLIC KEY-----\nMIIEow\n-----END PUBLIC KEY-----"),
    (),
    ("",),
    ("", "", "a"),
]


@pytest.mark.parametrize(("argv", "blotted"), SECRETS)
def test_presets_blot_the_secret_and_nothing_else(argv: tuple[str, ...], blotted: tuple[str, ...]) -> None:
    assert presets(argv) == blotted


@pytest.mark.parametrize("argv", ORDINARY)
def test_ordinary_arguments_stay(argv: tuple[str, ...]) -> None:
    assert presets(argv) == argv


@pytest.mark.parametrize("argv", [argv for argv, _ in SECRETS])
def test_presets_can_be_off(argv: tuple[str, ...]) -> None:
    assert redact.compile(Redaction(presets=False))(argv) == argv


@pytest.mark.parametrize(
    ("pattern", "argv", "blotted"),
    [
        (r"--pin=(\d+)", ("x", "--pin=1234", "-v"), ("x", "--pin=*****", "-v")),
        (r"--pin[\s=]+(\S+)", ("x", "--pin", "1234", "-v"), ("x", "--pin", "*****", "-v")),
        (r"\d{4}", ("x", "a1234b5678"), ("x", "a*****b*****")),
        (r"(\d+)-(\d+)", ("x", "12-34"), ("x", "*****-*****")),
        (r"a(\d)|b(\d)", ("x", "a1b2c3"), ("x", "a*****b*****c3")),
        (r"^secret.*$", ("x", "secret thing", "no secret"), ("x", "*****", "no secret")),
        (r"(?i)BEARER (\S+)", ("x", "bearer abc"), ("x", "bearer *****")),
        (r"two[^!]*arguments", ("x", "two whole", "", "arguments!"), ("x", "*****", "", "*****!")),
        (r"über(\S+)", ("x", "日本 überpaß ok"), ("x", "日本 über***** ok")),
        (r"z*", ("x", "abc"), ("x", "abc")),
    ],
)
def test_own_patterns_blot_their_groups_or_their_match(
    pattern: str, argv: tuple[str, ...], blotted: tuple[str, ...]
) -> None:
    assert custom(pattern, argv=argv) == blotted


def test_overlapping_finds_leave_one_blot() -> None:
    both = redact.compile(Redaction(patterns=("hunter", "ter2!")))
    assert both(("x", "--password=hunter2", "hunter2!")) == ("x", "--password=*****", "*****")


def test_a_pattern_that_is_not_re2_is_refused_with_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        redact.compile(Redaction(patterns=("fine", "(?=look)ahead")))
    assert str(caught.value).startswith("redaction.patterns[1]: is not an RE2 pattern: invalid perl operator: (?=")
    assert "ahead" not in capfd.readouterr().err


PIECES = st.sampled_from(
    [piece for argv, _ in SECRETS for argument in argv for piece in (argument, argument[: len(argument) // 2])]
    + [
        "--password",
        "=",
        ":",
        " ",
        "'",
        '"',
        "\\",
        "&",
        ",",
        ";",
        "@",
        "://",
        "-p",
        "-u",
        "curl",
        "mysql",
        "é",
        "\n",
    ]
)
ARGUMENTS = st.one_of(st.text(max_size=20), st.lists(PIECES, max_size=4).map("".join))
ARGV = st.lists(ARGUMENTS, max_size=6).map(tuple)


@given(ARGV)
def test_the_number_of_arguments_never_changes(argv: tuple[str, ...]) -> None:
    everything = redact.compile(Redaction(patterns=(r"[^a]+", r"(\s)(\S)", "(?s).*?p")))
    assert len(presets(argv)) == len(argv)
    assert len(everything(argv)) == len(argv)


@given(ARGV)
def test_nothing_is_added_but_the_blot(argv: tuple[str, ...]) -> None:
    for before, after in zip(argv, presets(argv), strict=True):
        rest = before if after == before else before.replace("\0", r"\x00")
        for part in after.split(redact.BLOT):
            assert part in rest
            rest = rest[rest.index(part) + len(part) :]


@given(ARGV)
def test_the_one_look_for_all_presets_misses_none(argv: tuple[str, ...]) -> None:
    text = "\0".join(argument.replace("\0", r"\x00") for argument in argv)
    matching = {index for index, preset in enumerate(PRESETS) if re2.search(preset, text)}
    assert set(redact._which(PRESETS)(text)) == matching


@pytest.mark.parametrize(
    "unit",
    ["a", "token=a,", "token=", 'token="', "://a:b", "://a:b@", "curl -u ", "curl -u a:b ", "mysql ",
     "password", "--password ", "Cookie:", "-----BEGIN PRIVATE KEY-----", "eyJ", "eyJaaaaaa.", "'", '\\"',
     "&a", ",a=", "é"],
)  # fmt: skip
def test_a_hostile_argument_of_16_kib_is_done_like_any_other(unit: str) -> None:
    hostile = unit * (16384 // len(unit))
    argv = ("sh", "-c", hostile, "--password", "hunter2")
    assert presets(argv)[3:] == ("--password", "*****")
