"""The service: everything that an adapter can ask for, whatever the platform looks like.

It makes a request complete and durable, and hands out a `Job` to watch.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal

from bot import votes
from bot.administration import CANCELLED, DRAINING, Administration
from bot.admission import Admission
from bot.answers import Answers
from bot.attachments import Attachments
from bot.catalogue import Catalogue
from bot.commands import ImagineCommand, Variation
from bot.config import Config
from bot.dashboard import Dashboard
from bot.database import Database
from bot.drafts import Drafts
from bot.expansion import Expansion
from bot.favourites import Favourites
from bot.formats import Formats
from bot.gallery import Gallery
from bot.histories import Histories
from bot.idempotency import IdempotencyKeys
from bot.inspection import Inspections
from bot.invitations import Invitations
from bot.job_ids import JobIds
from bot.job_store import JobStore
from bot.jobs import Delivery, Job, JobStatus, new_id
from bot.judging import Judging
from bot.ledger import Ledger, QuotaStatus
from bot.lineage import Relation
from bot.linking import Linking
from bot.lookups import Lookups
from bot.loras import still_offered
from bot.metrics import Metrics
from bot.models import model_name, names_of
from bot.moderation import Moderation
from bot.origins import NOWHERE, Origin
from bot.outcomes import LOST_TOO_OFTEN, MAX_ATTEMPTS, UNREADABLE, Outcomes, given_up
from bot.own_data import OwnData
from bot.own_settings import OwnSettings
from bot.preferences import PreferenceBook
from bot.presets import Presets
from bot.previews import Previews
from bot.proposals import Proposals
from bot.refusals import Conflict, NotFound
from bot.requests import (
    can_be_enlarged,
    check_remembered,
    upscaled,
    varied,
)
from bot.review import Reviewing
from bot.samples import Samples
from bot.screens import BROKEN, Screens
from bot.selves import Selves
from bot.sentences import held
from bot.servers import Servers
from bot.sessions import Sessions
from bot.sharing import Sharing
from bot.showcase import Showcase
from bot.shown import Shown
from bot.source import Picture, PictureOf, Source
from bot.together import Together
from bot.upkeep import Upkeep
from bot.views import About, EngineState, EngineView, QueueView
from bot.webhooks import Webhooks
from bot.worker import Worker
from generation.checks import MAX_SEED
from generation.protocols import ControlImages, Executor, Fleet
from generation.types import Preset


class Service:
    """The bot, whatever the chat platform.

    Await `start` once, then keep `run` running. *executors* stay, those of *fleet* come and go.
    *screens* judge words and pictures,
    *read_config* reads presets and LoRAs anew, *now* is the clock (unix seconds), *new_seed* and
    *new_id* are the dice.

    Attributes:
        about: Introduction of the loaded model.
        admin: The acts of admins.
        offered: Presets and LoRAs as they are now.
        catalogue: The models that they draw with.
        metrics: Counts of what has happened.
        lookups: Jobs and their files, for those who may see them.
        selves: The accounts that people have joined.
        linking: Codes that join them, and their parting.
        own_settings: What people set for themselves.
        preferences: Words of their own.
        dashboard: What admins look at.
        own_data: Export and deletion of a person's data.
        attachments: The way to the content of strangers' files.
        previews: Prices and control maps.
        expansion: Richer words for prompts.
        proposals: What was proposed to people, until they answer.
        together: Series of jobs.
        servers_here: Servers (``platform-server:id``) that the bot is in, as far as platforms tell.
        invitations: Links that sign in on the page.
        sessions: Who is signed in on the page.
        webhooks: Addresses that are told of the ends of jobs.
        formats: Stored pictures in other formats.
        favourites: Pictures that people want to find again.
        histories: What people look for among their pictures.
        sharing: Pictures that whoever has their link may see.
        idempotency: Keys of requests that may be sent again.
        answers: Answers that are owed to people on a platform.
        servers: The acts of people who manage a server.
        moderation: Reports, and the acts of moderators.
        review: The moderators' acts on pictures that a screen holds back.
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
        screens: Screens,
        read_config: Callable[[], Config],
        fleet: Fleet | None = None,
        now: Callable[[], float] = time.time,
        new_seed: Callable[[], int] = lambda: secrets.randbelow(MAX_SEED + 1),
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self.config = config
        self.about = about
        self._database = database
        self._gallery, self.provenance = gallery, gallery.provenance
        self._now = now
        self.offered = Presets(config, read_config)
        self._ledger = Ledger(config.quota)
        self._store = JobStore(gallery.control_images)
        self._outcomes = Outcomes(self._store, self._ledger, config.screens)
        self._screens = screens
        self.selves = Selves(database)
        judging = Judging(screens, config.screens)
        model = model_name(config.model)
        self.metrics = Metrics(self.offered)
        self._worker = Worker(
            executors,
            database,
            self._store,
            self._outcomes,
            gallery,
            judging,
            tuple(names_of(config)),
            self.metrics,
            now,
            self.selves.person_of,
            fleet,
        )
        ids = JobIds(database, self._store, gallery, self._worker.unfinished, new_id)
        self.admin = Administration(
            config.admins.users,
            database,
            self._ledger,
            self._worker,
            self.offered,
            config.model.default_preset,
            model,
            self._store,
            gallery,
            ids,
            self._cancel,
            self.selves,
            now,
        )
        self.lookups = Lookups(
            database,
            self._store,
            gallery,
            self._worker.unfinished,
            self.admin.is_admin,
            self.selves,
        )
        self.own_settings = OwnSettings(config, database, self.offered)
        self.preferences = PreferenceBook(database)
        self.attachments = Attachments(config.control_images, control_images, now, self.provenance)
        self.formats = Formats(self.provenance)
        self._drafts = Drafts(
            config,
            database,
            self.offered,
            gallery,
            self.attachments,
            new_seed,
            lambda: self.about,
        )
        self._admission = Admission(
            config,
            database,
            self._store,
            self._ledger,
            self._worker,
            gallery,
            self.admin,
            ids,
            judging,
            self.selves,
            now,
        )
        self.samples = Samples(
            config.storage.data_dir,
            config.model.repository,
            about.samples,
            self.offered,
            config.model.default_preset,
            gallery,
            self.admin,
            self.submit,
        )
        self.catalogue = Catalogue(config, self.offered, lambda: self._worker.loaded, database)
        self.linking = Linking(database, self._ledger, self.selves, self._admission.leaving, now)
        self.shown = Shown()
        self.review = Reviewing(
            config.screens,
            database,
            self._store,
            self._outcomes,
            self._worker,
            gallery,
            self.admin,
            self.shown,
            now,
        )
        self.dashboard = Dashboard(self.admin, database, now)
        self.servers = Servers(database, self._worker, self.admin, self._cancel, now)
        self.answers = Answers(database, self._store, self._outcomes, self._worker, now)
        self.invitations = Invitations(database, config.web.public_url, now)
        self.servers_here: set[str] = set()
        self.sessions = Sessions(database, config.web.session_days, now)
        self.favourites = Favourites(database, self.lookups, now)
        self.histories = Histories(self.lookups, self.offered, now)
        self.sharing = Sharing(config, database, self._store, self.lookups, now)
        self.showcase = Showcase(config.showcase, database, self.lookups, self.selves, now)
        self.webhooks = Webhooks(database, self._store, now)
        self.idempotency = IdempotencyKeys(database, now)
        self.previews = Previews(
            config.quota, self._drafts, self._admission, self.attachments, self._worker, self.quota
        )
        self.proposals = Proposals(self.selves, now)
        self.expansion = Expansion(config.expansion, database, judging, now)
        self.together = Together(
            config.limits,
            self._drafts,
            self._admission,
            self.attachments,
            self.lookups,
            self.offered,
            self._store,
            self._worker,
            self._bytes,
            self.cancel,
            lambda source: self.quota(source.user, source.origin),
        )
        self.own_data = OwnData(
            config,
            database,
            self._store,
            self._outcomes,
            gallery,
            self._worker,
            self._admission,
            self.sessions,
            self.linking,
            now,
        )
        self.moderation = Moderation(
            config,
            database,
            self._store,
            self._worker,
            gallery,
            self.admin,
            self.own_data,
            self.shown,
            now,
        )
        self.inspections = Inspections(self.attachments, self.check_may_draw, self._bytes)
        self._upkeep = Upkeep(config, database, self._store, gallery, self.review, now)

    # Start and end

    async def start(self) -> None:
        """Take up the jobs that the last process left. Nobody may submit before this is done."""
        await self.selves.start()
        left = await self._database.read(self._store.unfinished)
        give_up = partial(self._outcomes.write, outcome=given_up(UNREADABLE, self._now()))
        for job_id in left.unreadable:
            await self._database.write(partial(give_up, job_id=job_id))
        for jobs in (left.begun, left.waiting):
            for job in [job for job in jobs if job.attempts >= MAX_ATTEMPTS]:
                jobs.remove(job)
                await self._worker.give_up(job, LOST_TOO_OFTEN)
            for job in jobs:
                job.ready = await asyncio.to_thread(self._gallery.stored, job)
                job.request = replace(job.request, model=self.offered.model_of(job.request))
        self._worker.take_up(left)
        await self.admin.start()
        await self.sessions.start()
        self._upkeep.sweep_before = self._now()

    async def finish(self, seconds: float) -> None:
        """Accept and begin no more jobs; returns when running ones are done, after *seconds* at
        most. `run` is to be cancelled next, and gives back unfinished jobs."""
        await self._worker.finish(seconds)

    async def rest(self, seconds: float) -> None:
        """Accept jobs and draw none for *seconds*, after crash upon crash."""
        await self._worker.rest(seconds)

    def fail(self, reason: str) -> None:
        """Accept and draw nothing until a restart, for *reason*; looking things up still works as
        far as it does."""
        self._worker.fail(reason)

    @property
    def is_drawing(self) -> bool:
        """Whether an engine is drawing."""
        return bool(self._worker.running)

    async def run(self) -> None:
        """Draw until cancelled."""
        pruning = asyncio.gather(self._upkeep.run(), self.own_data.run(), self.sessions.run())
        loading = asyncio.create_task(self._screens.load())
        try:
            await self._worker.run()
        finally:
            self.attachments.close()
            self.formats.close()
            self.samples.close()
            pruning.cancel()
            loading.cancel()
            self._screens.close()
            with suppress(asyncio.CancelledError):
                await pruning

    async def prune(self) -> int:
        """See `Upkeep.prune`."""
        return await self._upkeep.prune()

    def engines(self) -> tuple[EngineView, ...]:
        """What there is to say of each engine, for operators."""
        return self._worker.engines()

    @property
    def state(self) -> EngineState:
        """State of drawing."""
        state = self._worker.state
        if self._screens.problem:
            return EngineState("failed", BROKEN)
        if self.admin.is_draining and state.status == "ready":
            return EngineState("draining", DRAINING)
        return state

    # Drawing

    async def asked_before(self, event_id: str | None) -> Job | None:
        """The job that the platform's event has made already; None if it has made none."""
        return await self._admission.asked_before(event_id)

    async def submit(
        self,
        source: Source,
        command: ImagineCommand,
        pictures: Sequence[Picture] = (),
        remarks: Sequence[str] = (),
        *,
        relation: Relation = Relation.DRAWN_FROM,
    ) -> Job:
        """The job for *command* of *source*, charged and queued; it is on disk when this returns.

        A repeated event has its earlier job. *pictures* are the pictures to draw from, which are
        neither fetched nor looked at before it is clear that the person may draw now; the job of
        an earlier picture among them is the parent, to which it has that *relation*.

        Raises:
            InvalidRequest: The request can never succeed as written.
            Refused: Not now, or not for this person; see ``bot/refusals.py``.
        """
        with self._admission.asking(source.user):
            if earlier := await self._admission.asked_before(source.event_id):
                return earlier
            await self._admission.check(source)
            images = [await self._bytes(source, picture) for picture in pictures]
            draft = await self._drafts.draft(source.user, command, images)
            draft = replace(draft, remarks=(*remarks, *draft.remarks))
            parents = [each.job_id for each in pictures if isinstance(each, PictureOf)]
            if parents:
                parent = await self.lookups.job(source, parents[0])
                await self.lookups.check_may_build(source, parent)
                # Nobody gives a seed by a button.
                is_given = draft.is_seed_given and relation is Relation.DRAWN_FROM
                how = Relation.EDITED if draft.request.kind.edits else relation
                draft = replace(draft, parent=parent, relation=how, is_seed_given=is_given)
            return await self._admission.accept(source, draft)

    async def needs_a_picture(self, user: str, command: ImagineCommand) -> bool:
        """Whether *command* of *user* has a preset that draws from an attached picture."""
        return await self._drafts.needs_a_picture(user, command)

    async def again(
        self,
        source: Source,
        job_id: str | None = None,
        changes: ImagineCommand | None = None,
        *,
        vary: bool = False,
        same: bool = False,
        number: int | None = None,
        remarks: Sequence[str] = (),
        relation: Relation | None = None,
    ) -> Job:
        """The job that draws an earlier one again: as a new picture, or with *same* the same
        pixels. `Drafts.again` says which seed it has; with *vary* always a new one.

        *job_id* None means `latest`. Fields of *changes* that are not None replace those of the
        earlier request. *number* draws that picture (from 1) alone. *remarks* come before the job's
        own. *relation* is what they come to, where that has a name of its own.

        Raises:
            NotFound: There is no such job, or its control image was deleted for its age.
            InvalidRequest, Refused: As for `submit`.
        """
        with self._admission.asking(source.user):
            if earlier := await self._admission.asked_before(source.event_id):
                return earlier
            await self._admission.check(source)
            if job_id is None:
                original = await self.lookups.latest(source)
                if original is None:
                    raise NotFound("you have no picture yet that could be drawn again")
            else:
                original = await self.lookups.job(source, job_id)
            check_remembered(original)
            await self.lookups.check_may_build(source, original)
            draft = await self._drafts.again(original, changes, vary=vary, same=same, number=number)
            relation, remarks = relation or draft.relation, (*remarks, *draft.remarks)
            draft = replace(draft, remarks=remarks, relation=relation)
            return await self._admission.accept(source, draft)

    async def from_picture(
        self,
        source: Source,
        picture: PictureOf,
        purpose: Literal["vary", "upscale"],
        how: Variation | None = None,
    ) -> Job:
        """The job for a variation, or a larger version, of one earlier picture.

        A variation starts from the picture where a preset can do that with its model, else from a
        new seed. It goes as far as *how* says by the strength of image to image, which means the
        same for every model and preset: a noise near the old one would keep the layout of some
        models only, and none of a picture that was drawn elsewhere. A larger version takes a preset
        with ``upscale``, of the same model where there is one.

        Raises:
            NotFound: There is no such picture, or no preset that enlarges.
            InvalidRequest, Refused: As for `submit`.
        """
        offered, is_varied = self.offered, purpose == "vary"
        model = offered.model_of((await self.lookups.job(source, picture.job_id)).request)
        preset = offered.redrawing(model) if is_varied else offered.enlarging(model)
        if preset is None and is_varied:
            return await self.again(source, picture.job_id, vary=True, number=picture.number)
        if preset is None:
            raise NotFound("no preset here makes pictures larger")
        job = await self.lookups.with_picture(source, picture.job_id, picture.number)
        check_remembered(job)
        drawn = list(job.requests)[picture.number - 1]
        settings = self.config.model_for(preset.model)
        request, remarks = still_offered(drawn, offered.loras, settings)
        if not is_varied:
            command, relation = upscaled(request, preset), Relation.UPSCALED
        else:
            own = await self.own_settings.of(source.user)
            most = self.config.limits.images
            images = min(own.get("images") or self.config.variations.images, most)
            command = varied(request, preset, self.config.variations, images, how)
            relation = Relation(how) if how else Relation.VARIED
        return await self.submit(source, command, (picture,), remarks, relation=relation)

    def can_enlarge(self, job: Job) -> bool:
        """Whether a preset makes the pictures of *job* larger, within the limits."""
        larger = self.offered.enlarging(self.offered.model_of(job.request))
        return can_be_enlarged(job.request, larger, self.config.limits)

    async def check_may_draw(self, source: Source) -> None:
        """Raise NotAllowed where the person is banned, or drawing is not allowed in the place."""
        await self._admission.check_may_draw(source)

    async def cancel(
        self, source: Source, job_id: str | None = None, reason: str | None = None
    ) -> Job:
        """The job of *source*, cancelled; without *job_id* the newest one.

        Returns once the job has ended, for a running job within one denoising step. The credits of
        steps that were drawn are kept, unless an admin cancels somebody else's job, or there is a
        *reason* that is not the person's, a sentence.

        Raises:
            NotFound: There is no such job.
            NotAllowed: The job was shown to *source*, but is somebody else's.
            Conflict: The job has already ended, or its picture is just being stored.
        """
        if job_id is not None:
            job = await self.lookups.own_job(source, job_id)
            is_theirs = self.lookups.is_own(source, job)
            return await self._cancel(job, reason if is_theirs else CANCELLED)
        unfinished = self._worker.unfinished.values()
        mine = [job for job in unfinished if self.lookups.is_own(source, job)]
        if not mine:
            raise NotFound("none of your jobs is waiting or being drawn")
        # One that is held cannot be cancelled, and is no reason to go on with the others.
        return await self._cancel(
            max(reversed(mine), key=lambda job: job.status is not JobStatus.HELD)
        )

    # Looking things up

    @property
    def presets(self) -> dict[str, Preset]:
        """The presets that people may choose, by name."""
        return self.offered.available

    async def quota(self, user: str, origin: Origin = NOWHERE) -> QuotaStatus:
        """Credits of *user*, asking from *origin*."""
        status = partial(self._ledger.status, user=user, now=self._now(), origin=origin)
        return await self._database.read(status)

    def queue(self, user: str) -> QueueView:
        """The queue as *user* sees it."""
        accounts = self.selves.of(user)
        waiting, _ = self._worker.waiting(accounts)
        running = len(self._worker.running)
        return QueueView(waiting, running, mine=tuple(self._worker.of(accounts)))

    async def delete(self, source: Source, job_id: str) -> Job:
        """The job, which has ended, with its pictures deleted; its line in the history stays.

        Raises:
            NotFound: There is no such job.
            NotAllowed: The job was shown to *source*, but is somebody else's.
            Conflict: The job has not ended.
        """
        job = await self.lookups.own_job(source, job_id)
        if job.status is JobStatus.HELD:
            raise held()
        if not job.status.is_final:
            raise Conflict(f"{job.id} is {job.status}: cancel it first")
        await asyncio.to_thread(self._gallery.delete, job.id)

        def forget(db: sqlite3.Connection) -> None:
            votes.withdraw(db, [job.id])
            self._store.prune(db, [job.id])
            self._store.close_delivery(db, job.id, Delivery.NONE)

        await self._database.write(forget)
        job.is_pruned = True
        return job

    # Shared steps

    async def _bytes(self, source: Source, picture: Picture) -> bytes:
        if isinstance(picture, bytes):
            return picture
        if not isinstance(picture, PictureOf):
            return await picture()
        path = await self.lookups.picture(source, picture.job_id, picture.number)
        return await asyncio.to_thread(path.read_bytes)

    async def _cancel(self, job: Job, reason: str | None = None) -> Job:
        await self._worker.cancel(job, reason)
        if job.status is JobStatus.HELD:
            raise held()
        if job.status is not JobStatus.CANCELLED:
            raise Conflict(
                f"{job.id} has already {job.status}"
                if job.status.is_final
                else f"it is too late to cancel {job.id}: it is just being finished"
            )
        return job
