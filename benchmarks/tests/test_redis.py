"""Feast on Redis beside the other sides, against a real Redis where there is one."""

import socket

import pytest

from benchmarks import report
from benchmarks.context import Context
from benchmarks.figures import OURS, Section
from benchmarks.sections import wide
from benchmarks.sides import on_redis, redis_server
from benchmarks.sides.on_redis import ON_REDIS

LACKING = redis_server.lacking()
needs_redis = pytest.mark.skipif(bool(LACKING), reason=f"{LACKING} (Debian's package redis-server)")


@needs_redis
def test_a_server_runs_in_memory_until_the_end_of_the_block() -> None:
    from redis import Redis

    with redis_server.started() as port, Redis(port=port) as client:
        client.set("user-1", "x")
        assert client.get("user-1") == b"x"
        assert client.config_get("save", "appendonly") == {"save": "", "appendonly": "no"}
        assert "Redis " in redis_server.versions(port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@needs_redis
def test_a_server_that_ends_at_once_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "IN_MEMORY", ("--no-such-option",))
    with pytest.raises(TimeoutError, match="redis-server"), redis_server.started():
        pass


def test_what_is_not_installed_is_told_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    monkeypatch.setenv("PATH", "")
    section = Section("HTTP", [ON_REDIS], notes=[])
    section.row("one user", "requests/s", samples={OURS: [100.0]}, targets={ON_REDIS: 60})
    assert on_redis.started(context, context.stack, section, "wide", "none") is None
    on_redis.mark_missing(section)
    text = report.of_section(section)
    assert "| one user | 100 requests/s | not run: no redis-server |  |" in text
    assert "- Feast on Redis was not measured: no redis-server." in text
    assert report.missed([section]).endswith("\nNone.\n")


@needs_redis
@pytest.mark.slow
def test_all_features_are_read_from_redis_with_the_same_values(context: Context) -> None:
    section = wide.measure(context)
    rates = [row for row in section.rows if row.unit == "requests/s"]
    assert [row.targets[ON_REDIS] for row in rates] == [60, 80]
    assert all(ON_REDIS in row.samples for row in section.rows), section
