"""docs/on-demand.md does what it says: its definitions are applied, its requests are sent."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.tests.conftest import ready, serving, wait_until
from streamflow.errors import ConfigurationError
from streamflow.expressions.parse import parsed
from streamflow.feast import sql_feature_view
from streamflow.feast.registry.open import open_store

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")

PAGE = (Path(__file__).parents[3] / "docs" / "on-demand.md").read_text()
[CODE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REQUESTS = re.findall(r"```http\n(.*?)\n```", PAGE, re.DOTALL)


def answered(client: httpx.Client, request: str) -> Any:
    """The answer to a request of the page."""
    first, _, body = request.partition("\n")
    method, path = first.split(" ")
    content = {"content": body, "headers": {"Content-Type": "application/json"}} if body else {}
    return client.request(method, path, **content)  # type: ignore[arg-type]


def test_the_page_defines_serves_and_tells_of_faults(copy: str) -> None:
    with open_store("auto") as store:
        names = {"subs_profile_fv": store.get_feature_view("subs_profile_fv")}
        exec(CODE, names)  # the page's own
        store.apply([names["fees"], names["offer_v1"]], partial=True)
    with serving() as client:
        wait_until(lambda: ready(client))
        assert client.get("/services/offer_v1").json()["inputs"] == {"quoted_fee": "Float64"}
        one, many = (answered(client, request) for request in REQUESTS)
        assert one.status_code == many.status_code == 200
        features = one.json()["features"]
        assert features["fee_above"] == 31.5 - features["monthly_fee"]
        results = many.json()["results"]
        assert results[0]["features"] == features
        assert results[1]["features"]["fee_above"] == 70 - results[1]["features"]["monthly_fee"]
    profile, quote = names["subs_profile_fv"], names["quote"]
    schema = names["fees"].features[:1]
    with pytest.raises(ConfigurationError) as refused:
        sql_feature_view(
            name="fees",
            sources=[profile, quote],
            schema=schema,
            expressions={"fee_per_month": "foo(monthly_fee)"},
        )
    [said] = re.findall(r"with its place: `(.*?)`", " ".join(PAGE.split()))
    assert str(refused.value).endswith(said)


def test_the_functions_of_the_page_are_those_that_are_read() -> None:
    types = dict.fromkeys("xab", "Float64") | {"s": "String", "u": "UnixTimestamp"}
    [listed] = re.findall(r"of integers; `(.*?)`", PAGE)
    for name in listed.split():
        assert parsed(f"{name}(x)", types)[1] == "Float64"
    assert parsed("EXTRACT(day FROM u - u)", types)[1] == "Float64"
    assert parsed("date(u) - date(u)", types)[1] == "Int32"
    assert parsed("s IN ('a') AND length(s) % 2 = 1", types)[1] == "Bool"
