"""The wheel: the library alone, which an ordinary project finds beside its own feature_repo."""

import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from streamflow.settings import FEATURE_REPO
from streamflow.tests.feast.test_own_repository import folder, written  # noqa: F401  # folder is a fixture

ROOT = FEATURE_REPO.parent
FOUND = """
import importlib.util as found
import os, feature_repo, streamflow
assert os.path.dirname(feature_repo.__file__) == os.path.abspath("feature_repo")
assert not os.path.abspath(streamflow.__file__).startswith(ROOT)
assert not found.find_spec("jobs") and not found.find_spec("api")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as the image builds it."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (found,) = out.glob("*.whl")
    return found


def test_it_holds_the_library_with_its_sql_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(one for one in names if one.endswith("METADATA"))).decode()
    assert {one.split("/")[0] for one in names if ".dist-info/" not in one} == {"streamflow"}
    sql = {one.name for one in (ROOT / "streamflow/postgres/migrations").glob("*.sql")}
    assert {Path(one).name for one in names if one.endswith(".sql")} == sql
    assert len(sql) >= 4
    assert not [one for one in names if "/tests/" in one]
    assert not [one for one in names if one.endswith("entry_points.txt")]
    assert "Provides-Extra: feast\n" in metadata


@pytest.fixture
def python(wheel: Path, tmp_path: Path) -> Path:
    """The Python of an environment with the wheel, which knows nothing of this clone."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    # What else is installed here, without the .pth file by which this clone is found.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--offline", "--quiet", "--no-deps", "--python", python]
    subprocess.run([*install, wheel], check=True)
    return python


@pytest.mark.slow  # processes that import Feast
def test_a_script_beside_a_folder_called_feature_repo_finds_it(
    python: Path,
    folder: Path,  # noqa: F811
) -> None:
    """The script is that of docs/your-own-features.md."""
    (folder / "__init__.py").touch()  # which `feast init` makes
    (folder.parent / "quickstart.py").write_text(written("python"))

    def run(*arguments: str) -> str:
        command = [python, "-W", "ignore", *arguments]
        done = subprocess.run(
            command, cwd=folder.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-c", FOUND.replace("ROOT", repr(f"{ROOT}/streamflow")))
    run("-c", "from feast.cli.cli import cli; cli()", "-c", "feature_repo", "apply")
    said = run("quickstart.py")
    assert re.search(r"1001 .* 0\.5 +1\n.*1002 .* 0\.5 +2\n", said)
    assert "'conv_rate': [0.5], 'avg_daily_trips': [1]" in said


def test_the_command_of_a_clone_and_of_the_image_finds_its_package_anywhere(tmp_path: Path) -> None:
    """The command lies beside a Python, as in .venv/bin, and ignores a `jobs` where it is run."""
    command, python = tmp_path / "streamflow", tmp_path / "python"
    shutil.copy(ROOT / "images" / "streamflow", command)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "jobs.py").write_text("raise SystemExit('another one')\n")
    done = subprocess.run(
        [command, "runs", "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "streamflow runs" in done.stdout
