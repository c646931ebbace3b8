"""Parts of a workspace: people, channels, messages, files, views; and its time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"<([^<>]*)>")
HARMLESS = re.compile(r"@[UW]\w+|https://\w+\.slack\.com/archives/\w+/p\d+\|[\w ]+")
LOOSE = re.compile(r"&(?!amp;|lt;|gt;)")


class Time:
    """Seconds that pass only when somebody sleeps them, or a test lets them pass.

    Sleepers wake in the order of their deadlines, so that what takes minutes at Slack takes
    no time here and yet comes in order. *clock* is what the bot reads too; it has `now`.

    Attributes:
        waited: Seconds that a test let pass. Deadlines are counted in these, since somebody
            else's sleep is no delay of an answer.
    """

    def __init__(self, clock):
        self.clock = clock
        self._sleepers = []
        self._numbers = itertools.count()
        self._moved = asyncio.Event()
        self._is_held = False
        self.waited = 0.0

    def __call__(self):
        return self.clock.now

    def hold(self):
        """From now on time passes through `advance` alone."""
        self._is_held = True

    def release(self):
        """From now on sleepers do not wait for `advance` any more."""
        self._is_held = False
        self._wake()

    async def advance(self, seconds):
        self.clock.now += seconds
        self.waited += seconds
        self._wake()
        await asyncio.sleep(0)

    async def sleep(self, seconds):
        me = (self.clock.now + max(0.0, seconds), next(self._numbers))
        heapq.heappush(self._sleepers, me)
        try:
            await asyncio.sleep(0)
            while (self._is_held and self.clock.now < me[0]) or self._sleepers[0] != me:
                await self._moved.wait()
            self.clock.now = max(self.clock.now, me[0])
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)
            self._wake()

    def _wake(self):
        self._moved.set()
        self._moved = asyncio.Event()


@dataclass
class Budget:
    """A number of acts a second, and a few at once."""

    rate: float
    burst: float
    tokens: float = field(init=False)
    since: float = 0.0

    def __post_init__(self):
        self.tokens = self.burst

    def spend(self, now):
        """Take one; returns the seconds to wait where there is none."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.since) * self.rate)
        self.since = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


@dataclass(eq=False)
class File:
    """A file as Slack keeps it."""

    id: str
    name: str
    data: bytes = b""
    length: int = 0
    mimetype: str = "image/png"
    owner: str = ""
    is_complete: bool = True
    lookups: int = 0  # of files.info, until it counts as processed; or with time
    completed_at: float = 0.0
    url: str = ""
    title: str = ""
    channel: str = ""  # in which it was shared

    def shown(self, is_ready=True):
        """The file object of events and answers."""
        known = {"mimetype": self.mimetype, "filetype": self.mimetype.rpartition("/")[2]}
        return {
            "id": self.id,
            "created": 1700000000,
            "timestamp": 1700000000,
            "name": self.name,
            "title": self.title or self.name,
            **(known if is_ready else {"mimetype": "", "filetype": ""}),
            "pretty_type": "PNG",
            "user": self.owner,
            "editable": False,
            "size": len(self.data),
            "mode": "hosted",
            "is_external": False,
            "external_type": "",
            "is_public": True,
            "public_url_shared": False,
            "display_as_bot": False,
            "url_private": self.url,
            "url_private_download": self.url,
            "user_team": "T0123",
            "username": "",
            "media_display_type": "unknown",
            "permalink": f"https://team.slack.com/files/{self.owner}/{self.id}/{self.name}",
            "permalink_public": f"https://slack-files.com/T0123-{self.id}-0",
            "is_starred": False,
            "has_rich_preview": False,
            "file_access": "visible",
        }


class Channel:
    """A conversation: what everybody sees in it, and what one person alone is shown.

    Attributes:
        messages: By timestamp, oldest first; what was deleted is gone.
        whispers: (user, message) that only that person sees; *whispered_at* has their times.
        acts: (time, lines, thread) of what people do without a message: press, send a form.
        texts: Every text that each message ever had, by timestamp.
        statuses, titles: Of threads, by their first message; the next answer ends a status.
        prompts: Those that are offered where nobody has written yet.
        broken: The error of each call of a method that is about this conversation, by method.
        unchangeable: Timestamps of messages that can be edited no more.
    """

    def __init__(self, id, name="general", is_im=False, is_private=False):
        self.id, self.name, self.is_im, self.is_private = id, name, is_im, is_private
        self.has_bot = True
        self.is_archived = False
        self.messages = {}
        self.whispers, self.whispered_at, self.acts = [], [], []
        self.texts = {}
        self.statuses, self.titles, self.prompts = {}, {}, []
        self.broken = {}
        self.unchangeable = set()
        self._changed = asyncio.Event()

    @property
    def kind(self):
        return "im" if self.is_im else "group" if self.is_private else "channel"

    def touch(self):
        self._changed.set()
        self._changed = asyncio.Event()

    def whisper(self, user, message, ts):
        self.whispers.append((user, message))
        self.whispered_at.append(ts)
        self.touch()

    def replace_whisper(self, user, message):
        """The last one to *user* is *message* from now on."""
        index = max(index for index, (to, _) in enumerate(self.whispers) if to == user)
        self.whispers[index] = (user, message)
        self.touch()

    async def until(self, predicate):
        """Wait until *predicate* of the messages is true; returns what it returned."""
        async with asyncio.timeout(10):
            while True:
                changed, answer = self._changed, predicate(list(self.messages.values()))
                if answer:
                    return answer
                await changed.wait()

    async def whispered(self, user, words):
        """Wait until *user* was told *words* in private; returns the message."""

        def found(_):
            told = [message for to, message in self.whispers if to == user]
            return next((each for each in told if words in shown_text(each)), None)

        return await self.until(found)

    async def said(self, words, button=None):
        """Wait until a message says *words* (and has *button*); returns it."""

        def found(messages):
            return next(
                (
                    message
                    for message in messages
                    if words in shown_text(message)
                    and (button is None or button in buttons(message))
                ),
                None,
            )

        return await self.until(found)


def shown_text(message):
    """All words that a person sees in *message*, those of its blocks included."""
    blocks = message.get("blocks") or []
    parts = [] if blocks else [message.get("text", "")]

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("text"), str):
                parts.append(node["text"])
            if isinstance(node.get("alt_text"), str):
                parts.append(node["alt_text"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(blocks)
    return "\n".join(parts)


def elements(blocks):
    """(block, element) of everything in *blocks* that can be pressed or filled in."""
    for block in blocks:
        for element in block.get("elements", ()):
            yield block, element
            for each in element.get("actions", ()):
                yield block, each
        for name in ("accessory", "element"):
            if name in block:
                yield block, block[name]


def buttons(message):
    """The labels of its buttons."""
    found = [each for _, each in elements(message.get("blocks") or []) if each["type"] == "button"]
    return [each["text"]["text"] for each in found]


def images(message):
    """The ids of the files that its blocks show."""
    blocks = message.get("blocks") or ()
    found = [block for block in blocks if block["type"] == "image"]
    cards = [card for block in blocks if block["type"] == "carousel" for card in block["elements"]]
    found += [card["hero_image"] for card in cards if "hero_image" in card]
    return [block["slack_file"]["id"] for block in found if "slack_file" in block]


def markup_problems(node):
    """Text with markup in which something could ping, link or break."""
    found = []
    if isinstance(node, dict):
        if node.get("type") == "mrkdwn":
            found += loose(node.get("text", ""))
        for value in node.values():
            found += markup_problems(value)
    elif isinstance(node, list):
        for value in node:
            found += markup_problems(value)
    return found


def loose(text):
    """Markup in *text* that was not escaped; naming one person is no fault, nor is leading to a
    message of Slack's own."""
    found = [f"<{each}>" for each in TOKEN.findall(text) if not HARMLESS.fullmatch(each)]
    found += [match[0] + text[match.start() : match.start() + 12] for match in LOOSE.finditer(text)]
    bare = TOKEN.sub("", text)
    return found + [f"bare {each}" for each in "<>" if each in bare]


def pings(text):
    """Whom *text* calls."""
    return re.findall(r"<@([UW]\w+)>|<(![^<>]+)>", text)
