"""The wheel: the library alone, which an ordinary project finds beside its own feature_repo."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from streamflow.settings import FEATURE_REPO
from streamflow.tests.feast.test_own_repository import folder  # noqa: F401  # a fixture

ROOT = FEATURE_REPO.parent
SCRIPT = """
import os, sys
from datetime import datetime
import feature_repo, streamflow  # the folder beside this script, and the installed library
from feast import FeatureStore

assert feature_repo.__path__[0] == os.path.join(os.path.dirname(__file__), "feature_repo")
assert not {"jobs", "api"} & set(sys.modules)
store = FeatureStore("feature_repo")
refs = ["driver_hourly_stats:avg_daily_trips"]
rows = "SELECT 1001::bigint AS driver_id, now() AS event_timestamp"
trained = store.get_historical_features(rows, refs).to_arrow()["avg_daily_trips"].to_pylist()
store.materialize_incremental(datetime.now())
served = store.get_online_features(refs, [{"driver_id": 1002}]).to_dict()["avg_daily_trips"]
print(trained, served, sep="\\n")
print(type(store._get_provider().online_store).__name__, streamflow.__file__)
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


@pytest.mark.slow  # two processes that import Feast
def test_a_script_beside_a_folder_called_feature_repo_finds_it(
    python: Path,
    folder: Path,  # noqa: F811
) -> None:
    (folder / "__init__.py").touch()  # which `feast init` makes
    script = folder.parent / "train.py"
    script.write_text(SCRIPT)
    feast = [python, "-W", "ignore", "-c", "from feast.cli.cli import cli; cli()"]
    subprocess.run([*feast, "-c", "feature_repo", "apply"], cwd=folder.parent, check=True)
    done = subprocess.run(
        [python, "-W", "ignore", "train.py"],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trained, served, library = done.stdout.splitlines()[-3:]
    assert (trained, served) == ("[1]", "[2]")
    assert library.startswith("StreamflowOnlineStore ")
    assert not Path(library.split(" ", 1)[1]).is_relative_to(ROOT)
