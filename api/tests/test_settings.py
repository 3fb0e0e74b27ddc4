"""Settings that cannot be meant are refused by a sentence that names the variable."""

import pytest

from api import settings
from streamflow.errors import ConfigurationError


@pytest.mark.parametrize("given", ["a,,b", ",", "a, b", "postgresql://user:secret@host"])
def test_what_is_no_host_of_a_replica_is_refused(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_API_READ_HOST", given)
    with pytest.raises(ConfigurationError) as refused:
        settings.load()
    assert "STREAMFLOW_API_READ_HOST: wants names of hosts with commas" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_several_hosts_are_named_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().read_hosts == []
    monkeypatch.setenv("STREAMFLOW_API_READ_HOST", "one.example.com,two.example.com")
    assert settings.load().read_hosts == ["one.example.com", "two.example.com"]


def test_kept_answers_are_not_given_where_none_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFLOW_API_READ_HOST", "replica")
    monkeypatch.setenv("STREAMFLOW_API_SERVE_STALE", "true")
    with pytest.raises(ConfigurationError, match="none are kept with STREAMFLOW_API_READ_HOST"):
        settings.load()


@pytest.mark.parametrize("seconds", ["0.5", "86401", "nan"])
def test_a_bound_that_no_replica_could_keep_is_refused(
    seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_API_MAX_LAG_S", seconds)
    with pytest.raises(ConfigurationError, match="STREAMFLOW_API_MAX_LAG_S"):
        settings.load()
