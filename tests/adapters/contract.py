"""One conversation for all platforms: what everybody can count on, wherever they talk.

A platform's tests subclass `ConversationContract` and bring the fixtures `bot`, `asker` and
`other`: two people of that platform, who speak and see in its real payloads.
"""

from typing import Protocol

from PIL import Image

from bot.jobs import JobStatus
from generation.errors import GenerationError
from tests.conftest import ADMIN, INPAINTING
from tests.samples import file, noise, opened

SMALL = "--size 64x64 --steps 3"


class Asked(Protocol):
    """A picture that somebody asked for, as they see it."""

    async def ahead(self) -> int:
        """Wait until they are told their place; returns how many are ahead."""

    async def step(self) -> tuple[int, int]:
        """Wait until they see a step go by; returns which, of how many."""

    async def picture(self) -> bytes:
        """Wait for the picture; returns its file."""

    async def cancel(self) -> None:
        """Stop it, with whatever the platform has for that."""

    async def failure(self) -> str:
        """Wait until they are told that there will be no picture, and why."""


class Asker(Protocol):
    """Somebody on a platform."""

    key: str

    async def ask(self, text: str, image: bytes | None = None, mask: bytes | None = None) -> Asked:
        """Ask for a picture, which is accepted."""

    async def again(self) -> Asked:
        """Ask for the last picture once more."""

    async def vary(self, asked: Asked) -> Asked:
        """Ask for a variation of *asked*, which was the last picture."""

    async def refused(
        self, text: str, image: bytes | None = None, mask: bytes | None = None
    ) -> str:
        """Ask for a picture, which is refused; returns the sentence."""


def jpeg_without_an_end():
    return file(noise(64, 64), "JPEG")[:-200]


class ConversationContract:
    """Queued, progress, picture, cancel, quota, bad number, bad picture, crash; and what goes on
    from the last picture."""

    async def test_people_see_their_place_then_the_steps_then_the_picture(
        self, bot, asker, other, gate
    ):
        first = await other.ask(f"a cat {SMALL}")
        second = await asker.ask(f"a fox in snow {SMALL} --seed 7")
        assert await second.ahead() == 1

        gate.allow(4)
        step, of = await second.step()
        assert 0 <= step <= of == 3

        gate.open()
        shown = opened(await second.picture())
        assert (shown.size, shown.format) == ((64, 64), "PNG")
        assert '"seed": 7' in shown.text["fluxbot"]
        assert await first.picture()

    async def test_what_is_cancelled_costs_nothing(self, bot, asker, other):
        await other.ask(f"a cat {SMALL}")
        asked = await asker.ask(f"a fox {SMALL}")
        assert await asked.ahead() == 1

        await asked.cancel()

        assert "ancelled" in await asked.failure()
        assert (await bot.service.quota(asker.key)).used == 0

    async def test_whoever_has_no_credits_left_is_told_when_some_come_back(self, bot, asker, gate):
        await bot.service.admin.set_quota(ADMIN, asker.key, 1)
        await asker.ask(f"a fox {SMALL}")

        sentence = await asker.refused("a fox --size 1024x1024")

        assert "credits" in sentence
        assert "24 hours" in sentence

    async def test_a_bad_number_is_named_with_what_is_allowed(self, bot, asker):
        sentence = await asker.refused("a fox --size 2048x2048")

        allowed = "at most 1048576 are drawn here: ask for a smaller size."
        assert f"2048x2048 is 4194304 pixels; {allowed}" in sentence

    async def test_a_bad_picture_is_refused_before_it_costs(self, bot, asker):
        damaged = await asker.refused("a fox --preset canny", jpeg_without_an_end())
        foreign = await asker.refused("a fox --preset canny", b"%PDF-1.7" + b"\0" * 100)

        assert "damaged" in damaged
        assert "PNG, JPEG or WebP" in foreign
        assert (await bot.service.quota(asker.key)).used == 0

    async def test_a_crash_is_told_and_costs_nothing(self, bot, asker, gate):
        gate.fault = GenerationError("the GPU fell off; your credits were given back")

        asked = await asker.ask(f"a fox {SMALL}")

        assert "the GPU fell off" in await asked.failure()
        assert (await bot.service.quota(asker.key)).used == 0

    async def test_what_was_asked_for_stands_in_the_history(self, bot, asker, gate):
        gate.open()
        asked = await asker.ask(f"a fox in snow {SMALL}")
        await asked.picture()

        (job,) = (await bot.service.lookups.history(asker.key)).jobs

        assert (job.request.prompt, job.status) == ("a fox in snow", JobStatus.SUCCEEDED)

    async def test_same_goes_on_from_the_last_picture(self, bot, asker, gate):
        gate.open()
        first = await asker.ask(f"a fox in snow {SMALL} --seed 7")
        await first.picture()

        night = await asker.ask("same, at night")
        await night.picture()

        newer, older = (await bot.service.lookups.history(asker.key)).jobs
        assert newer.request.prompt == "a fox in snow, at night"
        assert (newer.request.seed, newer.parent) == (7, older.id)
        keeps = f"Builds on {older.id} and keeps preset plain, 64×64, seed 7."
        assert newer.remarks == (keeps,)

    async def test_again_and_vary_draw_the_last_picture_once_more(self, bot, asker, gate):
        gate.open()
        await (await asker.ask(f"a fox {SMALL} --seed 7")).picture()

        again = await asker.again()
        await again.picture()
        await (await asker.vary(again)).picture()

        varied, repeated, first = (await bot.service.lookups.history(asker.key)).jobs
        assert repeated.request == first.request
        assert (varied.request.prompt, varied.parent) == ("a fox", repeated.id)
        assert varied.request != first.request

    async def test_a_part_of_a_picture_is_drawn_anew_and_the_rest_stays(self, bot, asker, gate):
        bot.settings["presets"] = INPAINTING
        await bot.service.admin.reload_presets(ADMIN)
        gate.open()
        picture, black = noise(64, 64), Image.new("RGB", (64, 64))
        half = black.copy()
        half.paste("white", (0, 0, 32, 64))
        fox = f"a fox --preset inpaint {SMALL}"

        said = await asker.ask(f"{fox} --mask left --seed 7", file(picture))
        first = opened(await said.picture())
        shown = await asker.ask(f"{fox} --seed 7", file(picture), file(half))
        second = opened(await shown.picture())
        scribbled = picture.copy()
        scribbled.paste("lime", (4, 4, 24, 60))
        marked = await asker.ask(f"{fox} --seed 7", file(picture), file(scribbled))
        third = opened(await marked.picture())
        whole = await asker.refused(fox, file(picture))
        alike = await asker.refused(fox, file(picture), file(picture))
        dark = await asker.refused(fox, file(picture), file(black))

        right = (32, 0, 64, 64)
        assert first.crop(right).tobytes() == picture.crop(right).tobytes()
        assert first.tobytes() == second.tobytes() != picture.tobytes()
        assert third.crop(right).tobytes() == picture.crop(right).tobytes()
        assert third.tobytes() not in (first.tobytes(), picture.tobytes())
        assert alike.startswith("Your two pictures differ nowhere, so there is nothing to draw")
        assert dark.startswith("The mask is black all over, so there is nothing to draw: make")
        assert whole.startswith("This preset draws a part of your picture: say which, with --mask")

    async def test_a_map_is_followed_as_it_is(self, bot, asker, gate):
        gate.open()
        text = f"a fox --preset canny --map {SMALL}"

        await (await asker.ask(text, file(noise(64, 64)))).picture()
        refused = await asker.refused(text.replace("canny", "redraw"), file(noise(64, 64)))

        (job, *_) = (await bot.service.lookups.history(asker.key)).jobs
        assert job.request.kind.shows_maps
        assert "What you attached was followed as the control map that it is." in job.remarks
        assert refused.startswith("Map says that your picture is a control map itself, and the")

    async def test_a_refusal_has_the_same_words_on_every_platform(self, bot, asker):
        words = {
            "a fox --size 2048x2048": "2048x2048 is 4194304 pixels; at most 1048576 are drawn"
            " here: ask for a smaller size.",
            "a fox --preset canny": "The preset canny needs a control image: attach a PNG, JPEG"
            " or WebP.",
            "a fox --preset night": "There is no preset 'night': choose one of plain, canny,"
            " redraw.",
        }

        said = {text: await asker.refused(text) for text in words}

        assert said == words
