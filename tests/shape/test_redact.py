"""Redaction of arguments: the secret goes, everything else stays."""

from collections.abc import Iterator

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Redaction
from exporter.errors import ConfigError
from exporter.shape import redact
from exporter.shape.presets import PRESETS, PROGRAMS

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
    (("x", "//packages.example/:_authToken=abc"), ("x", "//packages.example/:_authToken=*****")),
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
    # what says it only after one program's name, or in one form
    (("curl", "--oauth2-bearer", "X1"), ("curl", "--oauth2-bearer", "*****")),
    (("curl", "--cert", "f:X1", "-E", "g:X2"), ("curl", "--cert", "f:*****", "-E", "g:*****")),
    (("curl", "-u", "a:X1", "-U", "b:X2"), ("curl", "-u", "a:*****", "-U", "b:*****")),
    (
        ("aws", "configure", "set", "aws_secret_access_key", "wJ/a+b"),
        ("aws", "configure", "set", "aws_secret_access_key", "*****"),
    ),
    (
        ("aws", "configure", "set", "profile.x.aws_secret_access_key", "X1", "--profile", "p"),
        ("aws", "configure", "set", "profile.x.aws_secret_access_key", "*****", "--profile", "p"),
    ),
    (("sh", "-c", "aws configure set aws_session_token X1"), ("sh", "-c", "aws configure set aws_session_token *****")),
    (
        ("aws", "secretsmanager", "create-secret", "--name", "n", "--secret-string", "X1"),
        ("aws", "secretsmanager", "create-secret", "--name", "n", "--secret-string", "*****"),
    ),
    (
        ("kubectl", "create", "secret", "generic", "n", "--from-literal=k=X1", "--from-literal", "l=X2"),
        ("kubectl", "create", "secret", "generic", "n", "--from-literal=k=*****", "--from-literal", "l=*****"),
    ),
    (
        ("sh", "-c", "kubectl create secret generic n --from-literal=k=X1 --from-literal l=X2 && y"),
        ("sh", "-c", "kubectl create secret generic n --from-literal=k=***** --from-literal l=***** && y"),
    ),
    (("psql", "-c", "ALTER USER u PASSWORD 'X''1'"), ("psql", "-c", "ALTER USER u PASSWORD '*****'")),
    (("x", "CREATE USER u IDENTIFIED BY 'X 1'; y"), ("x", "CREATE USER u IDENTIFIED BY '*****'; y")),
    (("x", "SELECT PASSWORD('X1')"), ("x", "SELECT PASSWORD('*****')")),
    (("x", "SET PASSWORD = 'X1'"), ("x", "SET PASSWORD = '*****'")),
    (
        ("sh", "-c", r"mysql -e 'create user u identified by '\''X1'\'''"),
        ("sh", "-c", r"mysql -e 'create user u identified by '\''*****'\'''"),
    ),
    (("vault", "login", "X1"), ("vault", "login", "*****")),
    (("vault", "login", "-no-print", "X1"), ("vault", "login", "-no-print", "*****")),
    (("redis-cli", "AUTH", "X1"), ("redis-cli", "AUTH", "*****")),
    (("sh", "-c", "redis-cli auth u X1; y"), ("sh", "-c", "redis-cli auth ***** ***** y")),
    (("redis-cli", "CONFIG", "SET", "requirepass", "X1"), ("redis-cli", "CONFIG", "SET", "requirepass", "*****")),
    (("mongodump", "-u", "u", "-p", "X1", "--out", "o"), ("mongodump", "-u", "u", "-p", "*****", "--out", "o")),
    (("mongo", "-pX1"), ("mongo", "-p*****")),
    (("ldapsearch", "-x", "-D", "d", "-w", "X1", "b"), ("ldapsearch", "-x", "-D", "d", "-w", "*****", "b")),
    (("smbclient", "//h/s", "-U", r"D\u%X:1"), ("smbclient", "//h/s", "-U", r"D\u%*****")),
    (("rpcclient", "-Uu%X1", "h"), ("rpcclient", "-Uu%*****", "h")),
    (("sqlcmd", "-U", "sa", "-P", "X1", "-Q", "q"), ("sqlcmd", "-U", "sa", "-P", "*****", "-Q", "q")),
    (
        ("skopeo", "copy", "--src-creds", "u:X1", "--dest-creds=v:X2"),
        ("skopeo", "copy", "--src-creds", "*****", "--dest-creds=*****"),
    ),
    (("skopeo", "inspect", "--creds", "u:X1"), ("skopeo", "inspect", "--creds", "*****")),
    (("twine", "upload", "-u", "u", "-p", "X1", "d"), ("twine", "upload", "-u", "u", "-p", "*****", "d")),
    (
        ("npm", "config", "set", "//r.example/:_authToken", "X1"),
        ("npm", "config", "set", "//r.example/:_authToken", "*****"),
    ),
    (
        ("keytool", "-storepass", "X1", "-keypass", "X2", "-list"),
        ("keytool", "-storepass", "*****", "-keypass", "*****", "-list"),
    ),
    (("htpasswd", "-b", "f", "u", "X1"), ("htpasswd", "-b", "f", "u", "*****")),
    (("htpasswd", "-bBC", "10", "f", "u", "X1"), ("htpasswd", "-bBC", "10", "f", "u", "*****")),
    (("htpasswd", "-nb", "u", "X1"), ("htpasswd", "-nb", "u", "*****")),
    (("usermod", "-p", "X1", "u"), ("usermod", "-p", "*****", "u")),
    (("useradd", "-m", "-p", "X1", "u"), ("useradd", "-m", "-p", "*****", "u")),
    (("zip", "-P", "X1", "a.zip", "b"), ("zip", "-P", "*****", "a.zip", "b")),
    (("unzip", "-PX1", "a.zip"), ("unzip", "-P*****", "a.zip")),
    (("7z", "a", "-pX1", "a.7z"), ("7z", "a", "-p*****", "a.7z")),
    (("etcdctl", "--user", "u:X1", "get", "a"), ("etcdctl", "--user", "u:*****", "get", "a")),
    (("mosquitto_pub", "-u", "u", "-P", "X1", "-t", "t"), ("mosquitto_pub", "-u", "u", "-P", "*****", "-t", "t")),
    (("openssl", "enc", "-aes-256-cbc", "-k", "X1"), ("openssl", "enc", "-aes-256-cbc", "-k", "*****")),
    (("openssl", "enc", "-K", "00ff", "-iv", "0"), ("openssl", "enc", "-K", "*****", "-iv", "0")),
    (("x", "https://hooks.slack.com/services/T0/B0/X1"), ("x", "https://hooks.slack.com/services/*****")),
    (
        ("env", "DBPASS=a b", "CREDENTIALS=c d", "GH_PAT=e"),
        ("env", "DBPASS=*****", "CREDENTIALS=*****", "GH_PAT=*****"),
    ),
    (
        ("sh", "-c", "DBPASS=a GH_PAT='b c' CREDENTIALS=d y"),
        ("sh", "-c", "DBPASS=***** GH_PAT='*****' CREDENTIALS=***** y"),
    ),
    (
        ("x", "--auth=a b", "--creds=c", "--credentials=d"),
        ("x", "--auth=*****", "--creds=*****", "--credentials=*****"),
    ),
    (("x", "--passcode=1", "--pin=2", "--pat", "3"), ("x", "--passcode=*****", "--pin=*****", "--pat", "*****")),
    (("x", "--license-key=a", "--hmac-key", "b"), ("x", "--license-key=*****", "--hmac-key", "*****")),
    (("x", "--dbpass=a", "--userpass=b"), ("x", "--dbpass=*****", "--userpass=*****")),
    (("sh", "-c", "x --auth=a --pin=2 --creds=c y"), ("sh", "-c", "x --auth=***** --pin=***** --creds=***** y")),
    (("helm", "--set", "auth.password.value=a,b=c"), ("helm", "--set", "auth.password.value=*****,b=c")),
    (("x", "日本?é", "--password", "ü?\x01", "é=?"), ("x", "日本?é", "--password", "*****", "é=?")),
    (("x", "é", "https://u:é?p@h?token=ü&a=é"), ("x", "é", "https://u:*****@h?token=*****&a=é")),
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
    ("kubectl", "create", "configmap", "n", "--from-literal=k=v"),
    ("x", "--spin=1", "--author=jo", "--auth", "basic", "--pattern=p", "--creds-file=f", "--pinned=1"),
    ("env", "GOOGLE_APPLICATION_CREDENTIALS=/k.json", "CREDENTIALS_FILE=f", "COMPAT=1", "PATH=/bin"),
    ("x", "--credentials=/etc/c.json", "--credentials", "./c.json"),
    ("aws", "configure", "set", "region", "eu-west-1"),
    ("vault", "login", "-method=userpass", "username=jo"),
    ("docker", "run", "--name", "mongo", "-p", "27017:27017", "mongo:7"),
    ("openssl", "req", "-key", "k.pem", "-keyout", "o"),
    ("unzip", "-p", "a.zip"),
    ("smbclient", "//h/s", "-U", "u"),
    ("curl", "--cert", "/c.pem", "--key", "/k.pem"),
    ("redis-cli", "GET", "auth"),
    ("x", "https://hooks.slack.com/services/"),
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
    text = redact._octets("\0".join(argument.replace("\0", r"\x00") for argument in argv))
    matching = {index for index, preset in enumerate(PRESETS) if re2.search(preset, text)}
    for index, program in enumerate(PROGRAMS, start=len(PRESETS)):
        if any(True for _ in redact._walk_program(program)(text)):
            matching.add(index)
    assert set(redact._which((*PRESETS, *(program.whole for program in PROGRAMS)))(text)) == matching


@given(st.text(st.sampled_from("a?\x01\x7f\0é日𝄞\ud800\n"), max_size=30))
def test_the_octets_of_a_text_stand_where_its_characters_do(text: str) -> None:
    octets = redact._octets(text)
    assert len(octets) == len(text)
    assert [chr(octet) for octet in octets if octet in b"a?\0\n"] == [char for char in text if char in "a?\0\n"]


HOSTILE = ["a", "token=SECRET&", "token=SECRET,", "token=", 'token="', "://a:b", "://a:SECRET@", "curl -u ",
           "curl -u a:SECRET ", "mysql ", "mysql -pSECRET ", "password", "--password ", "--password SECRET ", "Cookie:",
           "-----BEGIN PRIVATE KEY-----", "eyJ", "eyJaaaaaa.", "'", '\\"', "&a", ",a=", "é",
           "token=SECRETé "]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("gap", ["", "\0"])
def test_a_hostile_argv_of_16_kib_keeps_no_secret_and_its_number_of_arguments(unit: str, gap: str) -> None:
    hostile = ((unit + gap) * (16384 // len(unit + gap))).split("\0")
    argv = ("sh", "-c", *hostile, "--password", "hunter2")
    blotted = presets(argv)
    assert len(blotted) == len(argv)
    assert not any("SECRET" in argument or "hunter2" in argument for argument in blotted)


@pytest.mark.parametrize(
    "unit", ["token=a&", "token=é ", "://a:b@", "--no-a ", "curl -u a:b ", "PASS=a\0", "é=a; pass=b "]
)
def test_the_number_of_matches_walked_is_bounded(unit: str) -> None:
    walked = 0

    def counted(walk: redact.Walk) -> redact.Walk:
        def walk_and_count(text: str | bytes) -> Iterator[redact.Found]:
            nonlocal walked
            for found in walk(text):
                walked += 1
                yield found

        return walk_and_count

    text = redact._octets("sh\0-c\0" + unit * (16384 // len(unit)))
    walks = [*(redact._walk(re2.compile(preset)) for preset in PRESETS), *map(redact._walk_program, PROGRAMS)]
    matched = [walks[i] for i in redact._which((*PRESETS, *(p.whole for p in PROGRAMS)))(text)]
    spans = redact._spans([counted(walk) for walk in matched], text)
    assert walked <= redact.MATCHES + len(matched)
    assert max(end for _, end in spans) == len(text)


def test_a_command_line_of_many_secrets_is_no_attack() -> None:
    argv = ("helm", *(f"--set=a{index}.password=x" for index in range(60)), "--wait")
    assert presets(argv) == ("helm", *(f"--set=a{index}.password=*****" for index in range(60)), "--wait")


def test_an_argv_in_which_nearly_everything_matches_is_blotted_whole() -> None:
    argv = tuple(argument for argv, _ in SECRETS for argument in argv if argument)
    assert presets(argv) == (redact.BLOT,) * len(argv)


def test_own_patterns_are_bounded_too() -> None:
    assert custom(r"a(b)", argv=("ab" * 5000, "ab c")) == ("a*****" * redact.MATCHES, "*****")


LONG = "x" * 16384


@pytest.mark.parametrize(
    ("cut", "blotted"),
    [
        ("https://user:SECR", "https://user:*****"),
        ("https://user:SE/CR", "https://user:*****"),
        ("redis://:SECR", "redis://:*****"),
        ("https://t0k3n", "https://*****"),
        ("http://host:8080", "http://host:8080"),
        ("http://host:8080/path", "http://host:8080/path"),
        ("http://host/path:a", "http://host/path:a"),
    ],
)
def test_a_url_cut_off_by_the_kernel_before_its_at_sign_is_taken_for_a_secret(cut: str, blotted: str) -> None:
    assert presets(("x", LONG, cut)) == ("x", LONG, blotted)
    assert presets(("x", f"{LONG} {cut}")) == ("x", f"{LONG} {blotted}")
    assert presets(("x", cut)) == ("x", cut)
    assert presets(("x", cut, LONG)) == ("x", cut, LONG)


TEXTS = [
    ("/nope/PASSWORD=hunter2/x", "/nope/PASSWORD=*****/x"),
    ("/srv/token=a=b/c.d", "/srv/token=*****/c.d"),
    ("//user:hunter2@host/share", "//user:*****@host/share"),
    ("https://user:hunter2@host/x", "https://user:*****@host/x"),
    ("host:/x,password=hunter2/y", "host:/x,password=*****"),
    ("user.password=hunter2", "user.password=*****"),
    ("@token=hunter2", "@token=*****"),
    ("password: hunter2", "password: *****"),
    ("ü/token=hunter2", "ü/token=*****"),
    ("/ü/token=hunter2", "/ü/token=*****"),
]
PLAIN = [
    "/etc/passwd",
    "/a=b/c",
    "/usr/lib/password",
    "//host/share",
    "a:b@c",
    "/run/user:1/x",
    "",
    "/",
    "user.mime_type",
]


@pytest.mark.parametrize(("text", "told"), TEXTS)
def test_a_secret_in_a_path_or_a_name_is_blotted(text: str, told: str) -> None:
    assert redact.compile_text(Redaction())(text) == told
    assert redact.compile_text(Redaction(presets=False))(text) == text


@pytest.mark.parametrize("text", PLAIN)
def test_other_paths_and_names_stay_as_they_are(text: str) -> None:
    assert redact.compile_text(Redaction())(text) == text


def test_a_directory_with_the_name_of_a_secret_hides_nothing_beneath_it() -> None:
    assert redact.compile_text(Redaction())("/tmp/token=/evil") == "/tmp/token=/evil"
    assert redact.compile_text(Redaction())("/tmp/token=x/--password/evil") == "/tmp/token=*****/--password/evil"
