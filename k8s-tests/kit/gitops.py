"""The chart as Argo CD renders it, and what Flux gives to Helm: from the examples' own fields."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from kit.render import CHART, KUBERNETES, Manifest, nested, parsed, require

FOLDER = CHART / "examples" / "gitops"
APPLICATION: Manifest = yaml.safe_load((FOLDER / "argo-cd.yaml").read_text())
GIT_REPOSITORY, HELM_RELEASE = yaml.safe_load_all((FOLDER / "flux.yaml").read_text())


def as_argo_cd(
    values: dict[str, Any] | None = None,
    version: str = KUBERNETES,
    api_versions: Iterable[str] = (),
    namespace: str | None = None,
) -> str:
    """The manifests of the Application, rendered by the command that Argo CD runs in its path.

    Args:
        values: further `valuesObject`, by their paths.
        version: that of the cluster, which Argo CD has asked.
        api_versions: the cluster's, `GROUP/VERSION` and `GROUP/VERSION/KIND`.
        namespace: instead of the destination's.
    """
    source, destination = (APPLICATION["spec"][key] for key in ("source", "destination"))
    files = source["helm"]["valueFiles"]
    require("helm")
    done = subprocess.run(
        [
            *("helm", "template", ".", "--name-template", source["helm"]["releaseName"]),
            *("--namespace", namespace or destination["namespace"], "--kube-version", version),
            *(word for file in files for word in ("--values", file)),
            *("--values", "-"),
            *(word for one in api_versions for word in ("--api-versions", one)),
            "--include-crds",
        ],
        cwd=repository() / source["path"],
        input=json.dumps(merged(source["helm"]["valuesObject"], nested(values or {}))),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def repository() -> Path:
    """The checkout, which is what the examples' repositories have."""
    return CHART.parent.parent


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Values with others over them, as Helm puts them."""
    both = {**values, **more}
    for key in values.keys() & more.keys():
        if isinstance(values[key], dict) and isinstance(more[key], dict):
            both[key] = merged(values[key], more[key])
    return both


def of_argo_cd(text: str) -> dict[str, Manifest]:
    """By KIND/NAME: what Argo CD applies of a rendering, without hooks that it does not know."""
    known = ("pre-install", "pre-upgrade", "post-install", "post-upgrade")
    found = {}
    for one in parsed(text):
        hook = one["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert hook not in known, f"{one['kind']} is a hook, which runs at every sync"
        if hook is None:
            found[f"{one['kind']}/{one['metadata']['name']}"] = one
    return found


def prunable(manifest: Manifest) -> bool:
    """True if Argo CD removes an object that is rendered no more."""
    options = manifest["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options", "")
    return "Prune=false" not in options.split(",")
