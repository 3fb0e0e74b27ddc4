"""`streamflow fetch-definitions`: a feature repository out of one commit of a git repository."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jobs.command_line.report import reporting
from jobs.run import console, waiting


def fetch_definitions(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The git repository: https://… or ssh://git@….")
    ],
    commit: Annotated[str, typer.Option(metavar="HASH", help="The commit, by its whole hash.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the files.")],
    ref: Annotated[
        str, typer.Option(metavar="NAME", help="Branch or tag that has to be at that commit.")
    ] = "",
    path: Annotated[
        str, typer.Option(metavar="DIR", help="Folder in the repository; its root without.")
    ] = "",
    credentials: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with the files username and password (a token), or ssh-privatekey and"
            " known_hosts; ca.crt for a server's own authority.",
        ),
    ] = None,
) -> None:
    """Fetch the files of a feature repository from git, of one commit, all of them or none."""
    with reporting(database=False):
        count = fetch(url, commit, ref, path, credentials, out)
        console.say(f"{out}: {count} files of commit {commit}")


def fetch(url: str, commit: str, ref: str, path: str, credentials: Path | None, out: Path) -> int:
    """Writes a folder of a commit to a new folder; returns the number of its files.

    Waits for a server that does not answer, as long as STREAMFLOW_WAIT_S says.
    """
    from dulwich.repo import Repo

    from jobs.git import credentials as known
    from jobs.git.fetch import fetch as fetch_commit
    from jobs.git.folder import files_of, write

    login = known.read(credentials)

    def once() -> int:
        with tempfile.TemporaryDirectory(prefix="git-") as scratch:
            repo = Repo.init_bare(scratch)
            try:
                found = fetch_commit(url, commit, ref, login, repo)
                files = files_of(repo, found, path)
            finally:
                repo.close()
            write(files, out)
            return len(files)

    return waiting.until(once, "the git server")
