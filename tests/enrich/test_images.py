"""Image names, taken apart."""

import pytest

from exporter.enrich.images import digest, name_and_tag

SHA = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1.25", ("nginx", "1.25")),
        ("docker.io/library/nginx:1.25", ("docker.io/library/nginx", "1.25")),
        ("registry:5000/team/app", ("registry:5000/team/app", "latest")),
        ("registry:5000/team/app:1", ("registry:5000/team/app", "1")),
        (f"registry:5000/app@{SHA}", ("registry:5000/app", None)),
        (f"app:1@{SHA}", ("app", "1")),
        (SHA, ("", None)),
        ("", ("", None)),
    ],
)
def test_name_and_tag(image: str, expected: tuple[str, str | None]) -> None:
    assert name_and_tag(image) == expected


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        (f"docker.io/library/nginx@{SHA}", f"docker.io/library/nginx@{SHA}"),
        (f"docker-pullable://nginx@{SHA}", f"nginx@{SHA}"),
        (SHA, None),
        (f"docker://{SHA}", None),
        ("", None),
    ],
)
def test_only_a_digest_with_its_repository_is_a_repository_digest(image_id: str, expected: str | None) -> None:
    assert digest(image_id, "nginx") == expected
