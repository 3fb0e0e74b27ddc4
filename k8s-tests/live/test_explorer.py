"""The explorer of a release, opened in Chromium through a port-forward as a person opens it."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator

import pytest
from kit.cluster import CHART
from kit.namespace import MONTH, Namespace, until
from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VALUES = [
    *("--values", str(CHART / "examples" / "laptop.yaml")),
    *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
    *("--set", "jobs.ingest.sample.users=400", "--set-json", "jobs.trainingSet.datasets=[]"),
    *("--set", "api.enabled=false", "--set", "prefect.enabled=false"),
]
RAISED = """
import csv, pathlib
file = pathlib.Path("/tmp/months/month_001/subscriptions.csv")
rows = list(csv.DictReader(file.open()))
with file.open("w") as out:
    written = csv.DictWriter(out, rows[0])
    written.writeheader()
    for row in rows:
        written.writerow({**row, "monthly_fee": f"{float(row['monthly_fee']) * 1.2:.2f}"})
"""
"""A month in which everybody pays a fifth more."""


@pytest.fixture(scope="module")
def release(namespace: Namespace) -> Namespace:
    """A release with January, and a February that differs, as a person loads it by hand."""
    if CHROMIUM is None:
        if os.environ.get("STREAMFLOW_REQUIRE_CHROMIUM"):
            pytest.fail("chromium is required and not installed")
        pytest.skip("chromium is not installed (Debian's package of that name)")
    namespace.install(*VALUES)
    feast = ("exec", "deploy/streamflow-feast", "--")
    made = ("--out", "/tmp/months", "--users", "400", "--months", "2")
    namespace.kubectl(*feast, "streamflow", "sample", *made)
    namespace.python("deploy/streamflow-feast", RAISED)
    february = ("/tmp/months/month_001", "--as-of", "2024-02-29", "--materialize")
    namespace.kubectl(*feast, "streamflow", "ingest", *february)
    return namespace


@pytest.fixture(scope="module")
def tab(release: Namespace) -> Iterator[Page]:
    """A tab in front of the explorer; no script fails in it, and it asks nobody else."""
    complaints: list[str] = []
    asked: set[str] = set()
    with (
        release.forwarded("svc/streamflow-explorer", 8100) as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page(base_url=url)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        yield page
    assert [one for one in complaints if "503" not in one] == []
    assert [one for one in asked if not one.startswith(url)] == []


def test_a_planted_drift_is_found_from_home_by_clicking(tab: Page) -> None:
    tab.goto("/")
    statement = tab.locator(".statements li").filter(has_text="monthly_fee")
    statement.first.get_by_role("link").first.click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("monthly_fee")
    expect(tab.get_by_role("main")).to_contain_text("drift:")


@pytest.mark.parametrize(
    "path", ["/", "/features?q=fee", "/services/churn_v1", "/views/subs_profile_fv", "/runs"]
)
def test_every_page_opens(tab: Page, path: str) -> None:
    answer = tab.goto(path)
    assert answer is not None
    assert answer.status == 200


def test_the_page_of_a_run_has_the_command_that_prints_its_log(
    release: Namespace, tab: Page
) -> None:
    tab.goto("/runs?command=apply")
    tab.get_by_role("main").locator("table").get_by_role("link").first.click()
    command = shlex.split(
        tab.locator("section", has=tab.locator("#log")).locator("code").inner_text()
    )
    assert command[:3] == ["kubectl", "--namespace", release.name]
    assert '"command": "apply", "outcome": "done"' in release.kubectl(*command[3:])


def test_a_user_is_shown_as_served_and_as_trained(tab: Page) -> None:
    tab.goto("/users")
    tab.get_by_role("searchbox").or_(tab.get_by_role("textbox")).first.fill("0002-ORFBO")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("main")).to_contain_text("monthly_fee")


def test_without_its_database_it_says_so_and_comes_back(release: Namespace, tab: Page) -> None:
    scale = ("scale", "statefulset/streamflow-postgres")
    release.kubectl(*scale, "--replicas=0")
    release.kubectl("wait", "pod/streamflow-postgres-0", "--for=delete", "--timeout=120s")
    assert status(tab) == 503
    expect(tab.get_by_role("heading", level=1)).to_contain_text("The database cannot be read")
    release.kubectl(*scale, "--replicas=1")
    assert until(lambda: status(tab), lambda found: found == 200, 180)
    pod = release.get("Pod", selector="app.kubernetes.io/component=explorer")[0]
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0]


def status(tab: Page) -> int:
    """The status of the explorer's home page."""
    answer = tab.goto("/")
    assert answer is not None
    return answer.status
