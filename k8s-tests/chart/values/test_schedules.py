"""Schedules as Kubernetes takes them, and how long a schedule may leave nothing done."""

import re
from typing import Any

import pytest
from kit.render import CHART, Manifest, named, refusal, render, template

OPERATOR = {"metrics.prometheusRule.enabled": True}
DAY = 86400
SLACK = 43200 + 21600
"""Seconds that a backup may take from its time on: its starting deadline and its Job's limit."""


def limits(values: dict[str, Any]) -> dict[str, int]:
    """By command: the seconds without a success after which its alert fires."""
    (rule,) = named(render({**OPERATOR, **values}), "PrometheusRule").values()
    found = {}
    for one in (rule for group in rule["spec"]["groups"] for rule in group["rules"]):
        if one["alert"] in ("StreamflowBackupOld", "StreamflowMaterializeOverdue"):
            found[one["alert"]] = int(re.search(r"> (\d+)\s*$", one["expr"])[1])  # type: ignore[index]
    return {
        "backup": found["StreamflowBackupOld"],
        "materialize": found["StreamflowMaterializeOverdue"],
    }


@pytest.mark.parametrize(
    "schedule",
    [
        "@daily",
        "@every 1h30m",
        "@yearly",
        "0 3 1 * *",
        "*/15 * * * *",
        "0-30/10,45 1,2 ? JAN-MAR,dec Mon-fri",
        "5/20 0 */2 * 0",
        "0  3\t1 * *",
    ],
)
def test_what_kubernetes_takes_is_taken(schedule: str) -> None:
    cron = named(render({"jobs.audit.schedule": schedule}), "CronJob")["streamflow-audit"]
    assert cron["spec"]["schedule"] == schedule


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("61 3 1 * *", "minute 61 is not from 0 to 59"),
        ("0 24 * * *", "hour 24 is not from 0 to 23"),
        ("0 0 0 * *", "day of the month 0 is not from 1 to 31"),
        ("0 0 1 13 *", "month 13 is not from 1 to 12"),
        ("0 0 * * 7", "day of the week 7 is not from 0 to 6"),
        ("*/0 * * * *", "minute */0 has a step of 0"),
        ("30-10 * * * *", "minute 30-10 ends before it begins"),
        ("0 3 * *", "has 4 fields, not 5"),
        ("0 0 3 1 * *", "has 6 fields, not 5"),
        ("nightly at two", "has 3 fields, not 5"),
        ("0 3 1 JANUARY *", "month JANUARY"),
        ("0 3 x * *", "day of the month x"),
        ("-5 3 * * *", "minute -5"),
        ("@fortnightly", "@fortnightly is none of @yearly"),
        ("@Daily", "@Daily is none of"),
        ("@every day", "@every takes a duration"),
        ("TZ=Europe/Berlin 0 3 * * *", "timeZone"),
        ("CRON_TZ=UTC @daily", "timeZone"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
    ],
)
def test_what_it_does_not_take_is_refused(schedule: str, said: str) -> None:
    for of in ("materialize", "audit", "backup"):
        answer = refusal({f"jobs.{of}.schedule": schedule})
        assert f"jobs.{of}.schedule" in answer
        assert said in answer
    render({"jobs.audit.enabled": False, "jobs.audit.schedule": schedule})


@pytest.mark.parametrize(
    "zone",
    ["Etc/UTC", "UTC", "Zulu", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"],
)
def test_zones_that_there_are_are_taken(zone: str) -> None:
    cron = named(render({"jobs.backup.timeZone": zone}), "CronJob")["streamflow-backup"]
    assert cron["spec"]["timeZone"] == zone


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlln", "europe/berlin", "CEST", "Local", "local", "UTC+2", "Mars/Phobos", "/UTC"],
)
def test_zones_that_there_are_not_are_refused(zone: str) -> None:
    for of in ("materialize", "audit", "backup"):
        said = refusal({f"jobs.{of}.timeZone": zone})
        assert f"jobs.{of}.timeZone" in said
        assert "e.g. Europe/Berlin" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "gap"),
    [
        ("0 2 * * *", DAY),
        ("@daily", DAY),
        ("@hourly", 3600),
        ("*/20 * * * *", 1200),
        ("7/20 * * * *", 1200),
        ("0,50 * * * *", 3000),
        ("0 */5 * * *", 5 * 3600),
        ("0 1,4 * * *", 21 * 3600),
        ("30 23,0 * * *", 23 * 3600),
        ("0 2 * * 1", 7 * DAY),
        ("@weekly", 7 * DAY),
        ("0 2 * * MON-FRI", 3 * DAY),
        ("0 2 */2 * *", 2 * DAY),
        ("0 2 1,15 * *", 17 * DAY),
        ("@monthly", 31 * DAY),
        ("0 3 1 * *", 31 * DAY),
        ("0 3 31 * *", 61 * DAY),  # of August, then of October
        ("0 3 1 */3 *", 92 * DAY),
        ("@yearly", 366 * DAY),
        ("0 0 29 2 *", 1461 * DAY),
        ("0 0 13 * 5", 7 * DAY),  # the 13th, and each Friday as well
        ("0 0 1 * */2", 2 * DAY),  # a step is no star: the first, and Sunday, Tuesday, Thursday, …
        ("@every 36h", 36 * 3600),
        ("@every 1h30m", 5400),
    ],
)
def test_an_alert_waits_as_long_as_its_schedule(schedule: str, gap: int) -> None:
    assert limits({"jobs.backup.schedule": schedule})["backup"] == gap + SLACK


def test_an_alert_waits_for_what_a_run_may_take_and_for_summer_time() -> None:
    found = limits(
        {"jobs.backup.startingDeadlineSeconds": 600, "jobs.backup.activeDeadlineSeconds": 7200}
    )
    assert found["backup"] == DAY + 600 + 7200
    later = limits({"jobs.activeDeadlineSeconds": 7200})["materialize"]
    assert later == 31 * DAY + 86400 + 7200
    assert limits({})["materialize"] == 31 * DAY + 86400 + 3600
    # An hour more, and a day on which two o'clock does not come.
    assert limits({"jobs.backup.timeZone": "Europe/Berlin"})["backup"] == 2 * DAY + 3600 + SLACK
    noon = {"jobs.backup.timeZone": "Europe/Berlin", "jobs.backup.schedule": "0 12 * * *"}
    assert limits(noon)["backup"] == DAY + 3600 + SLACK
    assert limits({"jobs.backup.timeZone": "Asia/Tokyo"})["backup"] == DAY + SLACK


def test_a_person_may_say_how_long() -> None:
    found = limits({"metrics.prometheusRule.overdueAfterSeconds.backup": 7200})
    assert found["backup"] == 7200
    assert found["materialize"] == limits({})["materialize"]


def test_the_file_has_the_limits_of_the_default_schedules() -> None:
    text = (CHART / "files" / "rules.yaml").read_text()
    for limit in limits({}).values():
        assert str(limit) in text
    rendered: list[Manifest] = render(OPERATOR)
    assert rendered
    assert template(OPERATOR) == template({**OPERATOR, "jobs.backup.schedule": "0 2 * * *"})
