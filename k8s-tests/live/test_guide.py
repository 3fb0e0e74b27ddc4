"""Every command of the pages for operators, typed for a release in the order of the page."""

import re
from collections.abc import Iterator

import pytest
from kit.cluster import run
from kit.namespace import Namespace
from kit.pages import GUIDE, RUNBOOKS, UPGRADING, Block, blocks
from kit.typist import Typist

FIRST = (f"{GUIDE.stem}: Install", f"{GUIDE.stem}: Load a month")
"""The sections that come first, as all others need them."""
LAST = f"{GUIDE.stem}: Remove"
"""The section that removes the release, which the other pages need."""


def story() -> dict[str, list[Block]]:
    """The blocks that are run, by where they stand, in the order in which they are."""
    sections: dict[str, list[Block]] = {}
    for block in blocks(GUIDE):
        sections.setdefault(f"{GUIDE.stem}: {block.section}", []).append(block)
    last = sections.pop(LAST)
    pages = {page.stem: blocks(page) for page in (UPGRADING, *RUNBOOKS)}
    found = {**sections, **pages, LAST: last}
    run_alone = {where: [one for one in each if one.is_run] for where, each in found.items()}
    return {where: each for where, each in run_alone.items() if each}


@pytest.fixture(scope="module")
def typist(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typist]:
    """A person who has done nothing yet; the nodes have the images that the guide pushes."""
    for part, name in built().items():
        tag = f"docker.io/library/streamflow-{part}:{getattr(namespace.images, part)}"
        for node in namespace.cluster.nodes():
            if "worker" in node:
                ctr = ("docker", "exec", node, "ctr", "--namespace", "k8s.io", "images", "tag")
                run(*ctr, "--force", tag, name)
    with Typist(namespace, tmp_path_factory.mktemp("typist")) as found:
        yield found


def built() -> dict[str, str]:
    """The images that the guide builds, by part."""
    commands = [one.text for block in blocks(GUIDE) for one in block.commands]
    found = [re.search(r"docker build .*--target (\w+) +-t (\S+)", one) for one in commands]
    return {one[1]: one[2] for one in found if one}


@pytest.fixture(scope="module")
def begun() -> list[str]:
    """The sections that worked so far."""
    return []


@pytest.mark.parametrize("where", list(story()))
def test_every_command_of_the_pages_works_as_it_is_written(
    typist: Typist, begun: list[str], where: str
) -> None:
    if where not in FIRST and not {*FIRST} <= {*begun}:
        pytest.skip("there is no release with a month")
    typist.open()
    for block in story()[where]:
        typist.work_through(block)
    begun.append(where)


def test_every_block_that_may_be_run_is() -> None:
    run_here = {(one.page, one.line) for each in story().values() for one in each}
    every = {
        (one.page, one.line)
        for page in (GUIDE, UPGRADING, *RUNBOOKS)
        for one in blocks(page)
        if one.is_run
    }
    assert run_here == every
