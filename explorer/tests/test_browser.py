"""Pages in a real Chromium: what moves does, nothing is refused, and nothing is asked elsewhere."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from explorer.tests.conftest import any_user
from explorer.tests.html import Page, parsed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--disable-features=OptimizationHints,MediaRouter", "--disable-default-apps"),
)


def address(client: httpx.Client, path: str) -> str:
    """The whole address of a page."""
    return str(client.base_url).rstrip("/") + path


def opened(url: str, profile: Path) -> tuple[Page, str, set[str]]:
    """A page after its script ran, what the browser's console said, and the hosts that it asked."""
    assert CHROMIUM is not None
    log = profile / "net.json"
    found = subprocess.run(
        [
            *(CHROMIUM, *QUIET, f"--user-data-dir={profile}", f"--log-net-log={log}"),
            *("--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = "\n".join(line for line in found.stderr.splitlines() if "CONSOLE" in line)
    events = json.loads(log.read_text())["events"]
    given = [one["params"] for one in events if "initiator" in one.get("params", {})]
    # The browser asks its maker by itself; what the page asks has the page's origin.
    asked = {one["url"] for one in given if url.startswith(one["initiator"])}
    hosts = {httpx.URL(one).netloc.decode() for one in asked}
    return parsed(found.stdout.removeprefix("<!DOCTYPE html>")), console, hosts


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/features",
        "/views/subs_profile_fv",
        "/services/churn_v1",
        "/features/subs_profile_fv/monthly_fee",
        "/features/subs_profile_fv/net_service",
        "/runs",
        "/users",
        "/nowhere",
    ],
)
def test_a_page_opens_without_a_complaint_and_asks_nobody_else(
    client: httpx.Client, tmp_path: Path, path: str
) -> None:
    page, console, hosts = opened(address(client, path), tmp_path)
    assert page.heading
    if path != "/nowhere":  # of which a browser says that it is not there
        assert console == ""
    assert hosts == {client.base_url.netloc.decode()}


def test_copy_buttons_are_there_as_soon_as_they_can_copy(
    client: httpx.Client, tmp_path: Path
) -> None:
    page, _, _ = opened(address(client, "/services/churn_v1"), tmp_path)
    buttons = [one for one in page.every("button") if one.text == "Copy"]
    assert len(buttons) == 4
    assert not [one for one in buttons if "hidden" in one.attributes]


def test_a_hostile_user_runs_nothing(client: httpx.Client, tmp_path: Path) -> None:
    hostile = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
    path = f"/users?{httpx.QueryParams({'id': hostile})}"
    page, console, _ = opened(address(client, path), tmp_path)
    assert page.every("title")[0].text.startswith("Users")
    assert not page.every("img")
    assert console == ""


def test_a_page_about_a_user_opens(client: httpx.Client, tmp_path: Path) -> None:
    page, console, _ = opened(address(client, f"/users?id={any_user()}"), tmp_path)
    assert len(page.every("section")) == 4
    assert console == ""
