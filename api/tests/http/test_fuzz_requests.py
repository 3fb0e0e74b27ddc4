"""Whatever is sent: no 5xx, and every answer is one that the OpenAPI description has."""

import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.results import Result, choose, record

SETTINGS = settings(
    max_examples=choose(150, 2_000),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HEAD = b"%s %s HTTP/1.1\r\nHost: api\r\nConnection: close\r\n%s\r\n"
POSTS = ["/features", "/get-online-features"]
GETS = ["/features/", "/services/", "/services", "/livez", "/readyz", "/metrics", "/docs/", "/"]

KNOWN = st.sampled_from(
    [
        *("churn_v1", "profile_v1", "visits_v1", "shops_v1", "everyone_v1", "holidays_v1"),
        *("subs_profile_fv:months_active", "usage_agg_30d_fv:skips_7d", "visits_fv:visits"),
        *("user_id", "shop_id", "7590-VHVEG", "0002-ORFBO", "subs_profile_fv@v1:months_active"),
    ]
)
ODD = st.sampled_from(
    [
        "",
        ":",
        "a:",
        ":a",
        "\0",
        "\ud800",
        "a" * 129,
        "a\nb",
        "é",
        "%00",
        "../",
        "churn_v1,",
        "' OR 1",
    ]
)
TEXT = KNOWN | ODD | st.text(max_size=20)
NUMBER = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63), 1e308, 10**30])
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ENTITIES = st.dictionaries(
    st.sampled_from(["user_id", "shop_id", "other_shop_id", "friend_id", "x"]),
    st.lists(SCALAR, max_size=3) | SCALAR,
    max_size=3,
)


def likely(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with some of these members, mostly of the right kind, and sometimes others."""
    optional = {name: member | JSON for name, member in members.items()}
    extra = st.dictionaries(TEXT, JSON, max_size=1)
    return st.builds(dict, st.fixed_dictionaries({}, optional=optional), extra=extra) | (
        st.fixed_dictionaries({}, optional=dict(members))
    )


USERS = st.lists(st.sampled_from(["7590-VHVEG", "0002-ORFBO", "nobody"]), min_size=1, max_size=3)
RIGHT = st.one_of(
    st.tuples(st.just("/features"), st.fixed_dictionaries({"user_ids": USERS})),
    st.tuples(
        st.just("/get-online-features"),
        st.fixed_dictionaries(
            {
                "entities": st.fixed_dictionaries({"user_id": USERS}),
                "feature_service": st.sampled_from(["churn_v1", "profile_v1", "everyone_v1"]),
            }
        ),
    ),
)
USERS_ASKED = likely(
    user_ids=st.lists(TEXT, max_size=3), service=KNOWN, features=st.lists(KNOWN, max_size=3)
)
ONLINE_ASKED = likely(
    entities=ENTITIES,
    feature_service=KNOWN,
    features=st.lists(KNOWN, max_size=3),
    full_feature_names=st.booleans(),
    include_feature_view_version_metadata=st.booleans(),
)
ASKED = st.one_of(
    RIGHT,
    st.tuples(st.just("/features"), USERS_ASKED),
    st.tuples(st.just("/get-online-features"), ONLINE_ASKED),
    st.tuples(st.sampled_from(POSTS), JSON),
)
NAMES = st.sampled_from(
    [
        *("Content-Type", "If-Contract", "X-Request-ID", "Accept", "Accept-Encoding", "Cookie"),
        *("Authorization", "Transfer-Encoding", "Expect", "Range", "Upgrade", "Host", "X"),
    ]
)
VALUES = st.one_of(
    st.sampled_from([b"application/json", b"chunked", b"100-continue", b"0" * 16, b"bytes=0-1"]),
    st.binary(max_size=20).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b"")),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=3)


class Api:
    """The running server and its OpenAPI description."""

    def __init__(self, client: httpx.Client) -> None:
        self.address = (client.base_url.host, client.base_url.port or 0)
        self.description: dict[str, Any] = client.get("/openapi.json").json()
        self.answered: Counter[int] = Counter()

    def ask(
        self, method: str, target: bytes, body: bytes = b"", headers: bytes = b""
    ) -> tuple[int, str, bytes]:
        """Send these bytes as they are; returns status, media type and body of the answer."""
        length = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall(HEAD % (method.encode(), target, length + headers) + body)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            found = answer.read()
        self.answered[answer.status] += 1
        return answer.status, answer.headers.get_content_type(), found

    def check(self, method: str, path: str, answer: tuple[int, str, bytes]) -> None:
        """Require an answer as described: a document of the operation, or a problem."""
        status, media_type, body = answer
        text = body.decode("utf-8", "replace")
        assert status < 500 or (status == 503 and "stale-features" in text), text
        operation = self.description["paths"].get(path, {}).get(method.lower(), {})
        if status >= 400:
            assert media_type == "application/problem+json", text
            self.validate({"$ref": "#/components/schemas/Problem"}, json.loads(body))
            assert json.loads(body)["status"] == status
            if operation:
                assert str(status) in operation["responses"], (path, status, text)
        elif "application/json" in operation.get("responses", {}).get("200", {}).get("content", ""):
            described = operation["responses"]["200"]["content"]["application/json"]["schema"]
            self.validate(described, json.loads(body))

    def validate(self, schema: dict[str, Any], found: Any) -> None:
        """Require `found` to match the schema."""
        whole = {**schema, "components": self.description["components"]}
        jsonschema.Draft202012Validator(whole).validate(found)


@pytest.fixture(scope="module")
def api(rich_client: httpx.Client) -> Iterator[Api]:
    """The server, with views of many kinds; it lives to the end."""
    found = Api(rich_client)
    yield found
    assert found.ask("GET", b"/livez")[0] == 200
    runs = found.answered.total()
    record(Result("requests at random", "all routes", runs, 0, None, 0))


def test_any_document(api: Api) -> None:
    seen: Counter[int] = Counter()

    @SETTINGS
    @given(ASKED)
    def check(asked: tuple[str, Any]) -> None:
        path, body = asked
        written = json.dumps(body).encode()
        answer = api.ask("POST", path.encode(), written, b"Content-Type: application/json\r\n")
        api.check("POST", path, answer)
        by_framework = b"Content-Type: application/json; charset=utf-8\r\n"
        assert fault(answer) == fault(api.ask("POST", path.encode(), written, by_framework))
        seen[answer[0]] += 1

    check()
    assert {200, 422} <= set(seen), seen


def test_any_bytes(api: Api) -> None:
    @SETTINGS
    @given(st.sampled_from(POSTS), st.binary(max_size=60), st.sampled_from([b"json", b"x", b""]))
    def check(path: str, body: bytes, kind: bytes) -> None:
        headers = b"Content-Type: application/%s\r\n" % kind
        answer = api.ask("POST", path.encode(), body, headers)
        assert 400 <= answer[0] < 500
        api.check("POST", path, answer)
        by_framework = headers.replace(b"json\r", b"json; charset=utf-8\r")
        assert fault(answer) == fault(api.ask("POST", path.encode(), body, by_framework))

    check()


def test_any_path_and_query(api: Api) -> None:
    routes = {"/features/": "/features/{user_id}", "/services/": "/services/{name}"}
    keys = st.sampled_from(["service", "features", "contract", "x", ""])
    queries = st.lists(st.tuples(keys, TEXT), max_size=3)
    seen: Counter[int] = Counter()

    @SETTINGS
    @given(st.sampled_from(GETS), TEXT | st.binary(max_size=20), queries)
    def check(path: str, rest: str | bytes, query: list[tuple[str, str]]) -> None:
        ending = quoted(rest) if path.endswith("/") else b""
        asked = b"&".join(quoted(name) + b"=" + quoted(value) for name, value in query)
        target = path.encode() + ending + b"?" * bool(asked) + asked
        answer = api.ask("GET", target)
        assert fault(answer) == fault(api.ask("GET", target))  # what is wrong is remembered
        is_one = bool(ending) and (path == "/features/" or b"%2F" not in ending.upper())
        api.check("GET", routes.get(path, path) if is_one or path not in routes else "", answer)
        seen[answer[0]] += 1

    check()
    assert {200, 404, 422} <= set(seen), seen


def fault(answer: tuple[int, str, bytes]) -> tuple[int, dict[str, Any]]:
    """An answer's status, and the problem that it tells but for the request's id."""
    status, _, body = answer
    problem = json.loads(body) if 400 <= status < 500 else {}
    return status, {name: value for name, value in problem.items() if name != "instance"}


def quoted(text: str | bytes) -> bytes:
    """A text as a part of a URL; half a character goes as the bytes that it would be."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return quote_from_bytes(data, safe="").encode()


def test_any_headers(api: Api) -> None:
    """The server's parser refuses bytes that are no HTTP at all."""

    @SETTINGS
    @given(HEADERS, st.sampled_from([*POSTS, "/features/7590-VHVEG"]))
    def check(headers: list[tuple[str, bytes]], path: str) -> None:
        written = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in headers)
        method = "POST" if path in POSTS else "GET"
        body = b'{"user_ids": ["7590-VHVEG"]}' if method == "POST" else b""
        answer = api.ask(method, path.encode(), body, written)
        if answer[0] == 400:
            assert answer[1] == "application/problem+json"
            assert json.loads(answer[2])["detail"] == "What came is no HTTP request."
        else:
            api.check(method, path.replace("7590-VHVEG", "{user_id}"), answer)

    check()


def test_any_method(api: Api) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        for path in (*POSTS, *GETS):
            status, _, body = api.ask(method, path.encode())
            assert 400 <= status < 500, (method, path, body)
