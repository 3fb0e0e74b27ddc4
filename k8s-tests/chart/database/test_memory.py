"""The bundled server's settings fit into its memory, or nothing is rendered."""

from typing import Any

import pytest
from kit.render import EXTERNAL, refusal, render

LIMIT = "postgres.resources.limits.memory"


@pytest.mark.parametrize(
    ("value", "needed"),
    [
        ({"postgres.parameters.shared_buffers": "2GB"}, 4628),
        ({"postgres.parameters.shared_buffers": 131072}, 3604),  # of 8 kB
        ({"postgres.parameters.shared_buffers": " 1.5 GB "}, 4116),
        ({"postgres.parameters.max_connections": 300}, 3916),
        ({"postgres.parameters.work_mem": "16MB"}, 4996),
        ({"postgres.parameters.work_mem": 16384}, 4996),  # of 1 kB
        ({"postgres.parameters.maintenance_work_mem": "1GB"}, 5716),
        ({"postgres.parameters.autovacuum_max_workers": 12}, 3412),
        ({"postgres.shmSize": "2Gi"}, 4372),
        ({LIMIT: "1Gi"}, 2836),
    ],
    ids=str,
)
def test_more_than_the_limit_is_refused_with_what_is_needed(
    value: dict[str, Any], needed: int
) -> None:
    said = refusal(value)
    assert f"the server may hold {needed}Mi (" in said
    assert f"set it to {needed}Mi or more, or lower these" in said
    assert render({**value, LIMIT: f"{needed}Mi"})


@pytest.mark.parametrize("name", ["shared_buffers", "work_mem", "maintenance_work_mem"])
@pytest.mark.parametrize("text", ["1gb", "256Mi", "a lot", "", "-1MB"])
def test_what_is_no_memory_to_postgresql_is_refused(name: str, text: str) -> None:
    said = refusal({f"postgres.parameters.{name}": text})
    assert f"postgres.parameters.{name} is {text}, which PostgreSQL does not read" in said


@pytest.mark.parametrize(
    "values",
    [
        {"postgres.parameters.shared_buffers": "2GB", LIMIT: None},
        {**EXTERNAL, "postgres.parameters.shared_buffers": "64GB"},
        {"postgres.parameters": {"max_connections": 150}},
    ],
    ids=["no limit", "an external server", "PostgreSQL's own settings"],
)
def test_nothing_else_is_refused(values: dict[str, Any]) -> None:
    assert render(values)
