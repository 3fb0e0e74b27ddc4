"""The blocks of the shop's README, run in its order.

Those of a cluster are run by k8s-tests/live/test_shop.py.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from api.tests.conftest import ready, serving, wait_until
from docs.tests.test_training_sets import run_commands, run_examples
from examples.tests.conftest import SHOP, fill

PAGE = (SHOP / "README.md").read_text()
HERE, IN_A_CLUSTER = PAGE.split("## In a cluster")
NOT_TYPED = (
    "make demo REPO=examples/shop",
    '. .venv/bin/activate; eval "$(streamflow db env)"; export PGDATABASE=example_shop'
    " STREAMFLOW_FEATURE_REPO=examples/shop",
    "psql --file examples/shop/application.sql",
)
"""What the test does otherwise, in a database of its own; jobs/tests/test_demo.py has the demo."""


@pytest.mark.usefixtures("shop")
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", HERE, re.DOTALL)
    assert [language for language, _ in blocks] == [
        *("console", "console", "console", "pycon", "http", "console")
    ]
    known: dict[str, object] = {}
    for language, block in blocks:
        match language:
            case "console":
                run_commands(without_what_is_not_typed(block))
            case "pycon":
                run_examples(block, known)
            case "http":
                require_answer(block)


def without_what_is_not_typed(block: str) -> str:
    """A block without the commands that the test does otherwise, which it does."""
    for command in NOT_TYPED:
        if f"$ {command}\n" in block and command.startswith("psql"):
            fill()
        block = block.replace(f"$ {command}\n", "")
    return block


def require_answer(block: str) -> None:
    """Sends the request to an API of the shop, whose answer has what the page says."""
    first, body = block.split("\n", 1)
    method, path = first.split()
    with serving(service="return_v1") as client:
        wait_until(lambda: ready(client))
        answer = client.request(
            method, path, content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 200, answer.text
    anna, dora = rows_of(answer.json())
    assert anna["total"] == 2 * anna["price"]
    assert isinstance(anna["recent_skus"], list)
    assert isinstance(anna["preferences"], str)
    assert anna["hours_since_order"] is not None
    assert (dora["recent_skus"], dora["hours_since_order"]) == ([], None)
    assert {type(one["offer_ends_at"]) for one in (anna, dora)} == {int, type(None)}


def rows_of(answer: Any) -> list[dict[str, Any]]:
    """The rows of an answer of Feast's protocol."""
    names = answer["metadata"]["feature_names"]
    columns = [one["values"] for one in answer["results"]]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
