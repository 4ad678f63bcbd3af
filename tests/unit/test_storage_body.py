"""The canary's body: the project's own picture, or a file that the user names."""

import pytest

from probe.adapters.storage import BODY_LIMIT, PICTURE, Body, read_body
from probe.core.errors import ConfigurationError


def test_the_projects_own_picture_is_a_small_png():
    body = read_body()

    assert body.content.startswith(b"\x89PNG\r\n")
    assert body.content_type == "image/png"
    assert len(body.content) < 10 * 1024
    assert PICTURE.name == "HelloWorld.png"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        pytest.param("a.jpg", "image/jpeg", id="known ending"),
        pytest.param("a.no-such-ending", "application/octet-stream", id="unknown ending"),
        pytest.param("a", "application/octet-stream", id="no ending"),
    ],
)
def test_a_file_is_what_its_name_says(tmp_path, name, content_type):
    (tmp_path / name).write_bytes(b"body")

    assert read_body(tmp_path / name) == Body(content=b"body", content_type=content_type)


def test_a_file_of_exactly_1_mib_is_taken(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * BODY_LIMIT)

    assert len(read_body(tmp_path / "a").content) == BODY_LIMIT


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "No such file or directory; name a file that this user can read", id="missing"),
        pytest.param(b"", "is empty; name one of 1 byte to 1 MiB", id="empty"),
        pytest.param(b"x" * (BODY_LIMIT + 1), "is bigger than 1 MiB; name one of", id="too big"),
    ],
)
def test_a_file_that_cannot_be_the_canary_is_told_with_what_to_do(tmp_path, content, problem):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        read_body(path)

    assert caught.value.problems[0].startswith(f"the canary's file {path} ")
    assert problem in caught.value.problems[0]


def test_a_folder_cannot_be_the_canary(tmp_path):
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_body(tmp_path)
