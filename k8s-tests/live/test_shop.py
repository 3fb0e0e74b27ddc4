"""The example shop by values alone, beside StreamFlow's own release, as its README has it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from kit.cluster import ROOT
from kit.namespace import Namespace

SHOP = Path("examples") / "shop"
PAGE = (ROOT / SHOP / "README.md").read_text()
SMALL = ("--set", "api.autoscaling.enabled=false", "--set", "prefect.enabled=false")
ASK = """
import sys, urllib.request as r
request = r.Request("http://shop-streamflow-api" + sys.argv[1], sys.argv[2].encode())
request.add_header("content-type", "application/json")
sys.stdout.write(r.urlopen(request, timeout=10).read().decode())
"""


@pytest.fixture(scope="module")
def blocks() -> list[list[list[str]]]:
    """The commands of the README's blocks for a cluster, each as its words."""
    page = PAGE[PAGE.index("## In a cluster") :]
    return [
        [shlex.split(one) for one in re.findall(r"^\$ (.*)$", block.replace("\\\n>", ""), re.M)]
        for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    ]


def typed(namespace: Namespace, words: list[str]) -> str:
    """Runs a command of the page with the images of this checkout, in this namespace."""
    program, *arguments = words
    arguments = [
        re.sub(r"^(--from-file=|)(charts|examples)/", rf"\1{ROOT}/\2/", one) for one in arguments
    ]
    if program == "kubectl":
        return namespace.kubectl(*arguments)
    assert program == "helm"
    if arguments[0] == "install":
        arguments += [*namespace.images.values, *SMALL]
    return namespace.helm(*arguments)


def served(namespace: Namespace) -> list[dict[str, Any]]:
    """The rows of the answer to the page's request."""
    first, body = re.findall(r"```http\n(.*?)\n(.*?)```", PAGE, re.DOTALL)[0]
    path = first.split()[1]
    answer = json.loads(namespace.python("deploy/shop-streamflow-feast", ASK, path, body))
    names = answer["metadata"]["feature_names"]
    columns = [one["values"] for one in answer["results"]]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def test_the_page_leads_from_nothing_to_an_answer(
    namespace: Namespace, blocks: list[list[list[str]]]
) -> None:
    first, _ = blocks
    printed = [typed(namespace, words) for words in first]
    assert re.search(r"price +[0-9.]+ +product_hourly", printed[-1])
    namespace.complete(backfill(namespace))
    anna, dora = served(namespace)
    assert anna["total"] == 2 * anna["price"]
    assert (dora["recent_skus"], dora["hours_since_order"]) == ([], None)


def backfill(namespace: Namespace) -> str:
    """The name of the Job that brings values online at once."""
    (name,) = [one for one in namespace.jobs() if "backfill" in one]
    return name


def test_what_is_served_is_compared(namespace: Namespace) -> None:
    said = namespace.kubectl("logs", "shop-streamflow-test")
    assert "36 values compared, no difference" in said
    namespace.kubectl("create", "job", "--from=cronjob/shop-streamflow-audit", "audited")
    namespace.complete("audited")
    said = namespace.summary("audited")["message"]
    assert said.startswith("36 values compared, no difference")


def test_the_application_goes_on(namespace: Namespace, blocks: list[list[list[str]]]) -> None:
    _, later = blocks
    for words in later:
        typed(namespace, words)
    namespace.complete("now")
    assert namespace.summary("now")["outcome"] == "done"
    assert served(namespace)[0]["price"] is not None


def test_streamflows_own_release_is_beside_it(namespace: Namespace) -> None:
    month = '[{"asOf": "2024-01-31", "source": "sample", "month": "month_000"}]'
    laptop = ROOT / "charts" / "streamflow" / "examples" / "laptop.yaml"
    namespace.install("--values", str(laptop), "--set-json", f"jobs.ingest.months={month}", *SMALL)
    assert namespace.ask("/features/0002-ORFBO")["metadata"]["service"] == "churn_v1"
    assert served(namespace)[0]["total"] is not None
