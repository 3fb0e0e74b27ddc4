"""`streamflow api-key` makes keys that the API takes, and keeps nothing of them."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from jobs.tests.acting import streamflow

SHOWN = re.compile(r"key   (sfk_[A-Za-z0-9_-]{43})\nhash  ([0-9a-f]{64})( \S+)*\n")


def made(*arguments: str) -> tuple[str, str]:
    """A new key, and the line for the Secret."""
    done = streamflow("api-key", *arguments)
    assert done.exit_code == 0, done.output
    assert not done.stderr
    found = SHOWN.match(done.stdout)
    assert found, done.stdout
    assert done.stdout.count(found[1]) == 1
    line = done.stdout.splitlines()[1].removeprefix("hash  ")
    assert line.split()[0] == sha256(found[1].encode()).hexdigest()
    return found[1], line


def test_every_key_is_another_one_and_needs_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    assert len({made("model")[0] for _ in range(20)}) == 20


def test_services_follow_the_hash() -> None:
    _, line = made("model", "--service", "churn_v1", "--service", "profile_v1")
    assert line.split()[1:] == ["churn_v1", "profile_v1"]


def test_the_api_takes_what_is_printed(tmp_path: Path) -> None:
    from api.access import api_keys as bearer
    from streamflow.api_keys import read

    lines = {"a.b-C_9": made("a.b-C_9"), "x" * 63: made("x" * 63, "--service", "churn_v1")}
    for name, (_, line) in lines.items():
        (tmp_path / name).write_text(line)
    owners = [(key.digest, (key.name, key.services)) for key in read(tmp_path, "KEYS")]
    for name, (key, line) in lines.items():
        digest = bearer.digest_of([(b"authorization", f"Bearer {key}".encode())])
        assert bearer.owner_of(digest, owners) == (name, frozenset(line.split()[1:]))


@pytest.mark.parametrize(
    "arguments",
    [["a b"], ["..data"], ["-"], [""], ["x" * 64], ["ä"], ["a", "--service", "b c"]],
)
def test_what_the_api_would_not_take_is_not_made(arguments: list[str]) -> None:
    done = streamflow("api-key", *arguments)
    assert done.exit_code == 2
    assert "sfk_" not in done.output
