"""A user, or another key: what is served, what training would see, and the months before."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from explorer import links, words
from explorer.content.keys import Entity, NoKey, entities_of, key_of
from explorer.content.served import read, said
from explorer.pages import site
from explorer.pages.errors import NotThere
from explorer.queries import views
from streamflow.errors import ConfigurationError
from streamflow.postgres.search_path import of_sources


def users(request: Request) -> Response:
    """The page `/users?by=&id=`."""
    here = site.of(request)
    if not here.settings.show_users:
        raise NotThere(
            "This explorer shows no single users: STREAMFLOW_EXPLORER_SHOW_USERS is false.",
            "Distributions of features are shown to everybody.",
            links.FEATURES,
            "Features",
        )
    if not here.may_see_users:
        raise NotThere(
            "You may not see single users here.",
            f"Ask {here.settings.users_contact} to be added to who may.",
            links.FEATURES,
            "Features",
            HTTPStatus.FORBIDDEN,
        )
    given = request.query_params.getlist("id")
    fault, found = "", None
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        entities = entities_of(defined)
        entity = chosen(entities, request.query_params.get("by", ""))
        now = views.now(connection)
        if entity is not None and any(given):
            try:
                key = key_of(entity, given)
            except NoKey as error:
                fault = str(error)
            else:
                path = search_path(here.settings.source_schemas)
                found = read(connection, defined, entity, key, now, path)
    return here.page(
        "users",
        defined=defined,
        entities=entities,
        entity=entity,
        given=dict(zip(entity.keys, [*given, *[""] * len(entity.keys)], strict=False))
        if entity
        else {},
        asked=any(given),
        fault=fault,
        found=found,
        is_known=bool(found) and any(one.online.event or one.history.rows for one in found or ()),
        said=said,
    )


def search_path(schemas: str) -> str:
    """PostgreSQL's search_path for sources whose schema is not named."""
    try:
        return of_sources(schemas)
    except ConfigurationError:
        return "public"


def chosen(entities: Sequence[Entity], by: str) -> Entity | None:
    """The entity of a name; the first one where none is named; None where there is none."""
    if by:
        for one in entities:
            if one.name == by:
                return one
        raise NotThere(
            f"No feature view is stored by {words.shown(by)}.",
            "Choose among the keys that there are.",
            links.USERS,
            "Choose a key",
        )
    return entities[0] if entities else None
