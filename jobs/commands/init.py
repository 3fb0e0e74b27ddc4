"""`streamflow init`: a new feature repository, small and complete, to begin with."""

import re
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from jobs.command_line.report import reporting
from jobs.run import console
from streamflow.errors import ConfigurationError, shorten

TEMPLATES = {"feature_store.yaml": "feature_store.yaml", "definitions.txt": "definitions.py"}
"""By name in `jobs/new_repository`, the file that a repository has."""
PROJECT = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
"""A project's name, of Feast's names those that need no quotes in a shell or in SQL."""
LONGEST = 48
"""Characters of a project's name, which the names of tables begin with; PostgreSQL cuts at 63."""


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="NAME", help="Folder to make; its name is the project's.")
    ],
) -> None:
    """Write a small feature repository that works, and print the commands that come next."""
    with reporting(database=False):
        write(folder)
    for name, meaning in (
        ("feature_store.yaml", "where features are kept: the three classes"),
        ("definitions.py", "entities, a source, a view and a service to replace by your own"),
    ):
        console.say(f"{folder / name}: {meaning}")
    console.say(f"""
Next:
  streamflow apply --repo {folder}
  streamflow materialize --repo {folder}
  streamflow features --repo {folder} account_id=anna,device_id=1""")


def write(folder: Path) -> None:
    """Writes the files of a new repository into a new folder, all of them or none.

    Raises:
        ConfigurationError: the folder is there already, cannot be made, or has a name that no
            project can have.
    """
    project = folder.resolve().name
    if not PROJECT.fullmatch(project) or len(project) > LONGEST:
        raise ConfigurationError(
            f"{shorten(project)} is no name for a project: letters without accents, digits and _,"
            f" {LONGEST} at most, and no _ at the beginning"
        )
    if folder.exists() or folder.is_symlink():
        raise ConfigurationError(f"{folder} is there already; nothing was written")
    source = files("jobs") / "new_repository"
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{project}-") as scratch:
            made = Path(scratch) / project
            made.mkdir()
            for template, name in TEMPLATES.items():
                text = (source / template).read_text()
                (made / name).write_text(text.replace("PROJECT", project))
            made.rename(folder)
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}; nothing was written") from None
