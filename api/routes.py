"""What can be asked, over HTTP: handlers translate, everything else decides."""

from functools import partial
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import RedirectResponse

from api import answers, schemas
from api.answers import Json
from api.docs import problem_responses
from api.features import Answer, Features
from api.metrics import Metrics
from api.problems import NoSuchResource
from api.settings import ApiSettings
from api.threads import Threads
from feature_repo.errors import UnknownName, UnknownUser


class State(TypedDict):
    """What the lifespan opens and `request.state` has."""

    settings: ApiSettings
    features: Features
    metrics: Metrics
    reads: Threads
    probes: Threads
    """Beside the reads, so that many of them do not make the service look dead."""


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
router = APIRouter(default_response_class=Json)


@router.get(
    "/features/{user_id:any}",
    tags=["features"],
    summary="Features of one user",
    response_model=schemas.UserFeatures,
    responses=problem_responses(404, 422, 503),
)
async def features_of_user(
    request: Request,
    user_id: Annotated[
        schemas.UserId,
        Path(
            description="Percent-encoded; it may hold any character but NUL.",
            examples=["7590-VHVEG"],
        ),
    ],
    selection: Annotated[schemas.Selection, Query()],
) -> Response:
    """The newest values of one user, in the contract's order, with the age of each view."""
    answer = await read(request, [user_id], selection)
    if not answer.vectors[0].found:
        raise UnknownUser(user_id)
    return Json(answers.one(answer))


@router.post(
    "/features",
    tags=["features"],
    summary="Features of many users",
    response_model=schemas.BatchFeatures,
    responses=problem_responses(413, 422, 503),
)
async def features_of_users(request: Request, batch: schemas.Batch) -> Response:
    """The newest values of many users in one read; a user named twice is answered twice."""
    most = request.state.settings.max_users
    if len(batch.user_ids) > most:
        fault = {"loc": ("body", "user_ids"), "msg": f"more than {most} users", "type": "too_long"}
        raise RequestValidationError([fault])
    return Json(answers.many(await read(request, batch.user_ids, batch)))


async def read(request: Request, user_ids: list[str], selection: schemas.Selection) -> Answer:
    """Reads in a thread and counts the users."""
    state = request.state
    answer: Answer = await state.reads.run(
        partial(state.features.read, user_ids, selection.service, selection.features or ())
    )
    found = sum(vector.found for vector in answer.vectors)
    state.metrics.read(found, len(answer.vectors) - found)
    return answer


@router.get(
    "/services",
    tags=["services"],
    summary="All feature services",
    response_model=schemas.Services,
    responses=problem_responses(503),
)
async def services(request: Request) -> Response:
    """The feature services that can be asked for, by name."""
    return Json({"services": [answers.summary(one) for one in request.state.features.services()]})


@router.get(
    "/services/{name}",
    tags=["services"],
    summary="The contract of one feature service",
    response_model=schemas.ServiceContract,
    responses=problem_responses(404, 503),
)
async def service(request: Request, name: Annotated[str, Path(examples=["churn_v1"])]) -> Response:
    """What a feature service promises: its features in order, each with type and meaning."""
    try:
        return Json(answers.contract(request.state.features.service(name)))
    except UnknownName as error:
        raise NoSuchResource(error.kind, error.name, error.known) from error


@router.get("/livez", tags=["operations"], response_model=schemas.Status)
async def livez() -> Response:
    """Whether the process answers; the database plays no part."""
    return Json({"status": "alive"})


@router.get(
    "/readyz", tags=["operations"], response_model=schemas.Status, responses=problem_responses(503)
)
async def readyz(request: Request) -> Response:
    """Whether the default service is in the registry and a read of its features succeeds."""
    await request.state.probes.run(request.state.features.ready)
    return Json({"status": "ready"})


@router.get(
    "/metrics",
    tags=["operations"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus, in its text format."""
    return Response(request.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def root() -> Any:
    """The way to the documentation."""
    return RedirectResponse("docs")
