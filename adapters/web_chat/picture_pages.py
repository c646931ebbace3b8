"""The page of a picture as HTML, in the reader's language, which needs no JavaScript."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from adapters.web_chat.pages import STATIC
from adapters.web_chat.security import LOCAL_USER
from adapters.web_chat.views import JobView
from bot.jobs import Job
from bot.sharing import PAGES

TEMPLATES = Path(__file__).parent / "templates"
#: What programs that show a preview of a link take, and may fetch in a moment.
PREVIEW = "image/jpeg"
#: Characters of a prompt that a title has at most.
TITLE = 90
#: Pixels of the longest side of a picture that is shown enlarged, by whole pixels.
TINY = 128
#: A browser leaves its cookie at home where a link elsewhere has led it here, and takes it along
#: where this page leads it (draft-ietf-httpbis-rfc6265bis, 5.2).
AGAIN = '<meta http-equiv="refresh" content="0; url=?again">\n'
#: Words between two tags, with nothing to be put into them.
_WORDS = re.compile(r">\s*([^<>$]*[A-Za-z][^<>$]*?)\s*<")


def page(job: Job, address: str, language: str, *, is_own: bool, is_shared: bool) -> str:
    """The page of *job* as HTML, for its person or, where it is shared, for anybody.

    Args:
        address: The link that leads to it.
        language: Code of the reader's language.
    """
    say = _speaking(language)
    view = JobView.of(job)
    path = f"{PAGES}{job.id}"
    prompt = view.prompt
    title = prompt if len(prompt) <= TITLE else f"{prompt[:TITLE]}…"
    several = len(view.pictures) > 1
    download = "Download {0}" if several else "Download"
    pictures = "".join(
        f'<img src="{path}/{each.number}" width="{view.width}" height="{view.height}"'
        f' alt="{escape(say("Made by AI: {0}", view.prompt))}">'
        for each in view.pictures
    )
    downloads = "".join(
        f'<a href="{path}/{each.number}?download=true" download>{say(download, each.number)}</a>'
        for each in view.pictures
    )
    layout = "several" if several else "one"
    platform, _, name = job.user.partition(":")
    is_known = platform == "web" and job.user != LOCAL_USER
    rows = "".join(
        f"<dt>{say(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in _rows(view)
    )
    state = say("Shared by its link") if is_shared else say("Private")
    return _template("picture", language).substitute(
        language=language,
        title=escape(title),
        preview=_preview(title, address, say) if is_shared else "",
        state=state if is_own else "",
        layout=f"{layout} tiny" if max(view.width, view.height) <= TINY else layout,
        pictures=pictures,
        prompt=escape(view.prompt),
        made=escape(say("Made by AI for {0}", name) if is_known else say("Made by AI")),
        downloads=downloads,
        own=f'<a href="/#picture={job.id}">{say("Open in fluxbot")}</a>' if is_own else "",
        rows=rows,
    )


def _preview(title: str, address: str, say: Callable[..., str]) -> str:
    """What programs show of a link (https://ogp.me)."""
    told = {
        "og:type": "website",
        "og:site_name": "fluxbot",
        "og:title": title,
        "og:description": say("Made by AI"),
        "og:url": address,
        "og:image": f"{address}/preview.jpg",
        "og:image:type": PREVIEW,
        "og:image:alt": say("Made by AI: {0}", title),
    }
    lines = [f'<meta property="{name}" content="{escape(text)}">' for name, text in told.items()]
    return "\n".join([*lines, '<meta name="twitter:card" content="summary_large_image">', ""])


def _rows(view: JobView) -> Iterable[tuple[str, object]]:
    """What is told of a picture beside its prompt."""
    yield "Seed", ", ".join(str(each.seed) for each in view.pictures)
    yield "Size", f"{view.width} × {view.height}"
    yield "Steps", view.num_inference_steps
    yield "Guidance", view.guidance_scale
    if view.strength is not None:
        yield "Strength", view.strength
    if view.negative_prompt:
        yield "Without", view.negative_prompt
    yield "Preset", view.preset
    yield "Model", view.model


def nothing(language: str, *, is_led_again: bool) -> str:
    """The page where there is no picture for the reader; with *is_led_again* it leads there once
    more, by itself."""
    again = AGAIN if is_led_again else ""
    return _template("no-picture", language).substitute(language=language, again=again)


@cache
def _template(name: str, language: str) -> Template:
    """A page whose words are in *language*."""
    written = (TEMPLATES / f"{name}.html").read_text(encoding="utf-8")
    say = _speaking(language)
    return Template(_WORDS.sub(lambda found: f">{escape(say(found[1]))}<", written))


@cache
def _speaking(language: str) -> Callable[..., str]:
    """Translates a sentence of the page, and puts values into its places."""
    path = STATIC / "languages" / f"{language}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def say(sentence: str, *values: object) -> str:
        return str(known.get(sentence, sentence)).format(*values)

    return say
