"""The routes: handlers translate requests and answers, and leave all decisions to others."""

from base64 import b64decode
from http import HTTPStatus
from typing import Annotated, Any, TypedDict

import orjson
from fastapi import APIRouter, Header, Path, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from api.answer import rows as answers
from api.http import fast_path, schemas, service_schemas
from api.http import problem_examples as examples
from api.http.fast_path import FastPath, contracts_of, inputs_of, selection_of
from api.http.feast import answers as feast_answers
from api.http.feast.errors import UNSERVED
from api.http.feast.schemas import OnlineFeatures, OnlineRequest
from api.http.observers import METHODS, RequestMetrics
from api.http.problems import NoSuchResource, sentence
from api.http.reply import JSON, Reply, marks
from api.http.user_ids import UserId
from api.plans.computed_part import computed_views, join_keys_of, request_of
from api.reading.reader import FeatureReader
from streamflow.errors import UnknownName


class State(TypedDict):
    """The state of a request, as the lifespan makes it; access control may exchange `features`."""

    features: FeatureReader
    metrics: RequestMetrics
    fast_path: FastPath


class AnyText(Convertor[str]):
    """A path parameter that takes the whole rest: a user id may hold slashes and line ends."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The parameter of a path."""
        return value

    def to_string(self, value: str) -> str:
        """The path of a parameter."""
        return value


register_url_convertor("any", AnyText())
router = APIRouter()

IfContract = Annotated[
    str | None,
    Header(alias="If-Contract", pattern=schemas.HASH, description=schemas.EXPECTED),
]
SUPERSEDED = {
    "Deprecation": {
        "description": "By an older contract (RFC 9745): since when the service has another.",
        "schema": {"type": "string"},
    },
    "Sunset": {
        "description": "By an older contract (RFC 8594): until when it is answered, where that is "
        "configured.",
        "schema": {"type": "string"},
    },
}
Contract = Annotated[str | None, Query(pattern=schemas.HASH, description=schemas.EXPECTED)]
REFUSALS = (examples.INVALID, examples.UNKNOWN_NAME, examples.OTHER_KEYS, examples.UNSERVABLE)
BODIES = (examples.TOO_LARGE, examples.LATE_BODY)
CONTRACT = {
    "Contract": {
        "description": "The features' contract; of `POST /get-online-features`.",
        "schema": {"type": "string"},
    },
    "Replica-Lag": {
        "description": "Only where features are read from a replica: `lag_seconds` of "
        "`metadata.replica` in other answers.",
        "schema": {"type": "string"},
    },
}
COUNTERS = """\
# HELP streamflow_api_requests_total Requests answered.
# TYPE streamflow_api_requests_total counter
streamflow_api_requests_total{method="GET",route="/features/{user_id}",status="200"} 1.0
"""


@router.get(
    "/features/{user_id:any}",
    tags=["features"],
    summary="Features of one user",
    response_model=schemas.UserFeatures,
    responses=schemas.answered(schemas.UserFeatures, SUPERSEDED)
    | examples.responses(
        examples.UNKNOWN_USER, examples.CONTRACT, *REFUSALS, examples.NOT_READY, examples.STALE
    ),
)
async def features_of_user(
    request: Request,
    user_id: Annotated[
        UserId,
        Path(
            description="Percent-encoded; it may hold any character but NUL.",
            examples=["7590-VHVEG"],
        ),
    ],
    asked: Annotated[schemas.Asked, Query()],
    if_contract: IfContract = None,
) -> Response:
    """The newest values of one user, in the contract's order, with the age of each view."""
    request.state.fast_path.remember(request.scope["query_string"], asked)
    expected = contracts_of(asked.contract, if_contract)
    body, plan = await request.state.features.one(
        user_id, selection_of(asked), expected, inputs=inputs_of(asked)
    )
    return Reply(200, JSON, body, marks(plan.superseded)).response()


@router.post(
    fast_path.USERS,
    tags=["features"],
    summary="Features of many users",
    response_model=schemas.BatchFeatures,
    responses=schemas.answered(schemas.BatchFeatures, SUPERSEDED)
    | examples.responses(*BODIES, examples.CONTRACT, *REFUSALS, examples.NOT_READY, examples.STALE),
)
async def features_of_users(
    request: Request,
    batch: schemas.Batch,
    contract: Contract = None,
    if_contract: IfContract = None,
) -> Response:
    """The newest values of many users in one read; a user named twice is answered twice."""
    expected = contracts_of(contract, if_contract)
    reply = await fast_path.batch_answer(request.state.features, batch, expected)
    return reply.response()


@router.post(
    fast_path.ONLINE,
    tags=["features"],
    summary="Features as Feast's own server answers them",
    response_model=OnlineFeatures,
    responses=schemas.answered(OnlineFeatures, CONTRACT | SUPERSEDED)
    | examples.responses(
        *BODIES,
        *(examples.CONTRACT, examples.INVALID, examples.UNKNOWN_NAME, examples.UNSERVABLE),
        *(examples.NOT_READY, examples.STALE),
    ),
)
async def online_features(
    request: Request,
    asked: OnlineRequest,
    contract: Contract = None,
    if_contract: IfContract = None,
) -> Response:
    """For a Feast SDK whose online store is `remote`, and for views with any join keys."""
    expected = contracts_of(contract, if_contract)
    return (await feast_answers.answer(request.state.features, asked, expected)).response()


async def unserved(request: Request) -> Response:
    """Refuse a route of Feast's own server, whatever the method, and say why."""
    why = UNSERVED[request.scope["route"].path]
    raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, why, {"Allow": ""})


for path in UNSERVED:
    router.add_api_route(path, unserved, methods=list(METHODS), include_in_schema=False)


@router.get(
    "/services",
    tags=["services"],
    summary="All feature services",
    response_model=service_schemas.Services,
    responses=schemas.answered(service_schemas.Services) | examples.responses(examples.NOT_READY),
)
async def services(request: Request) -> Response:
    """The feature services that can be asked for, by name."""
    catalog = request.state.features.catalog()
    listed = [
        answers.summary(one, catalog.contracts[name])
        for name, one in sorted(catalog.services.items())
    ]
    return json({"services": listed})


@router.get(
    "/services/{name}",
    tags=["services"],
    summary="The contract of one feature service",
    response_model=service_schemas.ServiceContract,
    responses=schemas.answered(service_schemas.ServiceContract)
    | examples.responses(examples.UNKNOWN_SERVICE, examples.NOT_READY),
)
async def service(
    request: Request,
    name: Annotated[str, Path(description="A feature service.", examples=["profile_v1"])],
) -> Response:
    """The contract of a feature service: what it is asked by, and its features in order, each with
    type and meaning.
    """
    try:
        found, contract = await request.state.features.service(name)
    except UnknownName as error:
        raise NoSuchResource(error.kind, error.name, error.known) from error
    catalog = request.state.features.catalog()
    keys = join_keys_of(catalog, found.projections)
    inputs = request_of(computed_views(catalog, found.projections))
    return json(answers.described(found, contract, keys, inputs))


@router.get(
    "/registry.pb",
    tags=["services"],
    summary="A registry file for Feast's SDK",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}},
        **examples.responses(examples.NO_REGISTRY, examples.NOT_READY),
    },
)
async def registry(request: Request) -> Response:
    """Names and types of all that is served, as a registry of Feast's; no SQL, no code."""
    found = request.state.features.catalog().registry
    if not found:
        raise HTTPException(HTTPStatus.NOT_FOUND, examples.NO_REGISTRY_YET)
    return Reply(200, b"application/octet-stream", b64decode(found)).response()


@router.get(
    "/livez",
    tags=["operations"],
    summary="Whether the process runs",
    response_model=schemas.Status,
    responses={200: {"content": {"application/json": {"example": {"status": "alive"}}}}},
)
async def livez() -> Response:
    """Answers as long as the process runs; the database plays no part."""
    return json({"status": "alive"})


@router.get(
    "/readyz",
    tags=["operations"],
    summary="Whether features can be read",
    response_model=schemas.Status,
    responses={
        200: {"content": {"application/json": {"example": {"status": "ready"}}}},
        **examples.responses(examples.NOT_READY),
    },
)
async def readyz(request: Request) -> Response:
    """Answers 200 if the default service is in the catalog and a read of its features succeeds.

    The read began after the question; all who ask meanwhile share it.
    """
    amiss = await request.state.features.ready()
    return json({"status": "ready", **({"detail": sentence(amiss)} if amiss else {})})


@router.get(
    "/metrics",
    tags=["operations"],
    response_class=Response,
    summary="Metrics for Prometheus",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": COUNTERS}}}
    },
)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus, in its text format."""
    return Response(request.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def root() -> Any:
    """Redirect to the documentation."""
    return RedirectResponse("docs")


def json(content: Any) -> Response:
    """An answer with `content` as JSON."""
    return Reply(200, JSON, orjson.dumps(content)).response()
