"""The language of a request over HTTP."""

import pytest

from adapters.web_chat.languages import language_for


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "en"),
        ({"accept-language": "de-CH,de;q=0.9,en;q=0.8"}, "de"),
        ({"accept-language": "it, ja;q=0.5, fr;q=0.7"}, "fr"),
        ({"accept-language": "en-US,de;q=0.9"}, "en"),
        ({"accept-language": "*;q=0.1, xx, es; q=0"}, "en"),
        ({"accept-language": "de", "cookie": "a=b; fluxbot_language=ja"}, "ja"),
        ({"accept-language": "de", "cookie": "fluxbot_language=en"}, "en"),
        ({"accept-language": "de", "cookie": "fluxbot_language=../../x"}, "de"),
    ],
)
def test_a_request_is_answered_in_the_language_it_asks_for(headers, code):
    assert language_for(headers).code == code


async def test_refusals_and_answers_are_in_that_language(web):
    german = {"Accept-Language": "de"}
    wrong = await web.post("/api/messages", json={"text": "a fox --steps 99"}, headers=german)
    missing = await web.get("/api/jobs/22222222", headers=german)
    about = (await web.get("/api/about", headers=german)).json()

    assert "eine ganze Zahl zwischen 1 und 50" in wrong.json()["error"]["message"]
    assert missing.json()["error"]["message"] == ("ein Bild '22222222' von dir gibt es nicht")
    assert next(each for each in about["options"] if each["word"] == "seed")["hint"].startswith(
        "Startzahl"
    )
