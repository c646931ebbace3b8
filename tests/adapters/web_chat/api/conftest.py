from tests.conftest import ADMIN

CIRCLE = {"prompt": "a red circle", "width": 64, "height": 64, "num_inference_steps": 2}


def said(response, status, code=None, field=None):
    """The sentence of an error, after the envelope was looked at."""
    error = response.json()["error"]
    assert response.status_code == status, error
    assert set(error) >= {"code", "message", "field"}
    assert code is None or error["code"] == code
    assert field is None or error["field"] == field
    assert "Traceback" not in response.text
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    return error["message"]


async def spent(bot, user=ADMIN):
    return (await bot.service.quota(user)).used
