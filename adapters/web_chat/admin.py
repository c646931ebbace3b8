"""The routes behind the page for admins: the state of everything, and use over days.

Whatever an admin does there is said in words, by ``POST /api/messages``, as on every platform; so
it is checked and written into the audit log in one place.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from adapters.web_chat.facts import samples_there_are
from adapters.web_chat.sharing import Asker, TheWeb, responses
from adapters.web_chat.views import EngineHealth, EngineView
from bot.jobs import JobStatus
from bot.models import model_name

router = APIRouter(tags=["moderation"])

#: Jobs of the queue that are shown, and acts on a page.
MOST_JOBS, PAGE_OF_ACTS = 200, 50


class CountedEngineView(EngineHealth):
    """An engine, and the jobs that have ended on it since the bot started."""

    succeeded: int
    failed: int
    lost: int = Field(description="Jobs during which it was lost")
    error: str = Field(description="Why it has failed; else empty")


class QueuedView(BaseModel):
    """A job that is drawn, or waits."""

    id: str
    user: str
    prompt: str
    preset: str
    images: int
    status: str
    picture: int = Field(description="Number of the picture being drawn, from 1; 0 before")
    step: int
    steps: int = Field(description="Denoising steps of each picture")
    wait: float | None = Field(description="Seconds until it starts; null where it is not known")
    submitted_at: float = Field(description="Unix seconds")


class AdminPresetView(BaseModel):
    name: str
    description: str
    is_enabled: bool
    is_default: bool
    sample: str | None = Field(description="Address of a picture that it has made; null without")
    memory: int | None = Field(
        description="Bytes of its own weights in memory; null where they are in none"
    )


class OverviewView(BaseModel):
    """Everything that changes by itself."""

    engine: EngineView
    engines: list[CountedEngineView]
    is_paused: bool
    is_draining: bool
    waiting: int
    queue: list[QueuedView] = Field(description="In the order in which they are drawn")
    presets: list[AdminPresetView]
    held: int = Field(description="Pictures that wait for moderators")


class FiguresView(BaseModel):
    jobs: int
    succeeded: int
    failed: int
    cancelled: int
    credits: int = Field(description="Spent on jobs that succeeded")
    seconds: float = Field(description="On the engine")


class DayView(FiguresView):
    people: int


class PersonView(FiguresView):
    user: str
    last_at: float = Field(description="Time of the last job, in unix seconds")
    is_banned: bool
    joined: list[str] = Field(description="Further accounts of the same person")


class UseView(BaseModel):
    """Use of the bot over days, oldest first; the last one ends now."""

    days: list[DayView]
    people: list[PersonView]


class ActView(BaseModel):
    """An act of an admin."""

    made_at: float = Field(description="Unix seconds")
    admin: str
    act: str
    subject: str | None
    detail: str | None


@router.get(
    "/api/admin/overview", summary="Engines, queue and presets", responses=responses(403, 503)
)
async def get_overview(web: TheWeb, source: Asker) -> OverviewView:
    service = web.service
    board, state = service.dashboard.board(source.user), service.state
    samples = await samples_there_are(web)
    return OverviewView(
        engine=EngineView(status=state.status, message=state.message),
        engines=[CountedEngineView.model_validate(each) for each in service.engines()],
        is_paused=board.is_paused,
        is_draining=board.is_draining,
        waiting=sum(job.status is JobStatus.QUEUED for job in board.jobs),
        queue=[
            QueuedView(
                id=job.id,
                user=job.user,
                prompt=job.request.prompt,
                preset=job.request.preset,
                images=job.images,
                status=job.status,
                picture=job.progress.picture,
                step=job.progress.step,
                steps=job.request.steps_taken,
                wait=job.progress.wait,
                submitted_at=job.submitted_at,
            )
            for job in board.jobs[:MOST_JOBS]
        ],
        presets=[
            AdminPresetView(
                name=preset.name,
                description=preset.description,
                is_enabled=name not in board.disabled,
                is_default=name == web.config.model.default_preset,
                sample=samples.get(name),
                memory=board.loaded.get(
                    preset.kind.conditioning_model or model_name(web.config.model_for(preset.model))
                ),
            )
            for name, preset in board.presets.items()
        ],
        held=len(await service.review.held(source.user)),
    )


@router.get("/api/admin/use", summary="Use by day and by person", responses=responses(403, 503))
async def get_use(
    web: TheWeb,
    source: Asker,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
    words: Annotated[str, Query(max_length=200)] = "",
) -> UseView:
    use = await web.service.dashboard.use(source.user, days, words)
    return UseView(
        days=[DayView(**asdict(figures), people=people) for figures, people in use.days],
        people=[
            PersonView(
                **asdict(each.figures),
                user=each.user,
                last_at=each.last_at,
                is_banned=each.is_banned,
                joined=sorted(web.service.selves.of(each.user) - {each.user}),
            )
            for each in use.people
        ],
    )


@router.get("/api/admin/acts", summary="The audit log, a page of it", responses=responses(403, 503))
async def list_acts(
    web: TheWeb,
    source: Asker,
    words: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> list[ActView]:
    acts = await web.service.admin.audit(
        source.user, limit=PAGE_OF_ACTS, words=words, skip=(page - 1) * PAGE_OF_ACTS
    )
    return [ActView.model_validate(act, from_attributes=True) for act in acts]
