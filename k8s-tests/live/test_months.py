"""Five years of months in one release: installed, added to, thinned out, moved to other nodes."""

import json
import time
from datetime import date, timedelta
from typing import Any

import pytest
from kit.namespace import Namespace

pytestmark = pytest.mark.extended

USERS = ("--set", "jobs.ingest.sample.users=10", "--set", "prefect.enabled=false")
QUERY = (
    "SELECT command, count(*) FROM ops.runs WHERE command IN ('ingest', 'training-set')"
    " GROUP BY 1 ORDER BY 1"
)


def months(first: int, last: int) -> list[dict[str, Any]]:
    """Generated months, a day apart, since none may be in the future."""
    return [
        {
            "asOf": str(date(2024, 1, 31) + timedelta(days=number)),
            "source": "sample",
            "month": f"month_{number:03}",
        }
        for number in range(first, last)
    ]


def install(namespace: Namespace, entries: list[dict[str, Any]], *more: str) -> dict[str, int]:
    """Upgrades to these months and a training set of every tenth; how often each command ran."""
    sets = [{"asOf": one["asOf"]} for one in months(0, 60)[::10]]
    namespace.install(
        *USERS,
        *("--set-json", f"jobs.ingest.months={json.dumps(entries)}"),
        *("--set-json", f"jobs.trainingSet.datasets={json.dumps(sets)}", *more),
    )
    psql = ("exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-XAtc")
    lines = namespace.kubectl(*psql, QUERY).splitlines()
    return {command: int(count) for command, count in (line.split("|") for line in lines)}


def test_sixty_months_are_installed_and_loaded_once(namespace: Namespace) -> None:
    began = time.monotonic()
    assert install(namespace, months(0, 60)) == {"ingest": 60, "training-set": 6}
    print(f"60 months and 6 training sets after {time.monotonic() - began:.0f} s")
    jobs = [name for name in namespace.jobs() if "-ingest-" in name or "-training-set-" in name]
    assert len(jobs) == 2
    assert namespace.ask("/features/0002-ORFBO")["features"]["months_active"] == 9 + 59


def test_another_month_is_one_more_run(namespace: Namespace) -> None:
    assert install(namespace, months(0, 61)) == {"ingest": 61, "training-set": 6}


def test_old_ones_may_go_and_the_jobs_may_run_elsewhere(namespace: Namespace) -> None:
    began = time.monotonic()
    moved = ("--set", "jobs.resources.requests.cpu=99m", "--set", "jobs.priorityClassName=")
    assert install(namespace, months(40, 61), *moved) == {"ingest": 61, "training-set": 6}
    print(f"nothing to do after {time.monotonic() - began:.0f} s")


def test_a_rollback_runs_nothing_again(namespace: Namespace) -> None:
    namespace.helm("rollback", "streamflow", "1", "--wait", "--wait-for-jobs", "--timeout", "10m")
    assert install(namespace, months(0, 61)) == {"ingest": 61, "training-set": 6}


def test_a_corrected_month_is_loaded_by_its_revision_and_its_sets_are_built_again(
    namespace: Namespace,
) -> None:
    entries = months(0, 61)
    entries[45] = {**entries[45], "month": "month_046", "revision": 2}
    assert install(namespace, entries) == {"ingest": 62, "training-set": 7}
