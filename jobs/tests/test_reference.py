"""docs/cli.md is what the commands say of themselves."""

from pathlib import Path

from jobs.reference import page

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_of_the_commands_is_as_make_docs_writes_it() -> None:
    assert PAGE.read_text() == page(), "run: make docs"


def test_it_has_every_command_with_its_options() -> None:
    text = page()
    for heading in ("streamflow materialize", "streamflow restore prepare", "streamflow db roles"):
        assert f"\n## {heading}\n" in text
    assert "| `--read-only` |" in text
