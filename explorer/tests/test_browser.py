"""Pages in a real Chromium, as a person has them: widths, colours, keys, and what moves."""

import os
from collections.abc import Callable, Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from explorer.tests.chromium import CHROMIUM, Tab, chromium
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
ERRORS = ("/nothing", "/features/no/such")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of all tests of the module."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab of a person whom the browser does not know yet."""
    with browser.new_context() as context:
        yield Tab(context)


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*PAGES, *ERRORS])
def test_everybody_can_read_and_work_a_page(tab, address, path, scheme):
    """axe-core (Deque's rules after WCAG 2) finds nothing in either colours."""
    tab.page.emulate_media(color_scheme=scheme)
    tab.open(address(path))
    violations = Axe().run(tab.page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_no_page_is_wider_than_the_window(tab, address, path, width):
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.open(address(path))
    assert tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_the_month_that_is_shown_is_in_sight_on_a_phone(tab, address):
    tab.page.set_viewport_size({"width": 390, "height": 900})
    tab.open(address(FEATURE))
    box = tab.page.locator(".months [aria-current]").bounding_box()
    assert 0 <= box["x"] <= 390 - box["width"]


def test_colours_are_those_that_the_system_prefers(tab, address):
    seen = {}
    for scheme in ("dark", "light"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.open(address("/"))
        seen[scheme] = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen["dark"] != seen["light"]


def test_a_planted_drift_is_found_from_home_by_clicking(tab, address):
    tab.open(address("/"))
    statement = tab.page.locator(".statements li").filter(has_text=DRIFTED)
    statement.get_by_role("link").first.click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text(DRIFTED)
    assert "drift:" in tab.read().main.text


def test_arrow_keys_step_from_month_to_month(tab, address):
    tab.open(address(FEATURE))
    for key, month in (("ArrowLeft", "2024-02-29"), ("ArrowRight", "2024-03-31")):
        with tab.page.expect_navigation():
            tab.page.keyboard.press(key)
        assert month in tab.page.title()
    tab.page.keyboard.press("ArrowRight")  # there is no later one
    assert "2024-03-31" in tab.page.title()


def test_the_search_narrows_the_list_down_while_one_types(tab, address):
    tab.open(address("/features"))
    search, shown = tab.page.locator("#q"), tab.page.locator("tr[data-find]:visible th")
    search.press_sequentially("hours")
    expect(shown).to_have_count(2)
    names = {text.split()[0] for text in shown.all_inner_texts()}
    assert names == {"watch_hours_30d", "ticket_avg_resolution_hrs_90d"}
    expect(tab.page.locator("[data-count]")).to_have_text("2 features")
    search.press_sequentially(" nothing")
    expect(shown).to_have_count(0)


def test_a_contract_is_copied_by_its_button(tab, address):
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open(address("/services/churn_v1"))
    button = tab.page.locator(".hash button")
    button.click()
    expect(button).to_have_text("Copied")
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied in tab.page.locator(".hash").inner_text()
    assert len(copied) == 16


def test_everything_but_what_moves_works_without_a_script(browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        tab = Tab(context)
        for path in PAGES:
            found = tab.open(address(path))
            assert found.main.text
            assert not [
                one
                for one in found.every("button")
                if "data-copy" in one.attributes and "hidden" not in one.attributes
            ]


def test_the_keyboard_reaches_the_page_past_its_top(tab, address):
    tab.open(address("/"))
    tab.page.keyboard.press("Tab")
    skip = tab.page.locator(".skip")
    expect(skip).to_be_focused()
    assert skip.bounding_box()["x"] == 0
    tab.page.keyboard.press("Enter")
    assert tab.page.url.endswith("#main")


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
        expect(tab.page.get_by_role("heading", level=1)).to_have_text("Features", timeout=30_000)
