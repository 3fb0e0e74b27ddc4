"""Runs inside the cluster: a git server over HTTP on port 8000 with the repository /shop.git.

Usage: git_server.py serve; or, in a pod that serves, git_server.py commit BRANCH, which commits the
files of a JSON object on standard input to the branch, and prints the hash; or
git_server.py forget BRANCH, after which nothing leads to its commits and they are gone.
"""

import json
import sys
import time
from pathlib import Path
from wsgiref.simple_server import WSGIServer, make_server

from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

FOLDER = Path("/tmp/shop.git")


def commit(repo: Repo, branch: str, files: dict[str, str]) -> str:
    """Commits files in the folder `features` of the branch."""
    folder, root = Tree(), Tree()
    for name, text in files.items():
        blob = Blob.from_string(text.encode())
        repo.object_store.add_object(blob)
        folder.add(name.encode(), 0o100644, blob.id)
    repo.object_store.add_object(folder)
    root.add(b"features", 0o40000, folder.id)
    repo.object_store.add_object(root)
    made = Commit()
    made.tree, made.message = root.id, b"next"
    name = f"refs/heads/{branch}".encode()
    made.parents = [repo.refs[name]] if name in repo.refs else []
    made.author = made.committer = b"Ada <ada@example.com>"
    made.author_time = made.commit_time = int(time.time())
    made.author_timezone = made.commit_timezone = 0
    repo.object_store.add_object(made)
    repo.refs[name] = made.id
    return made.id.decode()


def main() -> None:
    """Serves, commits or forgets."""
    match sys.argv[1:]:
        case ["serve"]:
            FOLDER.mkdir()
            application = make_wsgi_chain(DictBackend({"/shop.git": Repo.init_bare(str(FOLDER))}))
            make_server("", 8000, application, WSGIServer).serve_forever()
        case ["commit", branch]:
            sys.stdout.write(commit(Repo(str(FOLDER)), branch, json.load(sys.stdin)))
        case ["forget", branch]:
            repo = Repo(str(FOLDER))
            gone = repo.refs[f"refs/heads/{branch}".encode()].decode()
            del repo.refs[f"refs/heads/{branch}".encode()]
            (FOLDER / "objects" / gone[:2] / gone[2:]).unlink()


main()
