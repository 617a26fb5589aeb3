r"""The forms in which secrets stand in arguments, as RE2 patterns; `redact` runs them.

A pattern sees the whole argv as one text with NUL between arguments. Its capture groups are what is blotted,
the whole match where it has none. An ordinary form is listed first in its pattern, without a group: it is
passed over, and cannot match as a secret any more. Many forms come twice: as an argument of its own, where
the value goes to the argument's end whatever is in it, and as words of a shell's command or a document,
where a blank or quote ends it.
"""

# A key is secret by how it ends: `--db-password` and `AWS_SECRET_ACCESS_KEY` are, `--token-file` is not.
_WORDS = (
    "password|passwd|passphrase|passwort|pwd|secret|token|secret_key_base|requirepass|masterauth"
    "|(?:api|access|account|secret|private|encryption|signing|shared|master|auth|session)[_-]?key"
)
_SHORT = r"\b(?:[\w.-]*[_.-])?(?:pass|pw)"
_KEY = rf"(?:[\w.-]*(?:{_WORDS})\d*|{_SHORT})"
# After one dash a whole word only: `-password` is a key, `-psecret` MySQL's -p.
_OPTION = rf"(?:--{_KEY}|-(?:[\w.-]*[_.-])?(?:{_WORDS}|pass|pw))"
_ENV = rf"(?:[A-Z0-9_]*(?:{_WORDS.upper()})[0-9_]*|(?:[A-Z0-9_]*_)?PASS)"
_HEADER = r"(?:(?:proxy-)?authorization|(?:set-)?cookie|private-token|x-[\w-]*(?:auth|token|key|secret|password))"
_SCHEME = r"(?:bearer|basic|digest|token|negotiate|ntlm|apikey|aws4-hmac-sha256)"
# A switch that asks for a password is none; `pwd` is also the working directory, a private key often a file.
_SWITCH = r"--?(?:no|ask|prompt|show|skip|require|enable|disable)-[\w.-]*"
_PATH_KEY = r"[\w.-]*(?:pwd|private[_-]?key)"
_PATH = r"(?:[/~]|\.\.?/)"

_ARGUMENT = r"(?:\A|\x00)"
_WORD = r"""[^\s\x00"']"""
_QUOTED = r"""\\"((?:[^"\\\x00]|\\[^"\x00])*)|"((?:[^"\\\x00]|\\[^\x00])*)|'([^'\x00]*)"""
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


def _program(names: str, option: str, value: str = "{value}") -> tuple[str, str, str]:
    """A secret after an option that is one only with these programs, wherever the program's name stands.

    `{sep}` in the option is what lies between arguments or words, `{end}` in the value what may follow it.
    Three patterns: for an argument, a word, a quoted word.
    """
    start = rf"""(?s)(?:\A|[\s\x00;|&(/"'`])(?:{names})"""
    forms = (
        (r"\x00", r"\x00", "", r"[^\x00]", r"(?:\x00|\z)"),
        (r"\s", r"\s+", "", _WORD, r"(?:[\s\x00\"']|\z)"),
        (r"\s", r"\s+", r"\\?[\"']", r"[^\"'\x00]", r"(?:\\?[\"'])"),
    )
    return tuple(  # type: ignore[return-value]  # as many as forms
        start
        + rf"{gap}(?:.*?{gap})??{option.replace('{sep}', sep)}{quote}"
        + value.replace("{value}", f"({char}+)").replace("{end}", end)
        for gap, sep, quote, char, end in forms
    )


PRESETS: tuple[str, ...] = (
    # --password VALUE, --password=VALUE
    rf"(?i){_ARGUMENT}(?:{_SWITCH}|--?{_PATH_KEY}[=\x00]{_PATH}[^\x00]*|{_OPTION}(?:=([^\x00]+)|\x00{_NEXT}))",
    rf"(?i)(?:\A|[\s\"'])(?:{_SWITCH}|--?{_PATH_KEY}[ \t]+[\"']?{_PATH}{_WORD}*|{_OPTION}[ \t]+{_NEXT_WORD})",
    # DB_PASSWORD=VALUE as an argument of env or docker; the command after a shell's -c is words
    rf"\x00-\w*c\x00[^\x00]*|{_ARGUMENT}(?:\w*PWD={_PATH}[^\x00]*|{_ENV}=([^\x00]+))",
    # password=VALUE, password: VALUE, "password": "VALUE"
    rf"(?i){_PATH_KEY}(?:=|:\s+)[\"']?{_PATH}{_WORD}*|{_KEY}{_IS}(?:{_QUOTED}|{_BARE})",
    # Authorization: Bearer VALUE, Cookie: VALUE
    rf"(?i){_ARGUMENT}(?:-[a-z]*H|--(?:proxy-)?header=)?{_HEADER}\s*:\s*(?:{_SCHEME}\s+)?([^\x00]+)",
    rf"(?i){_HEADER}(?:\\?[\"'])?\s*:\s*(?:\\?[\"'])?(?:{_SCHEME}[ \t]+)?([^\"'\r\n\x00]+)",
    rf"(?i)authorization\s*=\s*[\"']?(?:{_SCHEME}(?:\s|%20|\+)+)?({_WORD}+)",
    r"(?i)\bbearer[ \t]+([\w.~+/-]{20,}=*)",
    # scheme://user:VALUE@host, also with a slash in it; VALUE@host; VALUE:@host; signed URLs
    rf"://(?:{_USER}*:[^\s\x00/?#@\"']*@sha256:|{_USER}*:([^\s\x00/?#\"']+)@)",
    rf"://{_USER}+:(?:\d+/{_WORD}*|[^\s\x00@\"']+@sha256:|([^\s\x00@\"']+)@)",
    rf"(?i)https?://({_USER}+)@",
    rf"://({_USER}+):(?:x-oauth-basic)?@",
    r"(?i)[?&](?:sig|x-amz-signature)=([\w%+/=.-]+)",
    # openssl -passin pass:VALUE
    rf"{_ARGUMENT}pass:([^\x00]+)",
    rf"[\s\"']pass:({_WORD}+)",
    # curl -u user:VALUE, or -u VALUE: with the password empty; 1000:1000 is a user and group of docker
    *_program(
        "curl",
        r"(?:-[#:0-9afgGiIjJkLlnNOpqRsSvZ]*[uU](?:{sep})?|--(?:proxy-)?user(?:{sep}|=))",
        r"(?:\d+:\d+{end}|([^\s\x00:\"']+):{end}|[^\s\x00:\"']*:{value})",
    ),
    *_program("curl", r"(?:-b(?:{sep})?|--cookie(?:{sep}|=))", r"[^\s\x00=\"']+={value}"),
    # -pVALUE of MySQL's programs; -p3306:3306 is the port of a container called mysql
    *_program(r"(?:mysql|mariadb)[\w-]*", "-p", r"(?:[\d.]+:[\d.:]+{end}|{value})"),
    *_program("sshpass", "-p(?:{sep})?"),
    *_program(
        r"(?:docker|podman|nerdctl|buildah|skopeo|oras|helm|az)[\s\x00]+(?:registry[\s\x00]+)?login",
        "-p(?:{sep})?",
    ),
    *_program("redis-cli", "-a(?:{sep})?"),
    # what says of itself that it is a secret
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{8,}|npm_[A-Za-z0-9]{30,})",
    r"\b(?:AIza[\w-]{30,}|hvs\.[\w-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|dckr_pat_[\w-]{16,})",
    r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)*",
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----([^\x00]*?)(?:-----END|\x00|\z)",
)
