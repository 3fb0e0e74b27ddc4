"""Tests of `streamflow fetch-definitions` against git's own servers, over HTTP, TLS and ssh."""

import gc
import ssl
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from dulwich.objects import Commit, Tree
from dulwich.repo import Repo
from kit import certificates

from jobs.commands.init import write
from jobs.git.errors import NO_REPOSITORY
from jobs.tests.acting import streamflow
from jobs.tests.git.servers import TOKEN, committed, git, http_server, ssh_server

NOWHERE = "12" * 20

# dulwich leaves the connection open over which a server refused it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Has what was left open found in the test that left it."""
    yield
    gc.collect()


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A git repository with a feature repository in its folder `features/shop`."""
    folder = tmp_path / "team"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "features").mkdir()
    write(folder / "features" / "shop")
    committed(folder, {"README.md": "a shop\n"})
    return folder


def head(team: Path) -> str:
    """The commit that the team is at."""
    return git(team, "rev-parse", "HEAD")


def fetched(url: str, commit: str, out: Path, *options: str) -> None:
    """Fetches from the team's repository, and fails unless that works."""
    ended = streamflow(
        "fetch-definitions", f"{url}/team/.git", "--commit", commit, "--out", str(out), *options
    )
    assert ended.exit_code == 0, ended.output


def refusal(url: str, commit: str, *options: str, out: str = "nowhere", code: int = 2) -> str:
    """The one line that the command ends with."""
    words = ("fetch-definitions", url, "--commit", commit, "--out", out, *options)
    ended = streamflow(*words)
    assert ended.exit_code == code, ended.output
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("error:")]
    assert not Path(out).exists() or out != "nowhere"
    return line


@pytest.mark.parametrize("oldest", [False, True], ids=["protocol-2", "protocol-0"])
def test_a_folder_of_a_commit_is_written_as_it_was(
    team: Path, tmp_path: Path, oldest: bool
) -> None:
    commit = head(team)
    before = (team / "features/shop/definitions.py").read_bytes()
    committed(team, {"features/shop/definitions.py": "broken\n", "features/shop/sub/a.py": ""})
    with http_server(tmp_path, oldest=oldest) as url:
        fetched(url, commit, tmp_path / "out", "--path", "features/shop")
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        "feature_store.yaml",
        "definitions.py",
    }
    assert (tmp_path / "out" / "definitions.py").read_bytes() == before


def test_again_is_no_error_and_other_files_are_never_lost(team: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with http_server(tmp_path) as url:
        for _ in range(2):
            fetched(url, head(team), out, "--path", "features/shop", "--ref", "main")
        (out / "definitions.py").write_text("my own\n")
        path = ("--path", "features/shop")
        said = refusal(f"{url}/team/.git", head(team), *path, out=str(out))
    assert "out is there already, with other files; nothing was written" in said
    assert (out / "definitions.py").read_text() == "my own\n"


def test_a_branch_and_a_tag_have_to_be_at_the_commit(team: Path, tmp_path: Path) -> None:
    first = head(team)
    git(team, "tag", "light")
    git(team, "tag", "--annotate", "v1", "--message", "first")
    with http_server(tmp_path) as url:
        for index, ref in enumerate(("main", "light", "v1", "refs/heads/main")):
            fetched(url, first, tmp_path / str(index), "--ref", ref, "--path", "features/shop")
        second = committed(team, {"README.md": "moved\n"})
        here = f"{url}/team/.git"
        assert refusal(here, first, "--ref", "main") == (
            f"error: main of {here} is at {second}, not at {first}: it has moved; name that commit"
            " where its definitions are meant, or leave the branch or tag out"
        )
        fetched(url, first, tmp_path / "tag", "--ref", "v1", "--path", "features/shop")
        git(team, "tag", "--delete", "v1")
        assert refusal(here, first, "--ref", "v1") == (
            f"error: {here} has no branch or tag 'v1', or not any more; it has: light, main"
        )
        git(team, "tag", "main")
        assert "has refs/heads/main and refs/tags/main: name one of the two" in refusal(
            here, second, "--ref", "main"
        )


@pytest.mark.parametrize("oldest", [False, True], ids=["protocol-2", "protocol-0"])
def test_a_commit_that_vanished_is_one_line(team: Path, tmp_path: Path, oldest: bool) -> None:
    with http_server(tmp_path, oldest=oldest) as url:
        assert refusal(f"{url}/team/.git", NOWHERE) == (
            f"error: {url}/team/.git has no commit {NOWHERE}: no branch or tag leads to it, or not"
            " any more"
        )


def test_a_repository_with_nothing_in_it_or_other_hashes_is_one_line(tmp_path: Path) -> None:
    for name, form in (("empty", "sha1"), ("longer", "sha256")):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "--quiet", f"--object-format={form}")
    committed(tmp_path / "longer", {"feature_store.yaml": ""})
    with http_server(tmp_path) as url:
        empty = f"{url}/empty/.git"
        assert "has no commit" in refusal(empty, NOWHERE)
        assert refusal(empty, NOWHERE, "--ref", "main").endswith("or not any more; it has: none")
        assert refusal(f"{url}/longer/.git", NOWHERE) == (
            f"error: {url}/longer/.git has hashes of SHA-256, which cannot be fetched"
        )


def test_what_is_no_address_or_no_commit_is_refused(tmp_path: Path) -> None:
    assert "write ssh://git@github.com/team/shop.git" in refusal(
        "git@github.com:team/shop.git", NOWHERE
    )
    for url in ("shop", "ftp://a/b", "https://", "https://host", "file:///a", "https://[/a"):
        assert "error:" in refusal(url, NOWHERE), url
    assert "a password in a URL" in refusal("https://a:b@host/team.git", NOWHERE)
    for commit in ("main", "abc1234", NOWHERE.replace("1", "F"), "ü" * 40):
        assert "is no whole commit hash" in refusal("https://host/a", commit)


def test_what_is_in_the_repository_and_no_definitions_is_refused(
    team: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server(tmp_path) as url:
        here = f"{url}/team/.git"
        commit = head(team)
        assert "is no feature repository: it has no feature_store.yaml; it has: README.md" in (
            refusal(here, commit)
        )
        for path in ("features/shap", "README.md", "../etc", "features/shop/definitions.py"):
            assert "has no folder" in refusal(here, commit, "--path", path)
        (team / "features/shop/secret.py").symlink_to("/etc/passwd")
        linked = committed(team, {})
        said = refusal(here, linked, "--path", "features/shop")
        assert "secret.py is a symbolic link; put the files themselves there" in said
        (team / "features/shop/secret.py").unlink()
        monkeypatch.setattr("jobs.git.folder.LARGEST", 1 << 20)
        large = committed(team, {"features/shop/large.txt": "x" * ((1 << 20) + 1)})
        assert "10,000 files or 1 MiB: name" in refusal(here, large, "--path", "features/shop")
        tree = git(team, "rev-parse", "HEAD^{tree}")
        assert f"{tree} of {here} is a tree, no commit" in refusal(here, tree)
        assert refusal(f"{url}/other/.git", commit) == f"error: {url}/other/.git: {NO_REPOSITORY}"


def test_a_name_that_leads_out_of_the_folder_is_refused(team: Path, tmp_path: Path) -> None:
    blob = git(team, "rev-parse", "HEAD:README.md")
    with Repo(str(team)) as repo:
        tree = Tree()
        tree.add(b"feature_store.yaml", 0o100644, blob.encode())
        tree.add(b"..", 0o100644, blob.encode())
        made = Commit()
        made.tree, made.message = tree.id, b"evil"
        made.author = made.committer = b"Eve <eve@example.com>"
        made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
        repo.object_store.add_object(tree)
        repo.object_store.add_object(made)
        repo.refs[b"refs/heads/evil"] = made.id
        evil = made.id.decode()
    with http_server(tmp_path) as url:
        assert "has a file that is called '..'" in refusal(f"{url}/team/.git", evil)


def test_a_token_is_sent_over_tls_alone_and_to_a_server_that_is_known(
    team: Path, tmp_path: Path
) -> None:
    authority = certificates.authority("the team's")
    identity = certificates.identity(authority, "localhost")
    (tmp_path / "server.pem").write_text(identity.certificate + identity.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "password").write_text(f"{TOKEN}\n")
    options = ("--path", "features/shop", "--credentials", str(secret))
    with http_server(tmp_path, context, token=TOKEN) as address:
        url = address.replace("127.0.0.1", "localhost")
        unknown = refusal(f"{url}/team/.git", head(team), *options)
        assert "its certificate cannot be verified" in unknown
        assert "ca.crt among the credentials" in unknown
        (secret / "ca.crt").write_text(authority.certificate)
        fetched(url, head(team), tmp_path / "out", *options)
        (secret / "password").write_text("another")
        assert refusal(f"{url}/team/.git", head(team), *options) == (
            f"error: {url}/team/.git: the server wants other credentials than it was given"
        )
    with http_server(tmp_path) as url:
        said = refusal(f"{url}/team/.git", head(team), *options)
        assert "a password goes over https:// alone" in said


def test_credentials_that_are_none_are_refused(tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        return refusal("https://host/a", NOWHERE, "--credentials", str(folder))

    assert "No such file or directory" in said(tmp_path / "nowhere")
    (tmp_path / "token").write_text("a")
    assert "has none of username, password, ssh-privatekey, known_hosts, ca.crt; it has" in (
        said(tmp_path)
    )
    (tmp_path / "password").write_bytes(b"\xff")
    assert "no text in UTF-8" in said(tmp_path)


def test_ssh_needs_a_key_that_is_let_in_and_a_host_that_is_known(
    team: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    key, other = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(secret / "ssh-privatekey"))
    options = ("--path", "features/shop", "--credentials", str(secret))
    with ssh_server(tmp_path, key) as (url, known):
        here = f"{url}/team/.git"
        assert "needs known_hosts among the credentials" in refusal(here, head(team), *options)
        (secret / "known_hosts").write_text("elsewhere.example.com " + known.partition(" ")[2])
        assert "its host is not in known_hosts" in refusal(here, head(team), *options)
        strange = f"{known.split()[0]} {other.get_name()} {other.get_base64()}\n"
        (secret / "known_hosts").write_text(strange)
        assert "another key than known_hosts has" in refusal(here, head(team), *options)
        (secret / "known_hosts").write_text(known)
        fetched(url, head(team), tmp_path / "out", *options, "--ref", "main")
        assert NO_REPOSITORY in refusal(f"{url}/other/.git", head(team), *options)
        assert "has no commit" in refusal(here, NOWHERE, *options)
        other.write_private_key_file(str(secret / "ssh-privatekey"))
        assert "wants other credentials" in refusal(here, head(team), *options)
        (secret / "ssh-privatekey").write_text("no key\n")
        assert "ssh-privatekey" in refusal(here, head(team), *options)
    assert (tmp_path / "out" / "definitions.py").is_file()


@pytest.mark.slow
def test_a_server_that_does_not_answer_may_be_tried_again(
    team: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server(tmp_path) as url:
        pass
    assert "cannot be reached" in refusal(f"{url}/team/.git", head(team), code=1)
    said = streamflow(
        *("fetch-definitions", "https://host.invalid/a", "--commit", NOWHERE, "--out", "out")
    )
    assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1)
    with http_server(tmp_path, status=503) as url:
        assert "http resp 503" in refusal(f"{url}/team/.git", head(team), code=1)
    with http_server(tmp_path, status=403) as url:
        assert "refuses it with HTTP status 403" in refusal(f"{url}/team/.git", head(team))
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "2")
    monkeypatch.setattr("jobs.run.waiting.EVERY_S", 0.1)
    with http_server(tmp_path, status=503) as url:
        assert "http resp 503" in refusal(f"{url}/team/.git", head(team), code=1)
