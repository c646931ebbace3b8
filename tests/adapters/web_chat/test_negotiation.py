"""The header `Accept`: the format of a picture is the client's to choose."""

import pytest

from adapters.web_chat.negotiation import of_answer, of_picture
from tests.adapters.web_chat.api.conftest import CIRCLE
from tests.samples import opened


@pytest.mark.parametrize(
    ("accept", "picture", "answer"),
    [
        ("", "image/png", "application/json"),
        ("*/*", "image/png", "application/json"),
        ("application/json", "image/png", "application/json"),
        ("image/*", "image/png", "image/png"),
        ("image/png", "image/png", "image/png"),
        ("image/jpeg", "image/jpeg", "image/jpeg"),
        ("image/webp, image/jpeg;q=0.9", "image/webp", "image/webp"),
        ("image/jpeg, image/webp", "image/jpeg", "image/jpeg"),
        ("IMAGE/WEBP;q=0.5, */*;q=0.1", "image/webp", "image/webp"),
        ("image/png;q=0, image/*", "image/jpeg", "image/jpeg"),
        # Browsers, for a picture on a page.
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "image/png", None),
        ("image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.5", "image/png", None),
        # What nobody can serve, and what is no header.
        ("image/avif", "image/png", "image/png"),
        ("text/html", "image/png", "application/json"),
        ("image", "image/png", "application/json"),
        (";;q=,,/", "image/png", "application/json"),
    ],
)
def test_the_format_is_the_best_that_the_client_takes(accept, picture, answer):
    assert of_picture(accept) == picture
    assert answer is None or of_answer(accept) == answer


async def test_pictures_come_in_the_format_that_was_asked_for_with_their_marks(web, gate):
    gate.open()
    two = {**CIRCLE, "images": 2}
    id = (await web.post("/api/generate", json=two)).json()["metadata"]["id"]
    wanted = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}

    for media_type, format in wanted.items():
        headers = {"Accept": media_type}
        for response in (
            await web.post("/api/generate", json=CIRCLE, headers=headers),
            await web.get(f"/api/jobs/{id}/image", headers=headers),
            await web.get(f"/api/jobs/{id}/grid", headers=headers),
        ):
            assert response.headers["content-type"] == media_type
            assert response.headers["vary"] == "Accept"
            with opened(response.content) as image:
                assert image.format == format
            assert b"trainedAlgorithmicMedia" in response.content
    named = await web.get(f"/api/jobs/{id}/image?download=true", headers={"Accept": "image/jpeg"})
    assert named.headers["content-disposition"].endswith('-1.jpg"')
