"""All that an adapter can ask for: submit, cancel, history, quota, presets.

A `Service` takes no part in how a platform looks. It makes what a person asked for
complete and durable, and hands out a `Job` to watch.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict

from bot import people
from bot.administration import DRAINING, Administration, check_may_draw
from bot.commands import ImagineCommand
from bot.config import Config
from bot.database import FULL, Database
from bot.gallery import Gallery, Kind, encoded
from bot.job_store import HistoryPage, JobStore
from bot.jobs import Delivery, Job, JobStatus
from bot.ledger import Ledger, QuotaStatus, cost
from bot.origins import NOWHERE, Origin
from bot.outcomes import LOST_TOO_OFTEN, MAX_ATTEMPTS, UNREADABLE, Outcomes, given_up
from bot.presets import Presets
from bot.refusals import (
    Conflict,
    NotAccepting,
    NotFound,
    QueueFull,
    StorageTrouble,
    TooManyJobs,
)
from bot.requests import (
    Attachment,
    change,
    check_limits,
    check_settings,
    complete,
    merged_settings,
    model_name,
    picture_size,
)
from bot.worker import EngineState, Worker
from generation.checks import MAX_SEED, MAX_SIZE, shortened
from generation.errors import InvalidImage
from generation.protocols import ControlImages, Executor
from generation.types import CleanImage, GenerationRequest, Preset

logger = logging.getLogger(__name__)

PRUNE_EVERY = 3600.0
#: Seconds after which an attached picture without a job has none to come.
ORPHANED_FOR = 3600.0


@dataclass(frozen=True, slots=True)
class About:
    """What the loaded model is, said to people who have just arrived.

    Attributes:
        text: A sentence or two, plain.
        examples: Prompts worth trying.
        remarks: Sentences about a request, such as words that the model does not know.
    """

    text: str
    examples: tuple[str, ...] = ()
    remarks: Callable[[GenerationRequest], tuple[str, ...]] = lambda request: ()


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue as one person sees it.

    Attributes:
        waiting: Jobs of everybody that wait.
        running: Jobs of everybody that are being drawn.
        mine: This person's unfinished jobs, in the order in which they will be drawn.
    """

    waiting: int
    running: int
    mine: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request would cost, before anything is spent.

    Attributes:
        cost: Credits.
        left: Credits that the person has.
        seconds: Drawing time; None before anything was measured.
        position: Jobs that would be ahead.
        starts_in: Seconds until it would start; None before anything was measured.
    """

    cost: int
    left: int
    seconds: float | None
    position: int
    starts_in: float | None


class Where(TypedDict, total=False):
    """Where a job is asked for and answered; see `Service.submit`."""

    origin: Origin
    reply_to: dict[str, Any] | None
    event_id: str | None


class Service:
    """The bot, whatever the chat platform.

    Await `start` once, then keep `run` running. *read_presets* reads the presets anew;
    *now* is the clock (unix seconds) and *new_seed* the dice.

    Attributes:
        about: What the loaded model is.
        admin: What admins may do.
    """

    def __init__(
        self,
        config: Config,
        executors: Sequence[Executor],
        database: Database,
        gallery: Gallery,
        control_images: ControlImages,
        *,
        about: About,
        read_presets: Callable[[], dict[str, Preset]],
        now: Callable[[], float] = time.time,
        new_seed: Callable[[], int] = lambda: secrets.randbelow(MAX_SEED + 1),
    ) -> None:
        self.config = config
        self.about = about
        self._database = database
        self._gallery = gallery
        self._control_images = control_images
        self._now = now
        self._new_seed = new_seed
        self._presets = Presets(dict(config.presets), read_presets)
        self._ledger = Ledger(config.quota)
        self._store = JobStore(gallery.control_images)
        self._outcomes = Outcomes(self._store, self._ledger)
        self._worker = Worker(executors, database, self._store, self._outcomes, gallery, now)
        self._admitting: Counter[str] = Counter()
        self.admin = Administration(
            config.admins.users,
            database,
            self._ledger,
            self._worker,
            self._presets,
            config.model.default_preset,
            model_name(config.model),
            self._store,
            gallery,
            self._cancel,
            now,
        )

    # Its own life

    async def start(self) -> None:
        """Take up what the last process left. Nobody may submit before this is done."""
        left = await self._database.read(self._store.unfinished)
        for job_id in left.unreadable:
            outcome = given_up(UNREADABLE, self._now())
            await self._database.write(
                partial(self._outcomes.write, job_id=job_id, outcome=outcome)
            )
        for jobs in (left.begun, left.waiting):
            for job in [job for job in jobs if job.attempts >= MAX_ATTEMPTS]:
                jobs.remove(job)
                await self._worker.give_up(job, LOST_TOO_OFTEN)
            for job in jobs:
                job.request = replace(job.request, model=model_name(self.config.model))
        self._worker.take_up(left)
        await self._database.read(self.admin.start)
        await self._sweep(math.inf)

    async def finish(self, seconds: float) -> None:
        """Accept and begin nothing more; return when what is being drawn is done, after
        *seconds* at most. Then end `run`, which gives back what is left."""
        await self._worker.finish(seconds)

    @property
    def is_drawing(self) -> bool:
        """Whether an engine is at a picture."""
        return bool(self._worker.running)

    async def run(self) -> None:
        """Draw until cancelled."""
        pruning = asyncio.create_task(self._prune_regularly())
        try:
            await self._worker.run()
        finally:
            pruning.cancel()
            with suppress(asyncio.CancelledError):
                await pruning

    @property
    def state(self) -> EngineState:
        """Whether pictures can be drawn now."""
        state = self._worker.state
        if self.admin.is_draining and state.status == "ready":
            return EngineState("draining", DRAINING)
        return state

    # Drawing

    async def submit(
        self,
        user: str,
        command: ImagineCommand,
        image: bytes | None = None,
        *,
        origin: Origin = NOWHERE,
        reply_to: dict[str, Any] | None = None,
        event_id: str | None = None,
        parent: str | None = None,
    ) -> Job:
        """Charge *user* and queue what they asked for; on disk when this returns.

        Asked twice for one *event_id*, it returns the job that there is already.

        Raises:
            InvalidRequest: It can never succeed as written.
            Refused: Not now, or not this person; see ``bot/refusals.py``.
        """
        if event_id is not None and (earlier := await self._asked_before(event_id)):
            return earlier
        self._check_accepting(user)
        if origin is not NOWHERE:
            await self.check_may_draw(user, origin)
        request, images, clean = await self._complete(user, command, image)
        remarks = self.about.remarks(request)
        job = Job(
            user=user,
            request=request,
            images=images,
            remarks=remarks if clean is None else (*clean.remarks, *remarks),
            parent=parent,
            origin=origin,
            reply_to=reply_to,
            event_id=event_id,
        )
        return await self._accept(job, clean)

    async def again(
        self,
        user: str,
        job_id: str | None = None,
        changes: ImagineCommand | None = None,
        *,
        vary: bool = False,
        is_shown: bool = False,
        origin: Origin = NOWHERE,
        reply_to: dict[str, Any] | None = None,
        event_id: str | None = None,
    ) -> Job:
        """Queue an earlier job of *user* again: the same pixels, or with *vary* a new seed.

        *job_id* None means the latest that succeeded. Of *changes*, whatever is not None
        replaces what was asked for then. *is_shown*: as for `job`.

        Raises:
            NotFound: There is no such job, or its control image was deleted for its age.
            InvalidRequest, Refused: As for `submit`.
        """
        if event_id is not None and (earlier := await self._asked_before(event_id)):
            return earlier
        self._check_accepting(user)
        if origin is not NOWHERE:
            await self.check_may_draw(user, origin)
        if job_id is None:
            original = await self._database.read(partial(self._store.latest, user=user))
            if original is None:
                raise NotFound("you have no picture yet that could be drawn again")
        else:
            original = await self.job(user, job_id, is_shown=is_shown)
        request, images = original.request, original.images
        if changes is None or changes.preset is None:
            self._presets.check_enabled(request.preset)
        if request.control_image is not None and not await asyncio.to_thread(
            self._gallery.still_keeps, request.control_image
        ):
            raise NotFound(
                "the control image of that picture was deleted for its age: attach it again",
                field="control_image",
            )
        remarks: tuple[str, ...] = ()
        model = model_name(self.config.model)
        if request.model != model:
            remarks = (f"That was drawn with {request.model}; {model} draws it differently.",)
            request = replace(request, model=model)
        if changes is not None:
            request, images = change(request, images, changes, self._presets, self.config)
        if vary and (changes is None or changes.seed is None):
            request = replace(request, seed=self._new_seed())
        check_limits(request, images, self.config.limits)
        return await self._accept(
            Job(
                user=user,
                request=request,
                images=images,
                remarks=(*remarks, *self.about.remarks(request)),
                parent=original.id,
                origin=origin,
                reply_to=reply_to,
                event_id=event_id,
            )
        )

    async def from_picture(
        self,
        user: str,
        job_id: str,
        number: int,
        purpose: Literal["vary", "upscale"],
        *,
        is_shown: bool = False,
        origin: Origin = NOWHERE,
        reply_to: dict[str, Any] | None = None,
        event_id: str | None = None,
    ) -> Job:
        """Queue a variation, or a larger version, of picture *number* (from 1) of a job.

        A variation starts from the picture where a preset can do that, else from a new
        seed. A larger version takes a preset with ``upscale``. *is_shown*: as for `job`.

        Raises:
            NotFound: There is no such picture, or no preset that enlarges.
            InvalidRequest, Refused: As for `submit`.
        """
        preset = self.redrawing_preset if purpose == "vary" else self.enlarging_preset
        where: Where = {"origin": origin, "reply_to": reply_to, "event_id": event_id}
        if preset is None and purpose == "vary":
            one = ImagineCommand(images=1)
            return await self.again(user, job_id, one, vary=True, is_shown=is_shown, **where)
        if preset is None:
            raise NotFound("no preset here makes pictures larger")
        path = await self.picture(user, job_id, number, is_shown=is_shown)
        job = await self.job(user, job_id, is_shown=is_shown)
        request = list(job.requests)[number - 1]
        command = ImagineCommand(
            prompt=request.prompt,
            preset=preset.name,
            images=1,
            width=request.width if purpose == "vary" else None,
            height=request.height if purpose == "vary" else None,
            num_inference_steps=request.num_inference_steps if purpose == "vary" else None,
            guidance_scale=request.guidance_scale if purpose == "vary" else None,
            seed=request.seed if purpose == "upscale" else None,
            negative_prompt=request.negative_prompt or None,
        )
        image = await asyncio.to_thread(path.read_bytes)
        return await self.submit(user, command, image, parent=job.id, **where)

    @property
    def enlarging_preset(self) -> Preset | None:
        """The preset that makes pictures larger; None where there is none."""
        return self._presets.enlarging()

    def can_enlarge(self, job: Job) -> bool:
        """Whether a preset makes the pictures of *job* larger, and the limits let it."""
        preset, request = self.enlarging_preset, job.request
        enlargement = None if preset is None else preset.kind.enlargement
        if enlargement is None:
            return False
        width, height = request.width * enlargement, request.height * enlargement
        return max(width, height) <= MAX_SIZE and width * height <= self.config.limits.pixels

    @property
    def redrawing_preset(self) -> Preset | None:
        """The preset that starts from a picture; None where there is none."""
        return self._presets.redrawing()

    async def check_may_draw(self, user: str, origin: Origin) -> None:
        """Raise NotAllowed where *user* is banned, or may not draw where they ask."""

        def check(db: sqlite3.Connection) -> None:
            people.check_not_banned(db, user)
            check_may_draw(db, origin)

        await self._database.read(check)

    async def cancel(self, user: str, job_id: str | None = None) -> Job:
        """End a job of *user* and give its credits back; None means their newest one.

        Returns once it has ended, for a running job within one denoising step.

        Raises:
            NotFound: There is no such job.
            Conflict: It has already ended, or its picture is just being stored.
        """
        if job_id is not None:
            return await self._cancel(await self.job(user, job_id))
        mine = [job for job in self._worker.unfinished.values() if job.user == user]
        if not mine:
            raise NotFound("nothing of yours is waiting or being drawn")
        return await self._cancel(mine[-1])

    async def quote(self, user: str, command: ImagineCommand, image: bytes | None = None) -> Quote:
        """What *command* would cost and when it would start. Nothing is spent.

        Raises:
            InvalidRequest: It can never succeed as written.
        """
        request, images, _ = await self._complete(user, command, image)
        job = Job(user=user, request=request, images=images)
        position, starts_in = self._worker.prospect()
        return Quote(
            cost=cost(job, self.config.quota),
            left=(await self.quota(user)).left,
            seconds=self._worker.times.estimate(job),
            position=position,
            starts_in=starts_in,
        )

    async def control_map(
        self, image: bytes, preset: str, width: int | None = None, height: int | None = None
    ) -> tuple[bytes, tuple[str, ...]]:
        """What the ControlNet of *preset* would be shown for *image*, as a PNG, with remarks.
        Nothing is spent.

        Raises:
            InvalidRequest: *image* is no picture, or *preset* takes none.
        """
        chosen = self._presets[preset]
        self._presets.check_pictures(chosen, 1)
        clean, attachment = await self._clean(image)
        command = ImagineCommand(width=width, height=height)
        size = picture_size(command, {}, chosen, attachment, self.config.model)

        def draw() -> bytes:
            fit = self.config.control_images.fit
            return encoded(
                self._control_images.control_map(
                    clean.png, chosen.kind.control_map or "none", *size, fit
                )
            )

        return await asyncio.to_thread(draw), clean.remarks

    # Looking things up

    @property
    def presets(self) -> dict[str, Preset]:
        """The presets that people may choose, by name."""
        return self._presets.available

    async def job(self, user: str, job_id: str, *, is_shown: bool = False) -> Job:
        """One job of *user* (an admin may see everybody's).

        *is_shown* says that the platform has just shown it to *user*, whoever asked for
        it, as in a channel of which both are members.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        job = self._worker.unfinished.get(job_id) or await self._database.read(
            partial(self._store.find, job_id=job_id)
        )
        is_theirs = job is not None and (job.user == user or is_shown)
        if job is None or not (is_theirs or self.admin.is_admin(user)):
            raise NotFound(f"there is no picture {shortened(job_id)} of yours", field="id")
        return job

    async def latest_answered(self, platform: str, channel: str, **place: str) -> Job | None:
        """The newest picture that was answered in *channel* of *platform*, whoever asked.

        Only who can see that channel may be told of it. *place* are further fields of
        ``reply_to``, such as a thread; None means that nothing was drawn there.
        """
        return await self._database.read(
            partial(self._store.latest_answered, platform=platform, channel=channel, place=place)
        )

    async def history(
        self, user: str, words: str = "", *, before: int | None = None, limit: int = 20
    ) -> HistoryPage:
        """Jobs of *user*, newest first, whose prompts have all of *words*.

        Args:
            before: What the page before this one gave as ``next``.
            limit: Jobs on a page, at least 1.
        """
        page = await self._database.read(
            partial(self._store.history, user=user, words=words, before=before, limit=limit)
        )
        live = self._worker.unfinished
        return replace(page, jobs=[live.get(job.id, job) for job in page.jobs])

    async def quota(self, user: str, origin: Origin = NOWHERE) -> QuotaStatus:
        """What *user*, asking from *origin*, may still spend."""
        status = partial(self._ledger.status, user=user, now=self._now(), origin=origin)
        return await self._database.read(status)

    def queue(self, user: str) -> QueueView:
        """The queue as *user* sees it."""
        everybody = list(self._worker.in_order())
        running = len(self._worker.running)
        return QueueView(
            waiting=len(everybody) - running,
            running=running,
            mine=tuple(job for job in everybody if job.user == user),
        )

    async def picture(
        self, user: str, job_id: str, number: int = 1, *, is_shown: bool = False
    ) -> Path:
        """The PNG file of picture *number* (from 1) of a job. *is_shown*: as for `job`.

        Raises:
            NotFound: There is no such job or picture, or it was deleted for its age.
            Conflict: It is not drawn yet, or it failed.
        """
        job = await self._drawn(user, job_id, is_shown)
        if not 1 <= number <= job.images:
            raise NotFound(f"{job.id} has pictures 1 to {job.images}, not {number}", field="number")
        return _existing(self._gallery.picture_path(job.id, number), job)

    async def picture_file(self, user: str, job_id: str, kind: Kind) -> Path:
        """The file that shows all pictures of a job (``grid``, a PNG), a small WebP of it
        (``thumbnail``), or the control map that was used (``map``, a PNG).

        Raises:
            NotFound: There is no such job or file, or it was deleted for its age.
            Conflict: It is not drawn yet, or it failed.
        """
        job = await self._drawn(user, job_id)
        if kind == "grid" and job.images == 1:
            return _existing(self._gallery.picture_path(job.id, 1), job)
        return _existing(self._gallery.path(job.id, kind), job)

    async def control_image(self, user: str, job_id: str) -> Path:
        """The attached picture (PNG, cleaned) that a job of *user* was made from.

        Raises:
            NotFound: There is no such job, or it had none, or it was deleted for its age.
        """
        job = await self.job(user, job_id)
        if job.request.control_image is None:
            raise NotFound(f"{job.id} was made without a control image")
        return _existing(job.request.control_image, job)

    async def delete(self, user: str, job_id: str) -> Job:
        """Delete the pictures of a job that has ended; its line in the history stays.

        Raises:
            NotFound: There is no such job.
            Conflict: It has not ended.
        """
        job = await self.job(user, job_id)
        if not job.status.is_final:
            raise Conflict(f"{job.id} is {job.status}: cancel it first")
        await asyncio.to_thread(self._gallery.delete, job.id)

        def forget(db: sqlite3.Connection) -> None:
            self._store.prune(db, [job.id])
            self._store.close_delivery(db, job.id, Delivery.NONE)

        await self._database.write(forget)
        job.is_pruned = True
        return job

    # Answers that are owed

    async def undelivered(self, platform: str) -> list[Job]:
        """Jobs of people on *platform* who still wait for an answer, oldest first.

        An adapter asks once it can send, and follows them as it follows new ones.
        """
        jobs = await self._database.read(partial(self._store.undelivered, platform=platform))
        return [self._worker.unfinished.get(job.id, job) for job in jobs]

    async def redirect(self, job: Job, reply_to: dict[str, Any]) -> None:
        """Keep where the answer to *job* goes from now on."""
        await self._database.write(partial(self._store.redirect, job_id=job.id, reply_to=reply_to))
        job.reply_to = reply_to

    async def delivered(self, job: Job) -> None:
        """Write that whoever asked for *job*, which has ended, has the answer."""
        await self._database.write(
            partial(self._store.close_delivery, job_id=job.id, delivery=Delivery.DELIVERED)
        )
        job.delivery = Delivery.DELIVERED

    async def undeliverable(self, job: Job, reason: str) -> None:
        """Give up answering whoever asked for *job*, which has ended; its credits go back.

        The picture stays in their history, with *reason*, a sentence.
        """
        give_up = self._outcomes.give_up_delivery
        await self._database.write(partial(give_up, job_id=job.id, reason=reason, now=self._now()))
        job.delivery, job.error = Delivery.NONE, job.error or reason

    # Own defaults

    async def settings(self, user: str) -> dict[str, Any]:
        """Own defaults of *user*: those fields of `ImagineCommand` that are set."""
        return await self._database.read(partial(people.settings, user=user))

    async def change_settings(
        self,
        user: str,
        changes: ImagineCommand | None,
        *,
        is_private: bool | None = None,
        is_reset: bool = False,
    ) -> dict[str, Any]:
        """Keep *changes* as own defaults beside those there are, or with *is_reset* in their
        place; None forgets them all.

        *is_private*, unless None, says whether others shall not see the pictures, where a
        platform can show them to one person alone; it is kept as ``private``.

        Raises:
            InvalidRequest: A value is not allowed here.
        """
        if changes is not None:
            check_settings(changes, self._presets, self.config)

        def keep(db: sqlite3.Connection) -> dict[str, Any]:
            old = {} if is_reset else people.settings(db, user)
            user_defaults = {} if changes is None else merged_settings(old, changes)
            if is_private is not None:
                user_defaults["private"] = is_private
            people.keep_settings(db, user, user_defaults)
            return user_defaults

        return await self._database.write(keep)

    # How it is done

    async def _asked_before(self, event_id: str) -> Job | None:
        """The job that the platform's event asked for, if it came before."""
        job = await self._database.read(partial(self._store.find_event, event_id=event_id))
        return None if job is None else self._worker.unfinished.get(job.id, job)

    def _check_accepting(self, user: str) -> None:
        """Raise Refused where nothing of *user* can be accepted now, whatever it is."""
        state = self.state
        if state.status in ("failed", "stopping"):
            raise NotAccepting(f"nothing is accepted now: {state.message}", retry_in=30.0)
        if self.admin.is_draining:
            raise NotAccepting(DRAINING)
        if self._database.is_full:
            raise StorageTrouble(FULL)
        queue = self.config.queue
        waiting, mine = self._worker.waiting(user)
        if mine + self._admitting[user] >= queue.max_waiting_per_user:
            raise TooManyJobs(
                f"you have {queue.max_waiting_per_user} jobs waiting already, the most one person"
                " may have: wait for one, or cancel one",
                retry_in=self._worker.soon(),
            )
        if waiting + self._admitting.total() >= queue.max_waiting:
            raise QueueFull(
                f"the queue is full ({queue.max_waiting} jobs wait): try again in a little while",
                retry_in=self._worker.soon(),
            )

    async def _complete(
        self, user: str, command: ImagineCommand, image: bytes | None
    ) -> tuple[GenerationRequest, int, CleanImage | None]:
        """The request that *command* means, how many pictures, and the attached one, clean."""
        user_defaults = await self.settings(user)
        if user_defaults.get("preset") not in self.presets:  # it was removed from config.toml since
            user_defaults.pop("preset", None)
        preset = self._presets[
            command.preset or user_defaults.get("preset") or self.config.model.default_preset
        ]
        self._presets.check_pictures(preset, int(image is not None))
        clean, attachment = (None, None) if image is None else await self._clean(image)
        attachments = [] if attachment is None else [attachment]
        request, images = complete(
            command, user_defaults, preset, attachments, self.config, seed=self._new_seed()
        )
        return request, images, clean

    async def _clean(self, image: bytes) -> tuple[CleanImage, Attachment]:
        limit = self.config.control_images.max_megabytes
        if len(image) > limit * 1e6:
            raise InvalidImage(
                f"the file has {len(image) / 1e6:.1f} MB; at most {limit:g} MB are read:"
                " send a smaller one",
                field="control_image",
            )
        clean = await asyncio.to_thread(self._control_images.clean, image)
        path = self._gallery.control_image_path(clean.png)
        return clean, Attachment(path, clean.width, clean.height)

    async def _accept(self, job: Job, clean: CleanImage | None = None) -> Job:
        """Write *job*, its picture and its charge, then queue it."""
        job.submitted_at = self._now()
        job.cost = cost(job, self.config.quota)
        if clean is not None:
            # Looked at here already, so that nobody who will be refused fills the disk.
            await self._database.read(partial(self._check_may_pay, job=job))
            try:
                await asyncio.to_thread(self._gallery.keep_control_image, clean.png)
            except OSError as error:
                logger.error("a control image cannot be stored: %s", error)
                raise StorageTrouble(FULL) from error
        self._check_accepting(job.user)
        self._admitting[job.user] += 1
        # Once it is on disk it must be in the queue too, even if whoever asked has gone.
        return await asyncio.shield(asyncio.create_task(self._admit(job)))

    def _check_may_pay(self, db: sqlite3.Connection, job: Job) -> None:
        people.check_not_banned(db, job.user)
        self._ledger.check(db, job, job.submitted_at)

    async def _admit(self, job: Job) -> Job:
        def admit(db: sqlite3.Connection) -> Job | None:
            if job.event_id is not None:
                earlier = self._store.find_event(db, job.event_id)
                if earlier is not None:
                    return earlier
            people.check_not_banned(db, job.user)
            self._store.insert(db, job)
            self._ledger.charge(db, job, job.submitted_at)
            return None

        # Whoever finds the row, from the commit on, must find the job that moves.
        self._worker.unfinished[job.id] = job
        earlier: Job | None = job
        try:
            earlier = await self._database.write(admit)
        finally:
            self._admitting[job.user] -= 1
            if not self._admitting[job.user]:
                del self._admitting[job.user]
            if earlier is not None:
                del self._worker.unfinished[job.id]
        if earlier is not None:
            return self._worker.unfinished.get(earlier.id, earlier)
        self._worker.enqueue(job)
        return job

    async def _cancel(self, job: Job, reason: str | None = None) -> Job:
        await self._worker.cancel(job, reason)
        if job.status is not JobStatus.CANCELLED:
            raise Conflict(
                f"{job.id} has already {job.status}"
                if job.status.is_final
                else f"it is too late to cancel {job.id}: its end is just being written"
            )
        return job

    async def _drawn(self, user: str, job_id: str, is_shown: bool = False) -> Job:
        job = await self.job(user, job_id, is_shown=is_shown)
        if job.status is not JobStatus.SUCCEEDED:
            verb = "has" if job.status.is_final else "is"
            raise Conflict(f"{job.id} has no picture: it {verb} {job.status}")
        return job

    async def _prune_regularly(self) -> None:
        while True:
            try:
                await self.prune()
            except Exception:
                logger.exception("old pictures cannot be deleted")
            await asyncio.sleep(PRUNE_EVERY)

    async def prune(self) -> int:
        """Delete the files of pictures older than ``gallery.keep_days``, and those that belong
        to no picture; how many jobs' files were too old."""
        old: list[str] = []
        if self.config.gallery.keep_days:
            before = self._now() - self.config.gallery.keep_days * 86400
            old = await self._database.read(partial(self._store.prunable, before=before))
            await asyncio.to_thread(self._gallery.prune_pictures, old)
        # Marked afterwards: a crash in between repeats the deletion instead of forgetting it.
        if old:
            await self._database.write(partial(self._store.prune, job_ids=old))
        # A file may lie here whose job is only being written.
        await self._sweep(self._now() - ORPHANED_FOR)
        return len(old)

    async def _sweep(self, before: float) -> None:
        """Delete what a killed process left: pictures of jobs that ended without one, and
        attached ones from before *before* (unix seconds) that no job refers to."""
        kept = await self._database.read(self._store.control_images)
        await asyncio.to_thread(self._gallery.prune_control_images, kept, before)
        found = await asyncio.to_thread(self._gallery.job_ids)
        orphans = await self._database.read(partial(self._store.without_pictures, job_ids=found))
        await asyncio.to_thread(self._gallery.prune_pictures, orphans)


def _existing(path: Path, job: Job) -> Path:
    if not path.exists():
        raise NotFound(
            f"the picture of {job.id} was deleted; `again {job.id}` draws it anew"
            if job.is_pruned
            else f"there is no such picture of {job.id}"
        )
    return path
