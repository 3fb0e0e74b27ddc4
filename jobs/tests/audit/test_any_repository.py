"""The audit of services with any join keys: found in sources and online, compared, told."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.tests.conftest import ready, wait_until
from api.tests.conftest import serving as serving_here
from jobs.apply.apply import apply
from jobs.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from jobs.tests.commands.test_features import shop

__all__ = ["shop"]
pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


def audit(*options: str) -> tuple[int, dict[str, Any], str]:
    """The command's exit code, its JSON line and what it says on standard error."""
    done = streamflow("audit", *options)
    return done.exit_code, json.loads(done.stdout.splitlines()[-1]), done.stderr


SERVICES = {
    "one_key": (3, "6 values compared, no difference"),
    "renamed": (3, "3 values compared, no difference"),
    "routes": (3, "6 values compared, no difference"),
    "several": (4, "10 values compared, no difference"),
    "nobody": (1, "1 values compared, no difference"),
    "lamp": (1, "1 values compared, no difference"),
    "busy": (1, "1 values compared, no difference"),
    "computed": (
        0,
        "service computed has no view that can be compared: nothing to audit; "
        "not compared: doubled (computed on demand)",
    ),
    "computed_too": (
        3,
        "3 values compared, no difference; not compared: d (computed on demand)",
    ),
    "beside": (3, "3 values compared, no difference; not compared: scaled (computed on demand)"),
    "requested": (
        0,
        "service requested has no view that can be compared: nothing to audit; "
        "not compared: scaled (computed on demand)",
    ),
}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, True])
def test_each_kind_of_service_is_compared(by_api: bool) -> None:
    with serving_here(service="one_key") if by_api else nullcontext() as client:
        options = []
        if client is not None:
            wait_until(lambda: ready(client))
            options = ["--url", str(client.base_url)]
        for service, (rows, said) in SERVICES.items():
            code, line, errors = audit("--service", service, *options)
            assert (code, line["outcome"]) == (0, "done"), errors
            assert (line["rows"]["read"], line["message"]) == (rows, said), service
