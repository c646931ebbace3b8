"""All pictures of a job in one file."""

import asyncio
import io
import zipfile

from bot.source import Source
from tests.adapters.web_chat.api.conftest import CIRCLE, said
from tests.adapters.web_chat.test_signing_in import SECRETS, as_user
from tests.conftest import ADA


async def test_the_pictures_of_a_job_come_in_a_zip_as_they_come_alone(web, gate, bot):
    gate.open()
    id = (await web.post("/api/generate", json={**CIRCLE, "images": 3})).json()["metadata"]["id"]

    answer = await web.get(f"/api/jobs/{id}/images.zip")

    assert answer.headers["content-type"] == "application/zip"
    assert f'filename="a-red-circle-{id}.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        members = {each.filename: each for each in archive.infolist()}
        for number in (1, 2, 3):
            alone = await web.get(f"/api/jobs/{id}/image?number={number}&download=true")
            name = f"a-red-circle-{id}-{number}.png"
            assert f'filename="{name}"' in alone.headers["content-disposition"]
            assert archive.read(name) == alone.content
            assert members[name].compress_type == zipfile.ZIP_STORED
            assert not members[name].flag_bits & 8, "its sums stand in front of it"
    assert len(members) == 3


async def test_a_zip_has_what_is_there_by_now_and_is_for_its_owner_alone(bot, gate, make_client):
    async with make_client(bot, SECRETS) as web:
        ada, bob = (as_user(token) for token in SECRETS.web_tokens)
        body = {**CIRCLE, "images": 2}
        id = (await web.post("/api/jobs", json=body, headers=ada)).json()["id"]
        address = f"/api/jobs/{id}/images.zip"
        said(await web.get(address, headers=ada), 409, "conflict")
        said(await web.get(address, headers=bob), 404, "not_found")
        gate.allow(3)  # the first, and half of the second
        job = await bot.service.lookups.job(Source(ADA), id)
        async with asyncio.timeout(30):
            async for _ in job.watch():
                if job.ready:
                    break

        answer = await web.get(address, headers=ada)

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == [f"a-red-circle-{id}-1.png"]
