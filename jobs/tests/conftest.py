"""Commands as processes of their own, and databases for them to work on."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from drills.forks import Forks, forks
from feature_repo.settings import FEATURE_REPO
from jobs.tests.acting import databases_of

Place = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """What starts commands at once, and kills them."""
    with forks(tmp_path_factory.mktemp("output")) as found:
        yield found


@pytest.fixture(scope="session")
def place(pytestconfig: pytest.Config, server: dict[str, str]) -> Place:
    """Makes a database like the named one, which PG* names as long as it is there."""

    @contextmanager
    def made(template: str) -> Iterator[str]:
        databases = databases_of(pytestconfig)
        with (
            pytest.MonkeyPatch.context() as patch,
            databases.database_of(server, template, patch) as name,
        ):
            yield name

    return made


@pytest.fixture
def new_feature(tmp_path: Path) -> dict[str, str]:
    """The environment in which subs_profile_fv has one feature more."""
    for name in ("feature_store.yaml", "definitions.py", ".feastignore"):
        shutil.copy(FEATURE_REPO / name, tmp_path)
    text = (tmp_path / "definitions.py").read_text()
    more = '        Field(name="contract_type", dtype=String, description="Contract term."),\n'
    for before, after in (
        ("plan_stream_movies, net_service\n", "plan_stream_movies, net_service, contract_type\n"),
        (
            '        Field(\n            name="net_service"',
            f'{more}        Field(\n            name="net_service"',
        ),
    ):
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "definitions.py").write_text(text)
    return {"STREAMFLOW_FEATURE_REPO": str(tmp_path)}
