"""What Discord offers while people type an id or a name: pictures by their words and their age.

Each function answers within Discord's three seconds or offers nothing; who may not see a list is
offered nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from discord.app_commands import Choice

from adapters.discord_chat.messages import MAX_CHOICE, shortened
from adapters.discord_chat.people import Interaction, say_of, source_of, user_of
from bot import replies
from bot.commands import SHAPES, AskedLora, CommandError, fit_size, read_option
from bot.commands.history import TODAY, YESTERDAY
from bot.config import Config
from bot.jobs import Job
from bot.languages import Language, in_words
from bot.loras import takers, weights_of
from bot.reports import Reported
from bot.sentences import REGION_LABELS
from bot.service import Service
from generation.errors import FluxbotError

MAX_CHOICES = 25
#: Seconds for a look-up. Discord waits three in all, and asks again at the next letter.
SECONDS = 2.0
#: Letters from which on words are looked for in the whole history.
ENOUGH_TO_SEARCH = 3

Choices = list[Choice[str]]


class Completion:
    """Choices for options of commands.

    Args:
        now: Unix seconds.
    """

    def __init__(self, service: Service, config: Config, now: Callable[[], float]) -> None:
        self._service = service
        self._config = config
        self._now = now

    # Presets and sizes

    async def presets(self, interaction: Interaction, typed: str) -> Choices:
        """Presets that people may choose, each with its description."""
        say, typed = say_of(interaction), typed.lower()
        found = []
        for preset in self._service.presets.values():
            description = say(preset.description)
            if typed in preset.name or typed in description.lower():
                found.append(_choice(f"{preset.name} – {description}", preset.name))
        return found[:MAX_CHOICES]

    async def several_presets(self, interaction: Interaction, typed: str) -> Choices:
        """Presets behind those that are typed already, with commas between them."""
        before, _, last = typed.lower().replace(" ", "").rpartition(",")
        chosen = before.split(",") if before else []
        found = [
            ",".join([*chosen, name])
            for name in self._service.presets
            if last in name and name not in chosen
        ]
        return [_choice(each, each) for each in found if len(each) <= MAX_CHOICE][:MAX_CHOICES]

    async def loras(self, interaction: Interaction, typed: str) -> Choices:
        """LoRAs behind those that are typed already, with their usual weights; behind a colon
        with others too. Where a preset is chosen before, only those that go with it."""
        say, presets = say_of(interaction), self._service.presets
        preset = presets.get(str(getattr(interaction.namespace, "preset", "")).lower())
        before, _, last = typed.lower().replace(" ", "").rpartition(",")
        chosen = before.split(",") if before else []
        taken = {each.partition(":")[0] for each in chosen}
        found = {}
        for lora in self._service.offered.loras.values():
            if preset is not None and not takers(lora, [preset], self._config):
                continue
            weights = weights_of(lora) if ":" in last else (lora.lora_scale,)
            for each in (str(AskedLora(lora.name, weight)) for weight in weights):
                if last in each and lora.name not in taken:
                    found[",".join([*chosen, each])] = say(lora.description)
        choices = [
            _choice(f"{value} – {description}" if description else value, value)
            for value, description in found.items()
            if len(value) <= MAX_CHOICE
        ]
        if ":" not in last or typed in found or len(typed) > MAX_CHOICE:
            return choices[:MAX_CHOICES]
        try:
            read_option("lora", typed)
        except CommandError:
            return choices[:MAX_CHOICES]
        return [_choice(typed, typed), *choices][:MAX_CHOICES]

    async def all_presets(self, interaction: Interaction, typed: str) -> Choices:
        """Presets of the configuration, for admins."""
        found = [name for name in self._config.presets if typed.lower() in name]
        return [_choice(name, name) for name in found[:MAX_CHOICES]]

    async def sizes(self, interaction: Interaction, typed: str) -> Choices:
        """Shapes with their sides, and what was typed where it is a size."""
        pixels = self._config.model.width * self._config.model.height
        choices = []
        for name, shape in SHAPES.items():
            width, height = fit_size(shape, pixels)
            choices.append(_choice(f"{name} – {width}x{height}", name))
        found = [choice for choice in choices if typed.lower() in choice.name]
        try:
            read_option("size", typed)
        except CommandError:
            return found
        return [_choice(typed, typed), *found][:MAX_CHOICES]

    async def regions(self, interaction: Interaction, typed: str) -> Choices:
        """Parts of a picture, and what was typed where it is one, such as fields."""
        say = say_of(interaction)
        named = [_choice(say(label), name) for name, label in REGION_LABELS.items()]
        found = [each for each in named if typed.lower() in f"{each.name} {each.value}".lower()]
        try:
            read_option("mask", typed)
        except CommandError:
            return found
        return [_choice(typed, typed), *(each for each in found if each.value != typed)]

    async def days(self, interaction: Interaction, typed: str) -> Choices:
        """Today, yesterday and the days before, as far as *typed* is part of them."""
        today = datetime.fromtimestamp(self._now(), UTC).date()
        before = [(today - timedelta(days=ago)).isoformat() for ago in range(2, MAX_CHOICES)]
        say, typed = say_of(interaction), typed.lower()
        named = [_choice(say("today"), TODAY), _choice(say("yesterday"), YESTERDAY)]
        found = [*named, *(_choice(day, day) for day in before)]
        return [each for each in found if typed in each.name.lower() or typed in each.value]

    # One's own pictures

    async def own(self, interaction: Interaction, typed: str) -> Choices:
        """The person's own jobs, newest first; older ones by their words."""
        return await self._jobs(interaction, typed, self._own(interaction, typed))

    async def ended(self, interaction: Interaction, typed: str) -> Choices:
        """Those of them that have pictures to delete."""

        async def found() -> Iterable[Job]:
            jobs = await self._own(interaction, typed)
            return [job for job in jobs if job.status.is_final and not job.is_pruned]

        return await self._jobs(interaction, typed, found())

    async def unfinished(self, interaction: Interaction, typed: str) -> Choices:
        """The person's jobs that wait or are being drawn."""

        async def found() -> Iterable[Job]:
            return self._service.queue(user_of(interaction.user)).mine

        return await self._jobs(interaction, typed, found())

    async def _own(self, interaction: Interaction, typed: str) -> Iterable[Job]:
        user, history = user_of(interaction.user), self._service.lookups.history
        newest = (await history(user, limit=MAX_CHOICES)).jobs
        if len(typed) < ENOUGH_TO_SEARCH:
            return newest
        older = (await history(user, typed, limit=MAX_CHOICES)).jobs
        return {job.id: job for job in (*newest, *older)}.values()

    # For admins, and for people who manage a server

    async def queued(self, interaction: Interaction, typed: str) -> Choices:
        """Everybody's unfinished jobs, in order."""

        async def found() -> Iterable[Job]:
            return self._service.admin.queue(user_of(interaction.user))

        return await self._jobs(interaction, typed, found())

    async def given_up(self, interaction: Interaction, typed: str) -> Choices:
        """Jobs that can be replayed."""
        user = user_of(interaction.user)
        return await self._jobs(interaction, typed, self._service.admin.dead_letters(user))

    async def held(self, interaction: Interaction, typed: str) -> Choices:
        """Pictures that wait for a decision here."""
        held = self._service.review.held(user_of(interaction.user), self._scope(interaction))
        return await self._jobs(interaction, typed, held)

    async def reported(self, interaction: Interaction, typed: str) -> Choices:
        """Pictures with open reports here."""
        found: Iterable[Reported] = ()
        with suppress(FluxbotError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                found = await self._service.moderation.reported(
                    user_of(interaction.user), self._scope(interaction)
                )
        lines = zip(replies.reported(found).splitlines(), found, strict=False)
        choices = [_choice(line, each.job_id) for line, each in lines]
        return [each for each in choices if typed.lower() in each.name.lower()][:MAX_CHOICES]

    async def judged(self, interaction: Interaction, typed: str) -> Choices:
        """Pictures that moderators may want to know more of: reported, held, or in the queue."""
        look_ups = (self.reported, self.held, self.queued, self.own)
        lists = await asyncio.gather(*(look_up(interaction, typed) for look_up in look_ups))
        found = {choice.value: choice for choices in lists for choice in choices}
        return list(found.values())[:MAX_CHOICES]

    def _scope(self, interaction: Interaction) -> str | None:
        """The server to which the person is limited; None for an admin of the bot."""
        is_admin = self._service.admin.is_admin(user_of(interaction.user))
        return None if is_admin else source_of(interaction).origin.server

    # Their look

    async def _jobs(
        self, interaction: Interaction, typed: str, look_up: Awaitable[Iterable[Job]]
    ) -> Choices:
        """Choices for the jobs that *look_up* finds, as far as *typed* is part of their words or
        their id."""
        jobs: Iterable[Job] = ()
        with suppress(FluxbotError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                jobs = await look_up
        say, typed = say_of(interaction), typed.lower()
        return [
            _choice(self._label(job, say), job.id)
            for job in jobs
            if typed in job.id or typed in job.request.prompt.lower()
        ][:MAX_CHOICES]

    def _label(self, job: Job, say: Language) -> str:
        """Prompt, age and id: people know their pictures by the first two."""
        age = max(self._now() - job.submitted_at, 1.0)
        facts = f" · {say('{time} ago', time=in_words(age, say))} · {job.id}"
        return f"{replies.short(job, MAX_CHOICE - len(facts))}{facts}"


def _choice(name: str, value: str) -> Choice[str]:
    return Choice(name=shortened(name, MAX_CHOICE), value=value)
