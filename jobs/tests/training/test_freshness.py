"""A training set is built again exactly when the database would give another one."""

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobs.tests.acting import EXPLICIT, copy_repository, execute, streamflow
from jobs.tests.commands.test_once import age_and_tidy, lines
from jobs.training import freshness as training_freshness
from jobs.training.freshness import definitions_of
from jobs.training.target import Target
from streamflow import training

JANUARY, FEBRUARY = "2024-01-31", "2024-02-29"


@pytest.fixture
def january(database: str, small_months: Path) -> None:
    """January is loaded."""
    load(small_months / "month_000", JANUARY)


def load(folder: Path | str, day: str) -> None:
    """Loads a month."""
    lines(streamflow("ingest", str(folder), "--as-of", day))


def build(out: Path, *more: str) -> dict[str, Any]:
    """The line that ends a training set which is built where it is stale."""
    arguments = ("--as-of", JANUARY, "--out", str(out), "--if-stale", *more)
    (found,) = lines(streamflow("training-set", *arguments))
    return found


def is_built(out: Path, *more: str) -> bool:
    """True if the command builds a training set instead of finding it current."""
    runs = execute("SELECT count(*) FROM ops.runs WHERE command = 'training-set'")
    said = build(out, *more)
    built = execute("SELECT count(*) FROM ops.runs WHERE command = 'training-set'") != runs
    assert built != said.get("message", "").startswith("nothing to do: ")
    assert built == (said["rows"]["written"] == 50)
    return built


@pytest.mark.usefixtures("january")
def test_it_is_built_once_for_the_same_data(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    first = build(out)
    assert first["rows"]["written"] == 50
    before = out.stat()
    again = build(out)
    assert again["run"] == first["run"]
    assert again["message"].startswith(f"nothing to do: run {first['run']} built ")
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert is_built(tmp_path / "other.parquet")
    assert is_built(tmp_path / "p.parquet", "--service", "profile_v1")
    assert not is_built(tmp_path / "p.parquet", "--service", "profile_v1")
    execute("UPDATE ops.runs SET project = 'another' WHERE command = 'training-set'")
    assert is_built(out)


@pytest.mark.slow
@pytest.mark.usefixtures("january")
def test_months_up_to_its_day_make_it_stale_and_others_do_not(
    small_months: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    assert is_built(out)
    load(small_months / "month_001", FEBRUARY)
    load(small_months / "month_000", JANUARY)  # changes nothing
    assert not is_built(out)
    changed = Path(shutil.copytree(small_months / "month_000", tmp_path / "month"))
    text = (changed / "support_agg_90d.csv").read_text()
    (changed / "support_agg_90d.csv").write_text(text.replace("0002-ORFBO,2,", "0002-ORFBO,3,"))
    load(changed, JANUARY)
    assert is_built(out)
    assert not is_built(out)
    load(small_months / "month_001", "2023-12-31")
    assert is_built(out)


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize("state", ["alive", "killed", "found killed"])
def test_a_load_that_had_not_ended_makes_it_stale(tmp_path: Path, state: str) -> None:
    from jobs.run.entry import LOCK_CLASS

    out = tmp_path / "t.parquet"
    with psycopg.connect(autocommit=True) as connection:
        ((run,),) = connection.execute(
            "INSERT INTO ops.runs (command, parameters, versions)"
            """ VALUES ('ingest', '{"as_of": "2024-01-31"}', '{}') RETURNING run"""
        ).fetchall()
        if state == "alive":
            connection.execute("SELECT pg_advisory_lock(%s, %s::integer)", [LOCK_CLASS, run])
        if state == "found killed":
            connection.execute("UPDATE ops.runs SET outcome = 'killed' WHERE run = %s", [run])
        assert is_built(out)
        assert is_built(out)
    execute("UPDATE ops.runs SET started_at = started_at - interval '2 days' WHERE run = %s", run)
    assert not is_built(out)


@pytest.mark.usefixtures("january")
def test_it_is_current_after_years(tmp_path: Path) -> None:
    assert is_built(tmp_path / "t.parquet")
    age_and_tidy()
    assert not is_built(tmp_path / "t.parquet")


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize("gone", ["t.parquet", "t.parquet.manifest.json"])
def test_a_file_that_is_gone_is_built_again(tmp_path: Path, gone: str) -> None:
    assert is_built(tmp_path / "t.parquet")
    (tmp_path / gone).unlink()
    assert is_built(tmp_path / "t.parquet")


@pytest.mark.slow
@pytest.mark.usefixtures("january")
def test_a_file_of_another_service_or_version_is_built_again(tmp_path: Path) -> None:
    out, manifest = tmp_path / "t.parquet", tmp_path / "t.parquet.manifest.json"
    assert is_built(out)
    for before, after in (
        ('"contract": "', '"contract": "0'),
        ('"definitions": "', '"definitions": "0'),
        ('"as_of": "2024-01-31"', '"as_of": "2024-02-29"'),
        ('"definitions": ', '"unknown": '),
    ):
        text = manifest.read_text()
        assert before in text
        manifest.write_text(text.replace(before, after))
        assert is_built(out), after
    text = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in text if '"definitions"' not in line))
    assert is_built(out)  # of a version that noted none


def test_a_day_without_labels_is_tried_again(
    database: str, small_months: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    assert build(out, "--allow-empty")["message"].startswith("nothing written: no labels")
    load(small_months / "month_000", JANUARY)
    assert is_built(out, "--allow-empty")


def changed_definitions(folder: Path, before: str, after: str) -> dict[str, str]:
    """An environment whose definitions have `after` where ours have `before`."""
    folder.mkdir()
    copy_repository(folder)
    text = (folder / "definitions.py").read_text()
    assert before in text
    (folder / "definitions.py").write_text(text.replace(before, after))
    return {"STREAMFLOW_FEATURE_REPO": str(folder)}


@pytest.mark.slow
@pytest.mark.usefixtures("january")
def test_other_rules_for_values_make_it_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "t.parquet", tmp_path / "other"
    assert is_built(out)
    shutil.copytree(training_freshness.LIBRARY, other, ignore=shutil.ignore_patterns("tests"))
    monkeypatch.setattr(training_freshness, "LIBRARY", other)
    (other / "online" / "read.py").write_text("# another way to read")
    assert not is_built(out)
    values = ("sources/values.py", "offline/join/newest.py", "feast/training.py")
    for rule in (*values, "expressions/evaluate.py", "feast/computed.py"):
        (other / rule).write_text("# another rule")
        assert is_built(out), rule
        assert not is_built(out), rule


def test_definitions_are_a_services_own(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query of a service's own source counts, with an equal contract; other views do not."""

    def hashes() -> list[str]:
        with training.features_of("churn_v1") as churn, training.features_of("profile_v1") as other:
            return [definitions_of(churn), definitions_of(other)]

    churn, profile = hashes()
    assert churn != profile
    assert hashes() == [churn, profile]
    lines(streamflow("materialize"))
    assert hashes() == [churn, profile]
    source = "support_tickets_90d"
    text = EXPLICIT.read_text()
    query = next(line for line in text.splitlines() if source in line and "SELECT" in line.upper())
    new = changed_definitions(tmp_path / "repo", query, query.replace(source, f"0 AS {source}"))
    for name, value in new.items():
        monkeypatch.setenv(name, value)
    assert streamflow("apply").exit_code == 0
    changed, same = hashes()
    assert changed != churn
    assert same == profile


@pytest.mark.slow
@pytest.mark.usefixtures("january")
def test_a_service_need_not_be_named_where_there_is_one(repo: Path, tmp_path: Path) -> None:
    file = repo / "definitions.py"
    text = file.read_text().replace("churn_v1", "risk_v1")
    file.write_text(text)
    lines(streamflow("apply", "--allow-removal"))
    done = streamflow("training-set", "--as-of", JANUARY, "--out", str(tmp_path / "t.parquet"))
    assert done.exit_code == 2
    assert "has several feature services; name one with --service: profile_v1, risk_v1" in (
        done.stderr
    )
    file.write_text(text[: text.index("profile_v1 = FeatureService(")])
    lines(streamflow("apply", "--allow-removal"))
    out = tmp_path / "t.parquet"
    assert is_built(out)
    assert not is_built(out)
    assert Target(str(out)).description().service == "risk_v1"
    file.write_text(text.replace("risk_v1", "churn_v1"))
    lines(streamflow("apply", "--allow-removal"))
    assert is_built(out)
    assert Target(str(out)).description().service == "churn_v1"
