"""The connection to the Kubernetes API server: credentials and transport of the official client, answers raw.

`configure` reads a service account or a kubeconfig (tokens, client certificates, exec plugins) with the
client's own loaders; TLS and proxies are those of its REST layer. Its models are never built: PodWatch
decodes the answers itself, `lines` cuts a watch into events.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
import urllib3

from exporter.config import Kubernetes
from exporter.errors import KubernetesError

CONNECT_SECONDS = 5.0
LONGEST_PAUSE = 60.0
"""Of what a Retry-After may ask."""


class GoneError(Exception):
    """The API server no longer has, or does not have yet, the version we ask for."""


class RefusedError(Exception):
    """An answer other than success; the text is for people, `pause` what the server asks us to wait.

    `forbidden`: the server is there and answers, it is our credentials or rights that do not do.
    """

    def __init__(self, text: str, pause: float = 0.0, *, forbidden: bool = False) -> None:
        super().__init__(text)
        self.pause, self.forbidden = pause, forbidden


class Status(msgspec.Struct):
    """What the API says instead of an object."""

    code: int = 0
    message: str = ""


class Connection:
    """GETs with the client's credentials; `host` is the API server's URL."""

    def __init__(self, configuration: Any) -> None:
        from kubernetes.client.rest import RESTClientObject

        configuration.keep_alive = True  # a peer that vanished without a word is noticed within minutes
        self._configuration = configuration
        self._pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager

    @property
    def host(self) -> str:
        """Where the API server is."""
        return str(self._configuration.host)

    def get(self, path: str, query: dict[str, str], read_seconds: float) -> urllib3.HTTPResponse:
        """The answer, its body not read yet.

        Raises:
            KubernetesError: the credentials cannot be read or renewed.
            urllib3.exceptions.HTTPError: no answer.
            GoneError, RefusedError: an answer other than 200.
        """
        response = self._pool.request(
            "GET",
            f"{self.host}{path}?{urlencode(query)}",
            headers={"Accept": "application/json", "User-Agent": "podwitness", **self._credentials()},
            preload_content=False,
            retries=False,  # the pause between attempts is ours: urllib3's cannot be interrupted
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
        )
        answer = cast(urllib3.HTTPResponse, response)  # another class would be of HTTP/2, which nobody switches on
        if answer.status != 200:
            try:
                raise _refusal(answer, self.host, query)
            finally:
                answer.close()
        return answer

    def close(self) -> None:
        """Give back the idle connections."""
        self._pool.clear()

    def _credentials(self) -> dict[str, str]:
        try:
            # Reads a renewed service account token; runs an exec plugin again whose token has expired.
            settings = self._configuration.auth_settings().values()
            return {setting["key"]: setting["value"] for setting in settings}
        except Exception as error:  # the client's loaders let through whatever they meet
            raise KubernetesError(f"credentials cannot be renewed: {one_line(error)}") from error


def configure(settings: Kubernetes) -> Connection | None:
    """The connection that the settings ask for; None where they ask for none.

    Raises:
        KubernetesError: asked for, but there is no usable service account or kubeconfig.
    """
    in_cluster = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    if settings.mode == "off" or (settings.mode == "auto" and not in_cluster and not settings.kubeconfig):
        return None
    # Imported here: 18 MB that an agent without Kubernetes does not carry.
    from kubernetes.client.configuration import Configuration

    configuration = Configuration()
    if settings.kubeconfig:
        _load_kubeconfig(settings.kubeconfig, settings.context, configuration)
    else:
        _load_service_account(configuration)
    return Connection(configuration)


def _load_kubeconfig(path: str, context: str | None, configuration: Any) -> None:
    from kubernetes.config.kube_config import load_kube_config

    where, hint = "kubernetes.kubeconfig", "try it with `kubectl --kubeconfig`, or set kubernetes.mode: off"
    if not Path(path).expanduser().is_file():
        raise KubernetesError(f"there is no file {path}", where=where, hint=hint)
    try:
        # Not persisted: the file is the user's.
        load_kube_config(  # type: ignore[no-untyped-call]  # the client is typed in parts, and this is none of them
            path, context, client_configuration=configuration, persist_config=False
        )
    except Exception as error:  # the client checks little: a wrong type in the file raises anything
        raise KubernetesError(f"{path} cannot be used: {one_line(error)}", where=where, hint=hint) from error
    if configuration.host.startswith("https:") and not configuration.api_key and not configuration.cert_file:
        # The client only logs that an exec plugin failed, and goes on without credentials.
        raise KubernetesError(
            f"{path} gives no credentials for {configuration.host}",
            where=where,
            hint="its context has no user with a token or certificate, or the user's exec plugin failed",
        )


def _load_service_account(configuration: Any) -> None:
    from kubernetes.config.incluster_config import load_incluster_config

    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # as above
    except Exception as error:  # whatever it meets in the files
        raise KubernetesError(
            f"no service account to use: {one_line(error)}",
            where="kubernetes.mode",
            hint="let the pod mount its service account's token; elsewhere set kubeconfig or mode: off",
        ) from error


def _refusal(answer: urllib3.HTTPResponse, host: str, query: dict[str, str]) -> Exception:
    """What an answer other than 200 means, in words that help."""
    try:
        status = msgspec.json.decode(answer.read(65_536), type=Status)
    except msgspec.DecodeError:  # a proxy's page
        status = Status()
    said = f"{answer.status} {one_line(status.message)}".strip()
    if answer.status == 410 or "Too large resource version" in status.message:
        return GoneError(said)
    if answer.status == 401:
        return RefusedError(f"{host} does not accept our credentials: {said}", forbidden=True)
    if answer.status == 403:
        verb = "watch" if "watch" in query else "list"
        return RefusedError(
            f"not allowed to {verb} pods; give our user or service account a ClusterRole with the verbs "
            f"list and watch on pods: {said}",
            forbidden=True,
        )
    asked = answer.headers.get("Retry-After", "")
    return RefusedError(
        f"{host} answered {said}",
        min(float(asked), LONGEST_PAUSE) if re.fullmatch(r"\d{1,9}", asked) else 0.0,
    )


def interrupt(answer: urllib3.HTTPResponse) -> None:
    """End the reading of `answer` in another thread."""
    with contextlib.suppress(ValueError, RuntimeError, OSError):  # it has just ended by itself
        answer.shutdown()


def body(answer: urllib3.HTTPResponse, limit: int) -> bytes:
    """The whole body; RefusedError where it is over `limit` bytes."""
    parts, size = [], 0
    for chunk in answer.stream(65_536):
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            raise RefusedError(f"an answer is over {limit} bytes")
    return b"".join(parts)


def lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The lines of a stream, each as soon as it is whole; one cut off at the end is not given out.

    Raises:
        RefusedError: a line is over `limit` bytes.
    """
    begun: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            size += len(end)
            line = b"".join((*begun, end))
            begun, reached, size = [], size, 0
            if reached > limit:
                raise RefusedError(f"a watch event is over {limit} bytes")
            if line:
                yield line
        begun.append(rest)
        size += len(rest)
        if size > limit:
            raise RefusedError(f"a watch event is over {limit} bytes")


def one_line(text: object) -> str:
    """Foreign text for our own log: one line, printable, of bounded length."""
    return "".join(sign if sign.isprintable() else " " for sign in str(text)[:500]).strip()
