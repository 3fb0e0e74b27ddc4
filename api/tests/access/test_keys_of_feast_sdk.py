"""A stock Feast SDK sends a key where its configuration has one, and waits when told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from api.tests.access.key_files import ONE, TWO, line
from api.tests.conftest import metric, ready, serving, wait_until

if TYPE_CHECKING:
    from feast import FeatureStore

ROWS = {"user_id": ["7590-VHVEG", "nobody"]}
TOKEN = {"type": "oidc", "token_env_var": "STREAMFLOW_API_KEY"}
"""The configuration of docs/operations.md; Feast sends any bearer token, which it calls OIDC."""


@pytest.fixture(scope="module")
def keyed(loaded: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with the key ONE, and TWO that is for profile_v1 alone."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "one").write_text(line(ONE))
    (folder / "two").write_text(line(TWO, "profile_v1"))
    with serving(keys_dir=str(folder), rate_per_s=2, rate_burst=6) as client:
        wait_until(lambda: ready(client))
        yield client


@contextmanager
def sdk(server: httpx.Client, auth: dict[str, str] | None) -> Iterator["FeatureStore"]:
    """The SDK on the server, with this configuration of keys."""
    from feast import FeatureStore, RepoConfig

    from streamflow import settings

    repo = settings.streamflow().feature_repo
    raw = yaml.safe_load((repo / "feature_store.yaml").read_text())
    raw["online_store"] = {"type": "remote", "path": str(server.base_url).rstrip("/")}
    if auth is not None:
        raw["auth"] = auth
    config = RepoConfig(**raw)
    config.repo_path = repo
    store = FeatureStore(config=config)
    try:
        yield store
    finally:
        store.registry.write_engine.dispose()
        store.registry.read_engine.dispose()


def read(store: "FeatureStore", service: str = "churn_v1") -> dict[str, Any]:
    """The values that the SDK reads."""
    found: dict[str, Any] = store.get_online_features(
        store.get_feature_service(service), ROWS
    ).to_dict()
    return found


@pytest.mark.parametrize("auth", [TOKEN, {"type": "oidc", "token": ONE}], ids=["variable", "file"])
def test_the_sdk_sends_its_key(
    keyed: httpx.Client, monkeypatch: pytest.MonkeyPatch, auth: dict[str, str]
) -> None:
    monkeypatch.setenv("STREAMFLOW_API_KEY", ONE)
    with sdk(keyed, auth) as store:
        assert read(store)["months_active"] == [1, None]


def test_another_key_in_the_variable_is_sent_from_then_on(
    keyed: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.errors import FeastPermissionError

    monkeypatch.setenv("STREAMFLOW_API_KEY", ONE)
    with sdk(keyed, TOKEN) as store:
        assert read(store)["months_active"] == [1, None]
        monkeypatch.setenv("STREAMFLOW_API_KEY", TWO)
        with pytest.raises(
            FeastPermissionError, match=r"403 .*Key two is not for that feature service"
        ):
            read(store)
        assert read(store, "profile_v1")["months_active"] == [1, None]


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (None, "A key is needed"),
        ({"type": "oidc", "token": "sfk_other"}, "The key is not known here"),
    ],
)
def test_without_a_key_or_with_another_the_sdk_says_why(
    keyed: httpx.Client, auth: dict[str, str] | None, said: str
) -> None:
    from feast.errors import FeastPermissionError

    with sdk(keyed, auth) as store, pytest.raises(FeastPermissionError, match=rf"401 .*{said}"):
        read(store)


@pytest.mark.slow
def test_the_sdk_waits_as_long_as_it_is_told(
    keyed: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK tries again by itself after the seconds of Retry-After."""
    monkeypatch.setenv("STREAMFLOW_API_KEY", ONE)
    before = metric(keyed, "streamflow_api_rate_limited_total")
    with sdk(keyed, TOKEN) as store:
        for _ in range(5):
            assert read(store)["months_active"] == [1, None]
    assert metric(keyed, "streamflow_api_rate_limited_total") > before
