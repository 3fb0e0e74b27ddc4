"""The audit compares what contracts of before are answered with, and asks for none of them."""

from pathlib import Path
from typing import Any

import pytest
from feast import FeatureService

from api.tests.access.key_files import ONE, line
from api.tests.conftest import ready, wait_until
from api.tests.conftest import serving as serving_here
from jobs.audit.audit import audit
from jobs.audit.projects.older import only_in_older
from jobs.run.ledger import recorded, unrecorded
from jobs.run.result import Run
from jobs.tests.acting import execute
from jobs.tests.audit.test_audit import FEE, ONLINE, SKIPS, served
from streamflow.errors import VerificationFailed
from streamflow.feast.registry.compile import compiled
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store
from streamflow.postgres.connect import connect

__all__ = ["served"]
CHURN = "210c99bb71d5f508"


def churn(*names: str, alias: str = "") -> None:
    """Gives churn_v1 only these features of subs_profile_fv."""
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        view = view.with_name(alias) if alias else view
        store.apply(FeatureService(name="churn_v1", features=[view[list(names)]]), partial=True)


def audited(url: str = "") -> Run:
    with recorded("audit") as run:
        audit(run, "churn_v1", 50, 3, url, 0.0)
    return run


def older() -> list[str]:
    with connect() as connection, open_store() as store:
        catalog = compiled(store, store.config.online_store.ttl_policy)
        found = only_in_older(connection, catalog, contract_of(store, "churn_v1"))
    return [one.reference for one in found.features]


@pytest.mark.usefixtures("served")
def test_features_that_only_older_ones_have_are_compared() -> None:
    assert older() == []
    churn("monthly_fee")
    assert len(older()) == 13
    assert FEE not in older()
    assert audited().message == "700 values compared, no difference"
    assert execute("SELECT count(*) FROM ops.skew") == [(14,)]
    execute(f'UPDATE {ONLINE} SET "{SKIPS}" = "{SKIPS}" + 1')
    with pytest.raises(VerificationFailed, match=r"usage_agg_30d_fv:skips_7d differs"):
        audited()


@pytest.mark.usefixtures("served")
def test_a_renamed_view_has_the_same_features() -> None:
    churn("monthly_fee", "months_active", alias="profile")
    assert FEE not in older()
    assert len(older()) == 12
    assert audited().message == "700 values compared, no difference"


@pytest.mark.usefixtures("served")
def test_what_has_ended_or_is_not_answered_is_not_compared() -> None:
    churn("monthly_fee")
    execute("UPDATE ops.contracts SET features = replace(features::text, 'Int64', 'Int32')::json")
    assert older() == []
    execute("UPDATE ops.contracts SET features = replace(features::text, 'Int32', 'Int64')::json")
    assert len(older()) == 13
    execute("UPDATE ops.contracts SET ended_at = now() WHERE superseded_at IS NOT NULL")
    assert audited().message == "50 values compared, no difference"


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_the_api_is_asked_for_them_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    churn("monthly_fee")
    with serving_here() as client:
        wait_until(lambda: ready(client))
        assert audited(str(client.base_url)).message == "700 values compared, no difference"
        assert "superseded_requests_total{" not in client.get("/metrics").text
    (tmp_path / "one").write_text(line(ONE, "churn_v1"))
    monkeypatch.setenv("STREAMFLOW_API_KEY", ONE)
    with serving_here(keys_dir=str(tmp_path)) as client, unrecorded("audit") as run:
        wait_until(lambda: ready(client))
        audit(run, "churn_v1", 50, 3, str(client.base_url), 0.0)
    said: Any = run.message
    assert said.startswith(
        "50 values compared, no difference; not compared, since the key may not ask for single "
        "features: subs_profile_fv:months_active, "
    )
