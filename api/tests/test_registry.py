"""What is applied while the service runs is served, what is removed no longer."""

from typing import Any

from api.tests.conftest import assert_problem, odd_objects, ready, serving, unready, wait_until
from feature_repo.store import open_store

USER = "/features/7590-VHVEG"


def test_a_service_applied_by_another_process_is_served_within_seconds(database: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        path = f"{USER}?service=copies_v1"
        assert_problem(client.get(path), 422, "unknown-name", "known: churn_v1, profile_v1.")
        with open_store("auto") as store:
            store.apply(odd_objects(), partial=True)
        took = wait_until(lambda: client.get(path).status_code != 422, 8)
        assert took < 6
        assert_problem(client.get(path), 404, "unknown-user")
        assert client.get("/services/copies_v1").json()["features"][0]["view"] == "subs_copy_fv"


def test_a_changed_and_a_removed_service_are_noticed(copy: str) -> None:
    from feast import FeatureService

    with serving(registry_refresh_s=0.3) as client:
        wait_until(lambda: ready(client))
        before = client.get(f"{USER}?service=copies_v1").json()
        with open_store("auto") as store:
            views = [store.get_feature_view(one) for one in ("today_fv", "subs_copy_fv")]
            store.apply(FeatureService(name="copies_v1", features=views), partial=True)
        changed: dict[str, Any] = {}

        def is_changed() -> bool:
            changed.update(client.get(f"{USER}?service=copies_v1").json())
            return changed["metadata"]["contract"] != before["metadata"]["contract"]

        wait_until(is_changed, 3)
        assert list(before["features"]) == ["user_id", "months_active"]
        assert list(changed["features"]) == ["user_id", "score", "months_active"]
        with open_store("auto") as store:
            store.delete_feature_service("copies_v1")
            store.delete_feature_view("subs_copy_fv")
        answers = []

        def is_removed() -> bool:
            answers.append(client.get(f"{USER}?features=subs_copy_fv:months_active"))
            return answers[-1].status_code == 422

        wait_until(is_removed, 3)
        assert {answer.status_code for answer in answers} <= {200, 422, 503}
        assert_problem(client.get("/services/copies_v1"), 404, "unknown-name")
        assert client.get(USER).status_code == 200


def test_without_the_default_service_others_are_served_but_it_is_not_ready(copy: str) -> None:
    with serving(service="absent_v1") as client:
        wait_until(unready(client, "no feature service absent_v1"))
        assert_problem(client.get("/readyz"), 503, "not-ready", "the registry has no feature serv")
        assert_problem(client.get(USER), 422, "unknown-name", "'absent_v1'")
        assert client.get(f"{USER}?service=profile_v1").status_code == 200
