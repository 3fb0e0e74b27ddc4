"""Commands one after the other, as a Job of the chart runs its list."""

import json
import os
import re
import shutil
import threading
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.ingest.load import ingest
from jobs.roles.set_up import Names
from jobs.run import waiting
from jobs.run.ledger import recorded
from jobs.tests.acting import acting, db_roles, done, execute, streamflow
from jobs.tests.commands.test_once import commands, lines


def joined(*works: tuple[str, ...]) -> list[str]:
    """The arguments of a batch."""
    found = ["batch"]
    for number, work in enumerate(works):
        found += ["--then"] * bool(number) + list(work)
    return found


def months(*days: str, more: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Commands that load a sample month for each day."""
    return [
        ("ingest", f"sample://users-10/seed-7/month_{n:03}", "--as-of", day, "--once", *more)
        for n, day in enumerate(days)
    ]


THREE = ("2024-01-31", "2024-02-29", "2024-03-31")


def test_months_are_loaded_in_order_and_only_those_that_are_not(database: str) -> None:
    done = lines(streamflow(*joined(*months(*THREE[:2], more=("--materialize",)))))
    assert [one["command"] for one in done] == ["ingest", "materialize"] * 2
    query = "SELECT parameters->>'as_of' FROM ops.runs WHERE command = 'ingest' ORDER BY run"
    assert execute(query) == [(THREE[0],), (THREE[1],)]
    done = lines(streamflow(*joined(*months(*THREE, more=("--materialize",)))))
    assert [one.get("message", "")[:13] for one in done] == ["nothing to do"] * 4 + [""] * 2
    assert execute(query) == [(day,) for day in THREE]
    lines(streamflow(*joined(*months(*THREE)[1:])))  # an old month is taken out
    assert execute(query) == [(day,) for day in THREE]


def refused(folder: Path) -> Path:
    """Spoils a month so that it is refused."""
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text.replace("False", "perhaps", 1))
    return folder


def test_a_refused_month_keeps_no_other_from_being_loaded(
    database: str, small_months: Path, tmp_path: Path
) -> None:
    bad = refused(Path(shutil.copytree(small_months / "month_000", tmp_path / "bad")))
    january, february, march = months(*THREE)
    works = (january, ("ingest", str(bad), "--as-of", THREE[1], "--once"), march)
    ended = streamflow(*joined(*works))
    assert [one["outcome"] for one in lines(ended, code=3)] == ["done", "refused", "done"]
    assert ended.stderr.splitlines()[-1] == (
        f"error: 1 of 3 commands did not end well: ingest {bad} --as-of 2024-02-29 --once (code 3)"
    )
    assert "labels.csv:2 churn_label = 'perhaps'" in ended.stderr
    ended = streamflow(*joined(january, february, march))
    assert [one["outcome"] for one in lines(ended)] == ["done"] * 3


@pytest.mark.parametrize(
    ("codes", "whole"),
    [((0, 3, 0), 3), ((2, 3), 3), ((3, 1, 2), 1), ((2, 0), 2), ((0, 0), 0), ((1,), 1)],
    ids=str,
)
def test_it_ends_with_what_tells_whether_another_attempt_is_of_use(
    database: str, small_months: Path, tmp_path: Path, codes: tuple[int, ...], whole: int
) -> None:
    bad = refused(Path(shutil.copytree(small_months / "month_000", tmp_path / "bad")))
    works = {
        0: ("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31", "--once"),
        1: ("features", "nobody"),
        2: ("ingest", str(tmp_path / "nowhere"), "--as-of", "2024-01-31"),
        3: ("ingest", str(bad), "--as-of", "2024-01-31"),
    }
    ended = streamflow(*joined(*(works[code] for code in codes)))
    assert ended.exit_code == whole, ended.stderr
    assert len(re.findall(r"\(code \d\)", ended.stderr)) == len([one for one in codes if one])


def test_a_database_that_is_away_ends_it_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    ended = streamflow(*joined(*months(*THREE)))
    assert [one["outcome"] for one in lines(ended, code=1)] == ["failed"]
    assert "the database does not answer, 2 commands were left to the next attempt" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["--then"], "a command is missing"),
        (["ingest", "x", "--as-of", "2024-01-31", "--then"], "a command is missing"),
        (["nonsense"], "No such command 'nonsense'"),
        (["runs", "--then", "batch", "runs"], "batch within batch"),
        (["runs", "--then", "ingest"], "Missing argument"),
        (["ingest", "x", "--as-of", "31.1.2024"], "is not a day"),
    ],
    ids=str,
)
def test_wrong_use_ends_with_2(database: str, arguments: list[str], said: str) -> None:
    ended = streamflow("batch", *arguments)
    assert (ended.exit_code, said in ended.stderr) == (2, True), ended.stderr


def test_a_password_in_a_url_is_not_told(database: str) -> None:
    ended = streamflow("batch", "ingest", "s3://a/b?sig=secret", "--as-of", "2999-01-31")
    assert ended.exit_code != 0
    assert "s3://a/b?***" in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout


@pytest.mark.slow
def test_all_waits_of_a_batch_together_take_no_longer_than_one(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    # For this module alone: threads of other tests' servers sleep as well.
    stopped = SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0])
    monkeypatch.setattr(waiting, "time", stopped)
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "300")
    works = [
        ("training-set", "--as-of", day, "--out", str(tmp_path / day), "--allow-empty")
        for day in THREE
    ]
    done = lines(streamflow(*joined(*works)))
    assert [one["message"][:15] for one in done] == ["nothing written"] * 3
    assert 300 <= sum(slept) <= 310
    lines(streamflow(*works[0]))
    assert 600 <= sum(slept) <= 620  # one that is none of a batch waits for itself


@pytest.mark.slow
def test_a_training_set_waits_for_its_labels_as_long_as_months_are_loaded(
    database: str, small_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "1")
    monkeypatch.setattr(waiting, "EVERY_S", 0.05)
    began, go_on = threading.Event(), threading.Event()

    def load() -> None:
        with recorded("ingest", source="elsewhere", as_of=date(2023, 12, 31)):
            began.set()
            go_on.wait(60)
        with recorded("ingest", source="x", as_of=date(2024, 1, 31)) as run:
            ingest(run, small_months / "month_000", date(2024, 1, 31))

    loading = threading.Thread(target=load)
    loading.start()
    began.wait(30)
    threading.Timer(3, go_on.set).start()  # longer than it waits for nothing
    out = str(tmp_path / "t.parquet")
    try:
        (done,) = lines(streamflow("training-set", "--as-of", "2024-01-31", "--out", out))
    finally:
        go_on.set()
        loading.join()
    assert done["rows"]["written"] == 50


@pytest.mark.slow
def test_a_training_set_is_built_after_the_months_that_it_is_made_of(
    database: str, small_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corrected month is loaded beside it: labels were there before, so they tell nothing."""
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "60")
    monkeypatch.setattr(waiting, "EVERY_S", 0.05)
    first = ("ingest", str(small_months / "month_000"), "--as-of", THREE[0], "--once")
    out = str(tmp_path / "t.parquet")
    training = ("training-set", "--as-of", THREE[0], "--out", out, "--if-stale")
    lines(streamflow(*joined(first, training)))

    corrected = Path(shutil.copytree(small_months / "month_000", tmp_path / "corrected"))
    text = (corrected / "support_agg_90d.csv").read_text()
    (corrected / "support_agg_90d.csv").write_text(text.replace("0002-ORFBO,2,", "0002-ORFBO,3,"))

    def load() -> None:
        with recorded("ingest", source=str(corrected), as_of=THREE[0], revision="2") as run:
            ingest(run, corrected, date(2024, 1, 31))

    loading = threading.Timer(2, load)
    loading.start()
    wanted = ("--loaded", f"{THREE[0]} 2 {corrected}")
    try:
        (built,) = lines(streamflow(*joined(("wait", "--for", "months", *wanted), training)))
    finally:
        loading.join()
    assert "message" not in built


def test_what_is_built_without_a_month_is_built_again_by_the_next_attempt(
    database: str, small_months: Path, tmp_path: Path
) -> None:
    january, february = (
        ("ingest", str(small_months / f"month_00{number}"), "--as-of", THREE[number])
        for number in (0, 1)
    )
    lines(streamflow(*february))
    loaded = [word for one in (january, february) for word in ("--loaded", f"{one[3]} - {one[1]}")]
    training = ("training-set", "--as-of", THREE[1], "--out", str(tmp_path / "t.parquet"))
    work = joined(("wait", "--for", "months", *loaded), (*training, "--if-stale"))
    (first,) = lines(streamflow(*work), code=1)
    lines(streamflow(*january))
    (second,) = lines(streamflow(*work))
    (third,) = lines(streamflow(*work))
    assert first["run"] < second["run"] == third["run"]


def test_months_that_do_not_come_are_named(
    database: str, small_months: Path, tmp_path: Path
) -> None:
    lines(streamflow("ingest", str(small_months / "month_000"), "--as-of", THREE[0]))
    wanted = [
        *("--loaded", f"{THREE[0]} - {small_months / 'month_000'}"),
        *("--loaded", f"{THREE[1]} - s3://months/2024-02?sig=secret"),
        *("--loaded", f"{THREE[0]} 2 a folder with blanks"),
    ]
    ended = streamflow("wait", "--for", "months", *wanted)
    assert ended.exit_code == 1, ended.stderr
    said = (
        f"error: months are not loaded: {THREE[1]} from s3://months/2024-02?***; "
        f"{THREE[0]} from a folder with blanks (2)"
    )
    assert said in ended.stderr
    assert "secret" not in ended.stderr
    assert streamflow("wait", "--for", "months", *wanted[:2]).stderr == ""
    for wrong in (("--for", "months"), ("--for", "months", "--loaded", "2024-01-31"), wanted[:2]):
        assert streamflow("wait", *wrong).exit_code == 2, wrong


def test_a_sample_month_is_the_one_that_sample_writes(
    database: str, small_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.ingest.source import local_folder

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with local_folder("sample://users-50/seed-7/month_001") as folder:
        for file in (small_months / "month_001").iterdir():
            assert (folder / file.name).read_bytes() == file.read_bytes(), file.name
        assert sorted(os.listdir(folder)) == sorted(os.listdir(small_months / "month_001"))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sample://month_000", "write it like sample://users-7043/seed-7/month_000"),
        ("sample://users-9/seed-7/month_000", "--users 9 is not allowed"),
        ("sample://users-10/seed-7/month_999", "is not allowed: give 1 to 120"),
        ("sample://users-10/seed-x/month_000", "write it like"),
        ("sample://users-10/seed-7/../month_000", "write it like"),
    ],
)
def test_a_sample_month_that_cannot_be_is_told(database: str, url: str, said: str) -> None:
    ended = streamflow("ingest", url, "--as-of", "2024-01-31")
    assert (ended.exit_code, said in ended.stderr) == (2, True), ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["outcome"] == "failed"


def test_each_role_may_ask_the_ledger_for_what_it_does(
    names: Names, database: str, tmp_path: Path
) -> None:
    done(db_roles(names))
    out = str(tmp_path / "t.parquet")
    training = ("training-set", "--as-of", THREE[0], "--out", out, "--if-stale")
    for again in ("", "nothing to do"):
        with acting(names.writer):
            january = months(THREE[0], more=("--materialize",))
            forced = ("materialize", "--force", "--once")
            found = lines(streamflow(*joined(*january, forced)))
            assert [one.get("message", "")[:13] for one in found] == [again] * 3
        with acting(names.trainer):
            (built,) = lines(streamflow(*joined(training)))
            assert built.get("message", "")[:13] == again


@pytest.mark.slow
def test_sixty_months_are_loaded_once(database: str) -> None:
    days = [str(date(2024, 1, 31) + timedelta(days=day)) for day in range(60)]
    works: list[Any] = months(*days)
    lines(streamflow(*joined(*works[:59])))
    before = len(commands())
    done = lines(streamflow(*joined(*works)))
    assert [one["outcome"] for one in done] == ["done"] * 60
    assert len(commands()) == before + 1
    lines(streamflow(*joined(*works[30:])))
    assert len(commands()) == before + 1
