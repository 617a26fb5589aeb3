r"""The forms in which secrets stand in arguments, as RE2 patterns; `redact` runs them.

A pattern sees the whole argv as one text with NUL between arguments. Its capture groups are what is blotted,
the whole match where it has none. An ordinary form is listed first in its pattern, without a group: it is
passed over, and cannot match as a secret any more. Many forms come twice: as an argument of its own, where
the value goes to the argument's end whatever is in it, and as words of a shell's command or a document,
where a blank or quote ends it.
"""

from typing import NamedTuple

# A key is secret by how it ends: `--db-password` and `AWS_SECRET_ACCESS_KEY` are, `--token-file` is not.
_WORDS = (
    "password|passwd|passphrase|passwort|passcode|pwd|secret|token|secret_key_base|requirepass|masterauth"
    "|(?:db|user|store|key)pass|oauth2-bearer|secret[_-]string"
    "|(?:api|access|account|secret|private|encryption|signing|shared|master|auth|session|license|hmac)[_-]?key"
)
_SHORT = r"\b(?:[\w.-]*[_.-])?(?:pass|pw)"
_KEY = rf"(?:[\w.-]*(?:{_WORDS})\d*(?:\.value)?|{_SHORT})"
# Secrets only as an option's name: elsewhere they are words like others.
_OPTION_WORDS = r"(?:[\w.-]*[_.-])?(?:creds|credentials|pin|pat)"
# After one dash a whole word only: `-password` is a key, `-psecret` MySQL's -p.
_OPTION = rf"(?:--(?:{_KEY}|{_OPTION_WORDS})|-(?:[\w.-]*[_.-])?(?:{_WORDS}|pass|pw))"
_CREDENTIALS = "(?:[A-Z0-9_]*CREDENTIALS|[A-Z0-9_]*_PAT)"
_ENV = rf"(?:[A-Z0-9_]*(?:{_WORDS.upper()})[0-9_]*|(?:[A-Z0-9_]*_)?PASS|{_CREDENTIALS})"
_HEADER = r"(?:(?:proxy-)?authorization|(?:set-)?cookie|private-token|x-[\w-]*(?:auth|token|key|secret|password))"
_SCHEME = r"(?:bearer|basic|digest|token|negotiate|ntlm|apikey|aws4-hmac-sha256)"
# A switch that asks for a password is none; `pwd` is also the working directory, a key or credentials often
# a file.
_SWITCH = r"--?(?:no|ask|prompt|show|skip|require|enable|disable)-[\w.-]*"
_PATH_KEY = r"[\w.-]*(?:pwd|private[_-]?key|credentials|creds)"
_PATH = r"(?:[/~]|\.\.?/)"

_ARGUMENT = r"(?:\A|\x00)"
_WORD = r"""[^\s\x00"']"""
_QUOTED = r"""\\"((?:[^"\\\x00]|\\[^"\x00])*)|"((?:[^"\\\x00]|\\[^\x00])*)|'([^'\x00]*)"""
# SQL doubles a quote inside quotes; a shell's quoting may stand about it: '\''.
_SQL_QUOTED = r"""(?:'\\''([^'\x00]+)|\\?'((?:[^'\x00]|'')+)|\\?"((?:[^"\x00]|"")+))"""
# `&`, `,` and `;` end a bare value only where another `name=` follows: a password may hold them.
_BARE = (
    r"""((?:[^\s\x00"'&,;\\]|\\[^"'\x00])"""
    r"""(?:[^\s\x00"'&,;]|[&,;]+[^\s\x00"'&,;=]+(?:[\s\x00"'&,;]|\z))*)"""
)
# The argument after an option, unless it looks like the next option.
_NEXT = r"([^\x00-][^\x00]*|-[^\x00A-Za-z-][^\x00]*|-[A-Za-z][A-Za-z-]*[^\x00A-Za-z-][^\x00]*)"
_NEXT_WORD = rf"""(?:{_QUOTED}|([^\s\x00"'\\|&;<>-]{_WORD}*))"""
# Between a key and its value. A bare colon needs a blank: `secret:x` is part of an ARN, `token:1` an image.
_IS = r"""(?:\s*(?:=>|:=)\s*|==?|\s+==?\s+|:[ \t]+|\\?["']\s*(?:=>|[:=])\s*)"""
_USER = r"""[^\s\x00/?#@:"'\[]"""


class Program(NamedTuple):
    """A secret that is one only as the value of this option, somewhere after the name of this program.

    Two patterns and not one: what lies between them may be long, and no captures are to be sought in it.
    """

    name: str
    gap: str
    option: str
    every: bool

    @property
    def start(self) -> str:
        """The program's name and a gap."""
        return rf"""(?:\A|[\s\x00;|&(/"'`])(?:{self.name}){self.gap}"""

    @property
    def secret(self) -> str:
        """A gap, the option and its value."""
        return self.gap + self.option

    @property
    def whole(self) -> str:
        """What matches where `start` does and, from its gap on, `secret`."""
        return rf"{self.start}(?:(?s:.*?){self.gap})?{self.option}"


def _program(names: str, option: str, value: str = "{value}", *, every: bool = False) -> tuple[Program, ...]:
    """A secret after an option that is one only with these programs, wherever the program's name stands.

    `{sep}` is what lies between arguments or words, `{word}` any word, `{end}` what may follow a value.
    Three forms: for an argument, a word, a quoted word. `every` such option after the name holds a secret, or
    only the first: after `sshpass -p` may come `ssh -p`.
    """
    forms = (
        (r"\x00", r"\x00", "", r"[^\x00]", r"(?:\x00|\z)"),
        (r"\s", r"\s+", "", _WORD, r"(?:[\s\x00\"']|\z)"),
        (r"\s", r"\s+", r"\\?[\"']", r"[^\"'\x00]", r"(?:\\?[\"'])"),
    )

    def filled(template: str, sep: str, char: str, end: str) -> str:
        template = template.replace("{sep}", sep).replace("{word}", f"{_WORD}+")
        return template.replace("{value}", f"({char}+)").replace("{end}", end)

    return tuple(
        Program(names, gap, filled(option, sep, char, end) + quote + filled(value, sep, char, end), every)
        for gap, sep, quote, char, end in forms
    )


PRESETS: tuple[str, ...] = (
    # --password VALUE, --password=VALUE
    rf"(?i){_ARGUMENT}(?:{_SWITCH}|--?{_PATH_KEY}[=\x00]{_PATH}[^\x00]*|{_OPTION}(?:=([^\x00]+)|\x00{_NEXT}))",
    rf"(?i)(?:\A|[\s\x00\"'])(?:{_SWITCH}|--?{_PATH_KEY}[ \t]+[\"']?{_PATH}{_WORD}*|{_OPTION}[ \t]+{_NEXT_WORD})",
    # --auth=VALUE, --pin=VALUE; --auth alone is often a switch
    rf"(?i){_ARGUMENT}--(?:[\w.-]*[_.-])?auth=([^\x00]+)",
    rf"(?i)[\s\"']--(?:(?:[\w.-]*[_.-])?auth|{_OPTION_WORDS})=(?:{_PATH}{_WORD}*|{_QUOTED}|{_BARE})",
    # DB_PASSWORD=VALUE as an argument of env or docker; the command after a shell's -c is words
    rf"\x00-\w*c\x00|{_ARGUMENT}(?:\w*(?:PWD|CREDENTIALS)={_PATH}[^\x00]*|{_ENV}=([^\x00]+))",
    # CREDENTIALS=VALUE, A_PAT=VALUE
    rf"\b{_CREDENTIALS}=(?:[\"']?{_PATH}{_WORD}*|{_QUOTED}|{_BARE})",
    # password=VALUE, password: VALUE, "password": "VALUE"
    rf"(?i){_PATH_KEY}(?:=|:\s+)[\"']?{_PATH}{_WORD}*|{_KEY}{_IS}(?:{_QUOTED}|{_BARE})",
    # PASSWORD 'VALUE', IDENTIFIED BY 'VALUE' of SQL
    rf"(?i)\b(?:password|identified\s+(?:with\s+\S+\s+)?(?:by|as)(?:\s+password)?)(?:\s+|\s*\(\s*){_SQL_QUOTED}",
    # aws configure set aws_secret_access_key VALUE, npm config set //host/:_authToken VALUE
    rf"(?i)[\s\x00]set(?:\x00|\s+){_WORD}*(?:{_WORDS}|_auth)(?:\x00{_NEXT}|[ \t]+(?:=|{_NEXT_WORD}))",
    # Authorization: Bearer VALUE, Cookie: VALUE
    rf"(?i){_ARGUMENT}(?:-[a-z]*H|--(?:proxy-)?header=)?{_HEADER}\s*:\s*(?:{_SCHEME}\s+)?([^\x00]+)",
    rf"(?i){_HEADER}(?:\\?[\"'])?\s*:\s*(?:\\?[\"'])?(?:{_SCHEME}[ \t]+)?([^\"'\r\n\x00]+)",
    rf"(?i)authorization\s*=\s*[\"']?(?:{_SCHEME}(?:\s|%20|\+)+)?({_WORD}+)",
    r"(?i)\bbearer[ \t]+([\w.~+/-]{20,}=*)",
    # scheme://user:VALUE@host, also with a slash in it; VALUE@host; VALUE:@host; signed URLs; webhooks
    rf"://(?:{_USER}*:[^\s\x00/?#@\"']*@sha256:|{_USER}*:([^\s\x00/?#\"']+)@)",
    rf"://{_USER}+:(?:\d+/{_WORD}*|[^\s\x00@\"']+@sha256:|([^\s\x00@\"']+)@)",
    rf"(?i)https?://({_USER}+)@",
    rf"://({_USER}+):(?:x-oauth-basic)?@",
    r"(?i)[?&](?:sig|x-amz-signature)=([\w%+/=.-]+)",
    r"(?i)\bhooks\.slack\.com/(?:services|workflows|triggers)/([\w/-]+)",
    # openssl -passin pass:VALUE
    rf"{_ARGUMENT}pass:([^\x00]+)",
    rf"[\s\"']pass:({_WORD}+)",
    # what says of itself that it is a secret
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{8,}|npm_[A-Za-z0-9]{30,})",
    r"\b(?:AIza[\w-]{30,}|hvs\.[\w-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|dckr_pat_[\w-]{16,})",
    r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)*",
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----([^\x00]*?)(?:-----END|\x00|\z)",
)

_PORT = r"(?:[\d.]+:[\d.:]+{end}|{value})"

PROGRAMS: tuple[Program, ...] = (
    # curl -u user:VALUE, or -u VALUE: with the password empty; 1000:1000 is a user and group of docker
    *_program(
        "curl|etcdctl",
        r"(?:-[#:0-9afgGiIjJkLlnNOpqRsSvZ]*[uUE](?:{sep})?|--(?:(?:proxy-)?user|cert)(?:{sep}|=))",
        r"(?:\d+:\d+{end}|([^\s\x00:\"']+):{end}|[^\s\x00:\"']*:{value})",
        every=True,
    ),
    *_program("curl", r"(?:-b(?:{sep})?|--cookie(?:{sep}|=))", r"[^\s\x00=\"']+={value}", every=True),
    # -pVALUE of MySQL's programs; -p3306:3306 is the port of a container called mysql
    *_program(r"(?:mysql|mariadb)[\w-]*|7z[azr]*", "-p", _PORT),
    *_program(
        r"sshpass|(?:docker|podman|nerdctl|buildah|skopeo|oras|helm|az)[\s\x00]+(?:registry[\s\x00]+)?login"
        r"|mongo[\w-]*|twine|useradd|usermod",
        "-p(?:{sep})?",
        _PORT,
    ),
    *_program("sqlcmd|zip|unzip|mosquitto_[a-z]+", "-P(?:{sep})?"),
    *_program("ldap[a-z]+", "-w(?:{sep})?"),
    # AUTH VALUE, AUTH user VALUE
    *_program("redis-cli", "(?:-a(?:{sep})?|(?i:auth){sep})"),
    *_program("redis-cli", "(?i:auth){sep}{word}{sep}"),
    # smbclient -U user%VALUE
    *_program("smb[a-z]+|rpcclient", "(?:-U(?:{sep})?|--user(?:{sep}|=))", r"[^\s\x00%\"']*%{value}"),
    *_program("openssl", "-(?:[kK]|hmac){sep}"),
    # vault login VALUE; name=VALUE is of a method, `-` is stdin
    *_program("vault", "login{sep}(?:-{word}{sep})*", r"(?:[\w-]+=|-|{value})"),
    # htpasswd -b file user VALUE, -nb user VALUE
    *_program("htpasswd", r"-\w*b\w*(?:{sep}(?:-\w+|\d+))*{sep}{word}{sep}{word}{sep}"),
    *_program("htpasswd", r"-(?:\w*n\w*b|\w*b\w*n)\w*(?:{sep}(?:-\w+|\d+))*{sep}{word}{sep}"),
    # kubectl create secret generic name --from-literal=key=VALUE; a configmap's is none
    *_program("secret", "--from-literal(?:{sep}|=)", r"[^\s\x00=\"']+={value}", every=True),
)

# For a text so long that the kernel may have cut it: what would say that this was a secret is missing.
CUT: tuple[str, ...] = (
    rf"://{_USER}*:(?:\d+(?:/{_WORD}*)?\z|([^\s\x00@\"']+)\z)",
    rf"://({_USER}+)\z",
)
