"""Names of container images, taken apart: `registry:5000/team/app:1.2@sha256:…`.

Resources put the parts under `container.image.*`.
"""


def name_and_tag(image: str) -> tuple[str, str | None]:
    """The name without tag and digest, and the tag; `latest` where the name has neither, as runtimes take it.

    An image that is only an id (`sha256:…`) has no name.
    """
    name, _, digest = image.partition("@")
    if not name or name.startswith("sha256:"):
        return "", None
    path, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:  # a colon before the last slash is the registry's port
        return path, tag
    return name, None if digest else "latest"


def digest(image_id: str, name: str) -> str | None:
    """The repository digest `name@sha256:…`; `image_id` is what the kubelet reports or what the user wrote.

    Docker's `docker-pullable://` is taken off. An id without a repository is no repository digest.
    """
    repository, at, sha = image_id.rpartition("://")[2].partition("@")
    return f"{repository or name}@{sha}" if at and (repository or name) else None
