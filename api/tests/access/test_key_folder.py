"""A folder of keys that is wrong keeps the service from starting, with one clear line."""

import re
from pathlib import Path

import pytest

from api.__main__ import main
from api.access import api_keys as bearer
from api.access.callers import VARIABLE
from api.tests.access.key_files import ONE, TWO, Mount, line
from streamflow.api_keys import read
from streamflow.errors import ConfigurationError

HASH = line(ONE).strip()


def test_lines_are_keys_and_the_services_they_are_for(tmp_path: Path) -> None:
    Mount(
        tmp_path / "keys",
        model=f"{HASH.upper()}\r\n\n  {line(TWO, 'churn_v1', 'profile_v1')}",
        other=line("x").strip(),
    )
    found = {
        (key.name, key.digest.hex()): key.services for key in read(tmp_path / "keys", VARIABLE)
    }
    assert found == {
        ("model", HASH): frozenset(),
        ("model", line(TWO).strip()): {"churn_v1", "profile_v1"},
        ("other", line("x").strip()): frozenset(),
    }


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "FOLDER has no key"),
        ({"model": ""}, "FOLDER/model: has no key"),
        ({"model": "\n\n"}, "FOLDER/model: has no key"),
        ({"model": ONE}, "FOLDER/model: line 1 does not begin with a SHA-256, 64 hex digits"),
        ({"model": line(ONE) + TWO}, "FOLDER/model: line 2 does not begin with a SHA-256"),
        ({"model": HASH[:-1]}, "FOLDER/model: line 1 does not begin with a SHA-256"),
        ({"model": f"{HASH}  -\n"}, "FOLDER/model: line 1 goes on with something else"),
        ({"model": "schlüssel"}, "FOLDER/model: is not plain text"),
        ({"a": HASH, "b": line(TWO) + HASH}, "FOLDER/b: has a key of a again"),
        ({"a b": HASH}, "FOLDER/a b: is no key's name"),
        ({"a" * 64: HASH}, f"FOLDER/{'a' * 64}: is no key's name"),
        ({"model/x": HASH}, "FOLDER/model: Is a directory"),
    ],
)
def test_a_wrong_folder_is_one_line_and_2_and_repeats_no_key(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    said: str,
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    err = refused(tmp_path, capsys, monkeypatch)
    assert err.startswith(f"api: STREAMFLOW_API_KEYS_DIR: {said.replace('FOLDER', str(tmp_path))}")
    assert not re.search(f"sfk_|{HASH[:16]}|schl", err)


def test_a_folder_or_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere}: No such file or directory" in refused(nowhere, capsys, monkeypatch)
    (tmp_path / "model").symlink_to("gone")
    assert f"{tmp_path}/model: No such file" in refused(tmp_path, capsys, monkeypatch)


def test_an_empty_setting_does_not_open_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    err = refused(Path(), capsys, monkeypatch, setting="")
    assert err.startswith("api: STREAMFLOW_API_KEYS_DIR: string should have at least 1 character")


def test_the_files_of_another_version_are_not_mixed_in(tmp_path: Path) -> None:
    """Keys are read whole while the kubelet exchanges the folder behind its links."""
    mount = Mount(tmp_path / "keys", a=line(ONE), b=line(TWO))
    (mount.folder / "stray").symlink_to(Path("..data") / "stray")
    assert [key.name for key in read(mount.folder, VARIABLE)] == ["a", "b"]


def test_a_key_is_looked_for_among_all_that_there_are() -> None:
    digests = [bytes.fromhex(line(str(number)).strip()) for number in range(5)]
    known = [(digest, number) for number, digest in enumerate(digests)]
    assert [bearer.owner_of(digest, known) for digest in digests] == [0, 1, 2, 3, 4]
    for digest in (b"", digests[0][:-1], digests[0] + b"\0", bytes(32)):
        with pytest.raises(bearer.Unauthorized, match="not known"):
            bearer.owner_of(digest, known)


def refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    setting: str | None = None,
) -> str:
    """The one line on standard error with which the service does not start."""
    monkeypatch.setenv("STREAMFLOW_API_KEYS_DIR", str(folder) if setting is None else setting)
    monkeypatch.setattr("streamflow.serving.serve", lambda *_: pytest.fail("it serves"))
    monkeypatch.setattr("streamflow.serving.logs.configure", lambda: None)
    monkeypatch.setattr("streamflow.serving.signal.signal", lambda *_: None)
    assert main(["--port", "0"]) == 2
    out = capsys.readouterr()
    assert out.err.count("\n") == 1
    assert not out.out
    return out.err


def test_errors_name_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=f"^{VARIABLE}: /nowhere: No such file"):
        read(Path("/nowhere"), VARIABLE)
