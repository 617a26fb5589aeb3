"""The errors of podwitness: few, and each says what is wrong, where, and what to do.

Errors of libraries are translated into these where the library is called, so that
nobody above has to know which library that was.
"""


class PodwitnessError(Exception):
    """Base of everything podwitness raises on purpose; the CLI prints it as one line.

    Args:
        what: what is wrong.
        where: the place: a setting's path, a file, a kernel object.
        hint: what the reader can do about it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.what}{hint}"


class ConfigError(PodwitnessError):
    """A setting that cannot be used; `where` is file and path of the setting."""


class KernelError(PodwitnessError):
    """The kernel, or our rights on it, do not allow what was asked."""


class RecordingError(PodwitnessError):
    """A recording that cannot be read or written."""


class KubernetesError(PodwitnessError):
    """The Kubernetes API cannot be reached or refuses us."""
