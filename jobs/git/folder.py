"""Writes a folder of a commit to the disk, whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import Repo

from streamflow.errors import ConfigurationError, shorten

LARGEST = 64 * 1024 * 1024
"""Bytes that all files of the folder may have: definitions are text."""
MOST = 10_000
"""The most files of the folder."""
FILE, PROGRAM, FOLDER, LINK, SUBMODULE = 0o100644, 0o100755, 0o40000, 0o120000, 0o160000
NEEDED = "feature_store.yaml"

Files = dict[Path, bytes]


def files_of(repo: Repo, commit: Commit, path: str) -> Files:
    """The files in a folder of a commit, by their paths in it.

    Raises:
        ConfigurationError: there is no such folder, it is no feature repository, or it has what is
            no file, or too much.
    """
    tree = folder_of(repo, commit, path)
    where = f"{path.strip('/') or 'the root'} of commit {commit.id.decode()}"
    files: Files = {}
    left = LARGEST
    for name, blob in walk(repo, tree, Path(), where):
        left -= blob.raw_length()
        if left < 0 or len(files) >= MOST:
            raise ConfigurationError(
                f"{where} has more than {MOST:,} files or {LARGEST >> 20} MiB: name the folder with"
                " the definitions alone"
            )
        files[name] = blob.data
    if Path(NEEDED) not in files:
        there = ", ".join(sorted({name.parts[0] for name in files})[:10]) or "nothing"
        raise ConfigurationError(
            f"{where} is no feature repository: it has no {NEEDED}; it has: {there}"
        )
    return files


def folder_of(repo: Repo, commit: Commit, path: str) -> Tree:
    """The tree of a folder.

    Raises:
        ConfigurationError: the commit has no such folder.
    """
    tree = tree_of(repo, commit.tree)
    for part in filter(None, path.split("/")):
        entries = {entry.path: entry for entry in tree.items()}
        entry = entries.get(part.encode())
        if entry is None or entry.mode != FOLDER:
            known = ", ".join(one.decode(errors="replace") for one in sorted(entries)[:10])
            raise ConfigurationError(
                f"commit {commit.id.decode()} has no folder {shorten(path)}: there is no folder"
                f" {shorten(part)} among: {known}"
            )
        tree = tree_of(repo, entry.sha)
    return tree


def tree_of(repo: Repo, name: ObjectID) -> Tree:
    """The tree of a name.

    Raises:
        ConfigurationError: it is of another kind, in a repository that was not made by git.
    """
    found = repo[name]
    if not isinstance(found, Tree):
        raise ConfigurationError(f"{name.decode()} is no tree, though it is named as one")
    return found


def walk(repo: Repo, tree: Tree, above: Path, where: str) -> Iterator[tuple[Path, Blob]]:
    """Yields the files of a tree and of those below it.

    Raises:
        ConfigurationError: there is a link, a submodule, or a name that leads elsewhere.
    """
    for entry in tree.items():
        name = entry.path.decode(errors="replace")
        path = above / name
        if (
            name in ("", ".", "..")
            or name.lower() == ".git"
            or {"/", "\\", "\0", "\ufffd"} & {*name}
        ):
            raise ConfigurationError(f"{where} has a file that is called {shorten(str(path))}")
        if entry.mode == FOLDER:
            yield from walk(repo, tree_of(repo, entry.sha), path, where)
        elif entry.mode in (LINK, SUBMODULE):
            kind = "a symbolic link" if entry.mode == LINK else "a submodule"
            raise ConfigurationError(f"{where}: {path} is {kind}; put the files themselves there")
        elif isinstance(blob := repo[entry.sha], Blob):
            yield path, blob
        else:
            raise ConfigurationError(f"{where}: {path} is no file, though it is named as one")


def write(files: Files, out: Path) -> None:
    """Writes files into a new folder, all of them or none; a folder that has just these stays.

    Raises:
        ConfigurationError: the folder is there with others, or cannot be written.
    """
    if out.exists() or out.is_symlink():
        if has_just(out, files):
            return
        raise ConfigurationError(f"{out} is there already, with other files; nothing was written")
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            made = Path(scratch) / out.name
            for name, content in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(content)
            made.rename(out)
    except OSError as error:
        raise ConfigurationError(f"{out}: {error.strerror}; nothing was written") from None


def has_just(folder: Path, files: Files) -> bool:
    """True if a folder has these files and no others."""
    found = {
        (Path(root) / name).relative_to(folder)
        for root, _, names in os.walk(folder)
        for name in names
    }
    return found == files.keys() and all(
        (folder / name).read_bytes() == content for name, content in files.items()
    )
