"""Fetches one commit of a git repository over HTTPS or SSH, without git: the image has none."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from dulwich.client import GitClient, HttpGitClient, InvalidWants, SSHGitClient
from dulwich.config import ConfigDict
from dulwich.errors import GitProtocolError
from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from urllib3.exceptions import HTTPError

from jobs.git.credentials import AUTHORITY, Credentials
from jobs.git.errors import explained
from jobs.git.ssh import Paramiko
from streamflow.errors import ConfigurationError, shorten

HASH = re.compile(r"[0-9a-f]{40}")
TIMEOUT_S = 30
"""Seconds without a byte after which a server does not answer."""
NAMED = 10
"""The most refs that a message names."""
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
"""It warns of each attempt, of which the last is an error of ours."""


def require_commit(text: str) -> ObjectID:
    """A whole commit hash; a shorter one, or a branch, may mean another commit tomorrow.

    Raises:
        ConfigurationError: it is none.
    """
    if not HASH.fullmatch(text):
        raise ConfigurationError(
            f"{shorten(text)} is no whole commit hash, 40 of 0-9 and a-f: `git rev-parse REF`"
            " prints the one of a branch or tag"
        )
    return ObjectID(text.encode())


def client_of(url: str, credentials: Credentials) -> tuple[GitClient, str]:
    """The client for the server of a URL, and the repository's path there.

    Raises:
        ConfigurationError: the URL is not one of https://, http:// or ssh://, or a password would
            travel readable for all.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{shorten(url)} is no URL: {error}") from None
    if parts.scheme not in ("https", "http", "ssh") or not host or not parts.path.strip("/"):
        form = "https://HOST/PATH or ssh://git@HOST/PATH"
        scp = re.fullmatch(r"([\w.-]+@)?([\w.-]+):(?!//)(.+)", url)
        mend = f"write ssh://{scp[1] or 'git@'}{scp[2]}/{scp[3]}" if scp else f"write {form}"
        raise ConfigurationError(f"{shorten(url)} is no address of a git repository: {mend}")
    if parts.scheme == "ssh":
        vendor = Paramiko(credentials)
        return SSHGitClient(host, port, parts.username, vendor=vendor, quiet=True), parts.path
    if parts.scheme == "http" and credentials.password:
        raise ConfigurationError(f"{url}: a password goes over https:// alone")
    config = ConfigDict()
    if authority := credentials.file(AUTHORITY):
        config.set((b"http",), b"sslCAInfo", str(authority).encode())
    client = HttpGitClient(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/",
        config=config,
        username=credentials.username or None,
        password=credentials.password or None,
        timeout=TIMEOUT_S,
        quiet=True,
    )
    return client, parts.path


def fetch(url: str, commit: str, ref: str, credentials: Credentials, repo: Repo) -> Commit:
    """Puts a commit with its files into an empty repository.

    Args:
        url: where it is; https://, http:// or ssh://.
        commit: its whole hash.
        ref: branch or tag that has to be at it; empty: none has to.
        credentials: what the server wants to see.
        repo: the repository to fill.

    Raises:
        ConfigurationError: the repository, the commit or the ref is not there, the ref is
            elsewhere, or the credentials are not the server's.
        ServerUnavailable: the server does not answer.
    """
    wanted = require_commit(commit)
    client, path = client_of(url, credentials)

    def wanting(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        if any(len(one) != len(wanted) for one in refs.values()):
            raise ConfigurationError(f"{url} has hashes of SHA-256, which cannot be fetched")
        return [wanted]

    with explained(url), closing_connections(client):
        if ref:
            require_at(ref, commit, client.get_refs(path.encode()).refs, url)
        try:
            client.fetch(path, repo, wanting, depth=1)
        except (InvalidWants, GitProtocolError) as error:
            if isinstance(error.__cause__, HTTPError):
                raise
            # Servers of the older protocol, and some of the newer, hand out what a branch or tag is
            # at and what leads there; others hang up on a commit that they have not.
            client.fetch(path, repo)
    if wanted not in repo.object_store:
        raise ConfigurationError(
            f"{url} has no commit {commit}: no branch or tag leads to it, or not any more"
        )
    found = repo[wanted]
    if not isinstance(found, Commit):
        raise ConfigurationError(f"{commit} of {url} is a {found.type_name.decode()}, no commit")
    return found


@contextmanager
def closing_connections(client: GitClient) -> Iterator[None]:
    """Closes what a client over HTTP keeps open for further requests."""
    try:
        yield
    finally:
        if isinstance(client, HttpGitClient):
            client.pool_manager.clear()


def require_at(ref: str, commit: str, refs: Mapping[Ref, ObjectID | None], url: str) -> None:
    """Refuses a branch or tag that is not at a commit.

    Raises:
        ConfigurationError: it is elsewhere, is not there, or is a branch and a tag.
    """
    heads = ("refs/heads/", "refs/tags/")
    names = [ref] if ref.startswith("refs/") else [f"{head}{ref}" for head in heads]
    found = [name for name in names if Ref(name.encode()) in refs]
    if not found:
        known = sorted(
            name.removeprefix(head)
            for name in (one.decode(errors="replace") for one in refs if not one.endswith(b"^{}"))
            for head in heads
            if name.startswith(head)
        )
        more = f", and {len(known) - NAMED} more" if len(known) > NAMED else ""
        there = f"{', '.join(known[:NAMED])}{more}" or "none"
        raise ConfigurationError(
            f"{url} has no branch or tag {shorten(ref)}, or not any more; it has: {there}"
        )
    if len(found) > 1:
        raise ConfigurationError(f"{url} has {' and '.join(found)}: name one of the two in full")
    (name,) = found
    # Of an annotated tag, the commit that it is about.
    at = refs.get(Ref(f"{name}^{{}}".encode())) or refs[Ref(name.encode())] or b""
    if at.decode() != commit:
        raise ConfigurationError(
            f"{ref} of {url} is at {at.decode()}, not at {commit}: it has moved; name that commit"
            " where its definitions are meant, or leave the branch or tag out"
        )
