"""`streamflow features`: the online features of a key, for any feature service."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.command_line.report import reporting
from jobs.run import console
from streamflow import settings
from streamflow.errors import ConfigurationError, StreamflowError, shorten
from streamflow.feast.registry.request_inputs import AskedBy
from streamflow.visible_text import printable, quoted

if TYPE_CHECKING:
    from streamflow.catalog.contract import Contract
    from streamflow.online.vectors import Vector

Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY…",
        show_default=False,
        help="Value of the service's join key; several as driver_id=1,user_id=a, with the values "
        "that its on-demand views need of a request; none for a service without keys.",
    ),
]
Service = Annotated[
    str,
    typer.Option(show_default="churn_v1, or the only one that there is", help="Feature service."),
]


def features(
    keys: Keys = None,
    service: Service = "",
) -> None:
    """Print the online features of users, or of the keys of another service."""
    with reporting():
        contract, vectors = read(keys or [], service)
        service = contract.service
        for vector in vectors:
            of_whom = f"{printable(vector.name)}, " if vector.key else ""
            console.say(f"{of_whom}{service}, contract {contract.hash}")
            console.table(
                [
                    {
                        "feature": one.name,
                        "value": vector.values[one.reference],
                        "view": one.view,
                        "as_of": vector.as_of[one.view],
                    }
                    for one in contract.features
                ]
            )
        require_found(vectors, service)


def read(keys: Sequence[str], service: str) -> "tuple[Contract, list[Vector]]":
    """The contract of a service, and its features of keys as a person wrote them.

    Raises:
        ConfigurationError: a key is not what the service is asked by; or no service is named, and
            the project has none, or several.
        UnknownName: the registry has no such service.
    """
    from streamflow.feast.registry.open import open_store, require_applied

    require_applied()
    if (found := read_plain(keys, service)) is not None:
        return found
    from streamflow.feast.online.client import read
    from streamflow.feast.registry.contracts import contract_of
    from streamflow.feast.registry.request_inputs import asked_by

    with open_store() as store:
        contract = contract_of(store, service)
        wanted = asked_by(store, contract.service)
        return contract, read(store, contract, parse_keys(keys, wanted, contract.service))


def read_plain(keys: Sequence[str], service: str) -> "tuple[Contract, list[Vector]] | None":
    """The same without Feast; None of a service of which only Feast has all features."""
    from streamflow.online.pool import configure
    from streamflow.online.vectors import read
    from streamflow.postgres.connect import connect
    from streamflow.registry.services import plain_service
    from streamflow.registry.stores import own_stores

    stores = own_stores(settings.streamflow().feature_repo)
    if stores is None:
        return None
    with connect(autocommit=True) as connection:
        found = plain_service(connection, stores, service)
        if found is None or not all(one.view.is_online for one in found.projections):
            return None
        configure(connection)
        name, types = found.contract.service, found.key_types
        wanted = [AskedBy(key, type_) for key, type_ in types.items()]
        return found.contract, read(connection, found, parse_keys(keys, wanted, name))


def require_found(vectors: "Sequence[Vector]", service: str) -> None:
    """Raises StreamflowError if there is a key without features."""
    lacking = [vector for vector in vectors if not vector.found]
    if lacking and lacking[0].key:
        of_whom = ", ".join(quoted(vector.name) for vector in lacking)
        raise StreamflowError(f"no online features for: {of_whom}")
    if lacking:
        raise StreamflowError(f"no online features of service {service}")


def parse_keys(
    texts: Sequence[str], wanted: Sequence[AskedBy], service: str
) -> list[dict[str, Any]]:
    """Parses the keys that a person wrote, by the names and types that the service is asked by.

    Raises:
        ConfigurationError: there are none, or one is not what the service is asked by.
    """
    if not wanted:
        if texts:
            raise ConfigurationError(
                f"{shorten(texts[0])}: service {service} is asked without a key"
            )
        return [{}]
    if not texts:
        raise ConfigurationError(f"no KEY is given; {key_form(wanted, service)}")
    found = []
    for text in texts:
        given = named_values(text, [one.name for one in wanted], key_form(wanted, service))
        found.append({one.name: value_of(one, given[one.name]) for one in wanted})
    return found


def key_form(wanted: Sequence[AskedBy], service: str) -> str:
    """Describes in a clause how to write a key of a service."""
    several = ",".join(f"{one.name}=…" for one in wanted)
    return f"service {service} is asked by {wanted[0].name if len(wanted) == 1 else several}"


def named_values(text: str, names: Sequence[str], how: str) -> dict[str, str]:
    """Splits `driver_id=1,user_id=a` by name; values may have commas, a single one needs no name.

    Raises:
        ConfigurationError: a name is missing, or there twice; `how` says what is right.
    """
    one_of = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    places = list(re.finditer(rf"(?:^|,)({one_of})=", text))
    if not places or places[0].start():
        if len(names) == 1:
            return {names[0]: text}
        raise ConfigurationError(f"{shorten(text)}: {how}")
    if len(names) == 1:
        return {names[0]: text[places[0].end() :]}
    found: dict[str, str] = {}
    for place, end in zip(places, [*(one.start() for one in places[1:]), len(text)], strict=True):
        if place[1] in found:
            raise ConfigurationError(f"{shorten(text)} has {place[1]} twice; {how}")
        found[place[1]] = text[place.end() : end]
    for name in names:
        if name not in found:
            raise ConfigurationError(f"{shorten(text)} has no {name}; {how}")
    return found


def value_of(wanted: AskedBy, text: str) -> Any:
    """Converts a text to the type that the service is asked by.

    Raises:
        ConfigurationError: it names none of that type.
    """
    convert, form = FORMS.get(wanted.type, (str, ""))
    try:
        return convert(text)
    except ValueError:
        raise ConfigurationError(
            f"{wanted.name} {shorten(text)} is no {wanted.type}: {form}"
        ) from None


def whole_number(text: str, bits: int = 64) -> int:
    """Parses a whole number that fits a signed integer of so many bits, else raises ValueError."""
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not -(2 ** (bits - 1)) <= int(text) < 2 ** (
        bits - 1
    ):
        raise ValueError(text)
    return int(text)


def truth(text: str) -> bool:
    """Parses true or false, else raises ValueError."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def seconds(text: str) -> int:
    """Parses a number, a day or a time to seconds since 1970, else raises ValueError."""
    try:
        return whole_number(text)
    except ValueError:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


FORMS: dict[str, tuple[Any, str]] = {
    "INT64": (whole_number, "a whole number of 64 bits"),
    "INT32": (lambda text: whole_number(text, 32), "a whole number of 32 bits"),
    "DOUBLE": (float, "a number"),
    "FLOAT": (float, "a number"),
    "BOOL": (truth, "true or false"),
    "BYTES": (str.encode, "text"),
    "UNIX_TIMESTAMP": (seconds, "seconds since 1970, or a time like 2024-02-01T00:00:00Z"),
}
"""By Feast's type: the converter of a text and a description of its form; others stay text."""
