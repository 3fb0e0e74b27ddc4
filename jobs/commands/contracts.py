"""`streamflow contracts`: lists the contracts that services have had, and ends older ones."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import psycopg
import typer

from jobs.command_line.application import Application
from jobs.command_line.report import reporting
from jobs.run import console
from jobs.run.instants import iso
from streamflow import settings
from streamflow.catalog.known_contracts import Key, KnownContract
from streamflow.catalog.model import Catalog
from streamflow.errors import (
    ConfigurationError,
    NotAllowed,
    SchemaMissing,
    UnknownName,
    shorten,
)

HASH = re.compile(r"[0-9a-f]{16}")

app = Application(
    help="List the contracts that services have and had; end older ones.", no_args_is_help=False
)


@app.callback(invoke_without_command=True)
def contracts(
    context: typer.Context,
    service: Annotated[str, typer.Option(help="Of this feature service alone.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """List the contracts of services, present and older ones, which are answered, and who asks."""
    if context.invoked_subcommand is not None:
        if service or as_json:
            raise ConfigurationError(
                f"the options of a list come without `{context.invoked_subcommand}`"
            )
        return
    with reporting():
        with catalog_of() as (connection, catalog):
            asked = callers_of(connection, catalog.project)
            found = [described(catalog, one, asked) for one in chosen(catalog, service)]
        if as_json:
            console.say(json.dumps(found, indent=2))
        else:
            console.table([row_of(one) for one in found])


@app.command("end")
def end(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Feature service.")],
    contract: Annotated[str, typer.Argument(metavar="CONTRACT", help="One that it had before.")],
) -> None:
    """Answer an older contract no more: 409 to who asks for it. A second run changes nothing."""
    with reporting():
        if not HASH.fullmatch(contract):
            raise ConfigurationError(
                f"{shorten(contract)} is no contract, which is 16 of the characters 0-9 and a-f"
            )
        with catalog_of() as (connection, catalog):
            one = named(catalog, service, contract)
            now = catalog.services.get(service)
            ends = "SELECT ops.end_contract(%s, %s, %s)"
            given = [catalog.project, service, contract]
            row = connection.execute(ends, given).fetchone()
            asked = (callers_of(connection, catalog.project) or {}).get(one.key, [])
        if row is None or row[0] is None:
            raise ConfigurationError(
                f"{contract} is the present contract of {service}, which an apply supersedes that "
                "gives the service other features; nothing was changed"
            )
        if one.ended:
            console.say(f"contract {contract} of {service} ended at {when(one.ended)} already")
            return
        present = f"; the present one is {now.contract}" if now else ""
        console.say(f"contract {contract} of {service} is not answered any more{present}")
        if asked:
            console.say(f"had asked for it: {asking(asked)}")


@contextmanager
def catalog_of() -> Iterator[tuple[psycopg.Connection, Catalog]]:
    """A connection, and the catalog with its known contracts.

    Raises:
        SchemaMissing: nothing was applied, or by an earlier version.
        NotAllowed: the role may not read it, or not end a contract.
    """
    from streamflow.online.catalog import served
    from streamflow.postgres import migrate as schema
    from streamflow.postgres.connect import connect, first_line

    with connect() as connection:
        schema.require(connection)
        found = connection.execute("SELECT to_regclass('ops.contracts')").fetchone()
        if found == (None,):
            raise SchemaMissing("the database keeps no contracts yet; run: streamflow apply")
        try:
            catalog = served(connection, settings.project())
            if catalog is None:
                raise SchemaMissing(
                    "the project was not applied to the database; run: streamflow apply"
                )
            yield connection, catalog
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.ReadOnlySqlTransaction,
        ) as error:
            raise NotAllowed(
                f"role {connection.info.user} may not do this here ({first_line(error)}); "
                "nothing was changed"
            ) from error


def chosen(catalog: Catalog, service: str) -> list[KnownContract]:
    """The known contracts of a service, of all for none.

    Raises:
        UnknownName: there is no such service, and never was.
    """
    known = {one.service for one in catalog.known}
    if service and service not in known:
        raise UnknownName("feature service", service, known)
    return [one for one in catalog.known if service in ("", one.service)]


def named(catalog: Catalog, service: str, contract: str) -> KnownContract:
    """The contract with that hash; raises UnknownName if the service never had it."""
    hashes = {one.hash: one for one in chosen(catalog, service)}
    if contract not in hashes:
        raise UnknownName(f"contract of {service}", contract, hashes)
    return hashes[contract]


@dataclass(frozen=True)
class Caller:
    """The requests of one caller for one contract, as the API noted them."""

    caller: str
    """The name of its key; empty where none is needed."""
    requests: int
    first: str | None
    """When the first one was noted, as 2024-01-31T00:00:00Z."""
    last: str | None


def callers_of(connection: psycopg.Connection, project: str) -> dict[Key, list[Caller]] | None:
    """The callers of each contract, the last one first; None where an earlier version applied the
    database, or the role may not know."""
    if connection.execute(ARE_KNOWN).fetchone() != (True,):
        return None
    found: dict[Key, list[Caller]] = {}
    for service, contract, caller, requests, first, last in connection.execute(CALLERS, [project]):
        asked = Caller(caller, requests, when(first), when(last))
        found.setdefault((service, contract), []).append(asked)
    return found


ARE_KNOWN = """
    SELECT coalesce(has_table_privilege(to_regclass('ops.callers'), 'SELECT'), false)"""
CALLERS = """
    SELECT service, contract, caller, requests, first_at, last_at FROM ops.callers
    WHERE project = %s ORDER BY last_at DESC, caller"""
"""A project's callers."""


def described(
    catalog: Catalog, one: KnownContract, asked: Mapping[Key, Sequence[Caller]] | None
) -> dict[str, Any]:
    """Describes a contract and those who ask for it, for programs."""
    reasons = reasons_of(catalog, one)
    return {
        "service": one.service,
        "contract": one.hash,
        "since": when(one.since),
        "superseded": when(one.superseded),
        "ends": when(one.ends),
        "ended": when(one.ended),
        "answered": not reasons,
        "reasons": reasons,
        "features": [asdict(feature) for feature in one.features],
        "asked_by": None if asked is None else [asdict(who) for who in asked.get(one.key, ())],
    }


def reasons_of(catalog: Catalog, one: KnownContract) -> list[str]:
    """The reasons why the API does not answer a contract; none where it does."""
    service = catalog.services.get(one.service)
    if service is None:
        return ["the service is gone"]
    if one.is_present:
        return [service.unservable] if service.unservable else []
    if one.ended:
        return [f"ended at {when(one.ended)}"]
    return list(catalog.older[one.key][1]) if one.key in catalog.older else []


def when(moment: datetime | None) -> str | None:
    """A moment to the second, as 2024-01-31T00:00:00Z."""
    return iso(moment and moment.replace(microsecond=0))


def row_of(one: dict[str, Any]) -> dict[str, Any]:
    """Summarizes a contract as a row of the list."""
    return {
        "service": one["service"],
        "contract": one["contract"],
        "since": one["since"],
        "superseded": one["superseded"],
        "features": len(one["features"]),
        "answered": "yes" if one["answered"] else f"no: {'; '.join(one['reasons'])}",
        "asked by": asking([Caller(**who) for who in one["asked_by"]])
        if one["asked_by"] is not None
        else "not known",
    }


def asking(callers: Iterable[Caller]) -> str | None:
    """Names those who ask for a contract, with the number of requests and the last one's time."""
    said = [
        f"{one.caller or 'without a key'}"
        f" {'once' if one.requests == 1 else str(one.requests) + ' times, last'} at {one.last}"
        for one in callers
    ]
    return "; ".join(said) or None
