"""Home: is everything well, in words, and where each word comes from."""

from starlette.requests import Request
from starlette.responses import Response

from explorer.content.signs import ORDER, SIGNS
from explorer.content.state import read
from explorer.content.statements import statements_of
from explorer.pages import site


def home(request: Request) -> Response:
    """The page `/`."""
    here = site.of(request)
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        found = read(connection, defined)
    statements = sorted(statements_of(defined, found), key=lambda one: ORDER.index(one.state))
    wanting = [one for one in statements if one.state in ("look", "bad")]
    return here.page(
        "home",
        defined=defined,
        found=found,
        statements=statements,
        headline=headline(len(wanting)),
        features_by_column=defined.features_by_column(),
        signs=SIGNS,
    )


def headline(wanting: int) -> str:
    """The answer to the question that people come with."""
    if not wanting:
        return "Everything is well"
    return "One thing wants a look" if wanting == 1 else f"{wanting} things want a look"
