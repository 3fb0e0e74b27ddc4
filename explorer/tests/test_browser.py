"""Pages in a real Chromium, as a person has them: widths, colours, keys, and what moves."""

import os
from collections.abc import Callable, Iterator

import httpx
import pytest

from explorer.tests.chromium import CHROMIUM, Tab, browser
from explorer.tests.conftest import DRIFTED, any_user, serving
from explorer.tests.html import faults

IS_REQUIRED = bool(os.environ.get("STREAMFLOW_REQUIRE_CHROMIUM"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and not IS_REQUIRED, reason="there is no Chromium here"),
]

FEATURE = f"/features/subs_profile_fv/{DRIFTED}"
PAGES = (
    *("/", "/features", "/features?q=fee", "/views/subs_profile_fv", "/services/churn_v1"),
    *(FEATURE, "/features/subs_profile_fv/plan_stream_tv", "/runs", "/runs/5", "/runs/6"),
    *("/users", "/users?id=USER"),
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab that all tests of the module share, as a person would."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened()


@pytest.fixture
def address(client: httpx.Client) -> Callable[[str], str]:
    """Makes a whole address of a path."""
    user = any_user()
    return lambda path: str(client.base_url).rstrip("/") + path.replace("USER", user)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_a_complaint_and_asks_nobody_else(tab, address, path):
    found = tab.open(address(path))
    assert found.heading
    assert tab.complaints == []
    assert tab.asked
    assert not [one for one in tab.asked if not one.startswith(address("/"))]
    assert faults(found) == []


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_no_page_is_wider_than_the_window(tab, address, path, width):
    tab.resize(width)
    try:
        tab.open(address(path))
        assert tab.run("document.documentElement.scrollWidth - window.innerWidth") <= 0
    finally:
        tab.call("Emulation.clearDeviceMetricsOverride")


def test_the_month_that_is_shown_is_in_sight_on_a_phone(tab, address):
    tab.resize(390)
    try:
        tab.open(address(FEATURE))
        place = "document.querySelector('.months [aria-current]').getBoundingClientRect()"
        assert tab.run(f"{place}.left") >= 0
        assert tab.run(f"{place}.right - window.innerWidth") <= 0
    finally:
        tab.call("Emulation.clearDeviceMetricsOverride")


def test_colours_are_those_that_the_system_prefers(tab, address):
    seen = {}
    for scheme in ("dark", "light"):
        tab.prefer(scheme)
        tab.open(address("/"))
        seen[scheme] = tab.run("getComputedStyle(document.body).backgroundColor")
    assert seen["dark"] != seen["light"]


def test_a_planted_drift_is_found_from_home_by_clicking(tab, address):
    tab.open(address("/"))
    tab.run(
        f"""[...document.querySelectorAll('.statements li')]
            .find((one) => one.textContent.includes('{DRIFTED}')).querySelector('a').click()"""
    )
    tab.wait(lambda: tab.run("document.querySelector('h1')?.textContent") == DRIFTED)
    assert "drift:" in tab.page().main.text


def test_arrow_keys_step_from_month_to_month(tab, address):
    tab.open(address(FEATURE))
    for key, month in (("ArrowLeft", "2024-02-29"), ("ArrowRight", "2024-03-31")):
        tab.press(key)
        tab.wait(lambda month=month: month in tab.run("document.title"))
        tab.settle()
    tab.press("ArrowRight")  # there is no later one
    assert "2024-03-31" in tab.run("document.title")


def test_the_search_narrows_the_list_down_while_one_types(tab, address):
    tab.open(address("/features"))
    tab.run("document.querySelector('#q').focus()")
    tab.type("hours")
    shown = "[...document.querySelectorAll('tr[data-find]:not([hidden]) th')].map(e => e.innerText)"
    tab.wait(lambda: tab.run(f"{shown}.length") == 2)
    assert set(tab.run(shown)) == {"watch_hours_30d", "ticket_avg_resolution_hrs_90d"}
    assert tab.run("document.querySelector('[data-count]').innerText") == "2 features"
    tab.type(" nothing")
    tab.wait(lambda: tab.run(f"{shown}.length") == 0)


def test_a_contract_is_copied_by_its_button(tab, address):
    tab.open(address("/services/churn_v1"))
    origin = address("")
    for name in ("clipboardReadWrite", "clipboardSanitizedWrite"):
        tab.call("Browser.grantPermissions", origin=origin, permissions=[name])
    assert tab.run("document.querySelector('.hash button').hidden") is False
    tab.run("document.querySelector('.hash button').click()")
    tab.wait(lambda: tab.run("document.querySelector('.hash button').innerText") == "Copied")


def test_everything_but_what_moves_works_without_a_script(tab, address):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for path in PAGES:
            found = tab.open(address(path))
            assert found.main.text
            assert not [
                one
                for one in found.every("button")
                if "data-copy" in one.attributes and "hidden" not in one.attributes
            ]
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_keyboard_reaches_the_page_past_its_top(tab, address):
    tab.open(address("/"))
    tab.call(
        "Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9
    )
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.activeElement.getBoundingClientRect().left") == 0
    tab.run("document.activeElement.click()")
    assert tab.run("location.hash") == "#main"


def test_a_hostile_user_runs_nothing(tab, address):
    hostile = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
    found = tab.open(address(f"/users?{httpx.QueryParams({'id': hostile})}"))
    assert found.every("title")[0].text.startswith("Users")
    assert not found.every("img")
    assert tab.complaints == []


@pytest.mark.usefixtures("empty_database")
def test_a_page_without_a_database_looks_again_by_itself(tab):
    from jobs.apply.apply import apply

    with serving() as client:
        url = str(client.base_url).rstrip("/")
        assert tab.open(f"{url}/features").heading == "There is nothing to show yet"
        apply()
        tab.wait(lambda: tab.run("document.querySelector('h1')?.innerText") == "Features")
