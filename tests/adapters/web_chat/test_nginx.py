"""Debian's nginx before the bot, set up by ``deploy/proxy/nginx.conf``.

The file is taken as it is, but for its names, ports and certificate.
"""

import asyncio
import base64
import io
import re
import shutil
import socket
import ssl
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import trustme
from PIL import Image

from adapters.web_chat.guesses import FREE
from adapters.web_chat.sharing import BODY_OVERHEAD
from bot.config import Config, Secrets
from generation.kinds import CONTROL_IMAGES
from tests.adapters.web_chat.conftest import events
from tests.adapters.web_chat.test_events import SMALL
from tests.conftest import until

ROOT = Path(__file__).parent.parent.parent.parent
#: Where Debian has it, which is not on everybody's path.
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
TOKEN = "a-long-random-token"
AS_ADA = {"authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx, of Debian's package, is not here")

MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/fluxbot.conf;
}}
"""


def free_ports(count):
    """Ports that are free now, and different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(port):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def configuration(bot_port, plain, tls, folder, changes):
    """Our file, with the names, ports and certificate of a test, and further *changes*."""
    text = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)
    for old, new in [
        ("server 127.0.0.1:8080;", f"server 127.0.0.1:{bot_port};"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{tls} ssl"),
        ("/etc/letsencrypt/live/flux.example.org", str(folder)),
        ("flux.example.org", "localhost"),
        *changes.items(),
    ]:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
async def behind_nginx(make_server, tmp_path):
    """Starts nginx before a web chat: (the web chat, a client of nginx, its port without TLS)."""
    started = []

    async def start(changes=None, **settings):
        server = await make_server(Secrets(web_tokens={TOKEN: "ada"}), **settings)
        folder = tmp_path / "nginx"
        folder.mkdir()
        plain, tls = free_ports(2)
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / "privkey.pem")
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(folder / "fullchain.pem", append=True)
        port = int(server.address.rpartition(":")[2])
        (folder / "fluxbot.conf").write_text(configuration(port, plain, tls, folder, changes or {}))
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        nginx = await asyncio.create_subprocess_exec(
            NGINX, "-p", folder, "-c", folder / "nginx.conf",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        log = folder / "error.log"
        await until(lambda: answers(tls) or nginx.returncode is not None)
        assert nginx.returncode is None, log.read_text()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        client = httpx.AsyncClient(
            base_url=f"https://localhost:{tls}", verify=context, headers=AS_ADA, timeout=60
        )
        started.append((nginx, client))
        return server, client, plain

    yield start
    for nginx, client in started:
        await client.aclose()
        nginx.terminate()
        await nginx.wait()


async def test_people_draw_through_nginx_and_see_each_step_as_it_is_drawn(behind_nginx, gate):
    """The next step is allowed once the last was seen: an event in a buffer would stop it all."""
    _, client, plain = await behind_nginx()
    job = (await client.post("/api/jobs", json=SMALL)).json()

    steps = []
    async with client.stream("GET", f"/api/jobs/{job['id']}/events") as response:
        gate.allow()
        async for name, data in events(response):
            if name == "step" and data["step"] and data["step"] not in steps:
                steps.append(data["step"])
                gate.allow()
            last = name, data

    assert steps[:2] == [1, 2]
    assert last[0] == "done"
    picture = await client.get(last[1]["pictures"][0]["url"])
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["strict-transport-security"].startswith("max-age=")
    async with httpx.AsyncClient() as other:
        led = await other.get(f"http://localhost:{plain}/docs?a=b")
    assert (led.status_code, led.headers["location"]) == (308, "https://localhost/docs?a=b")


def test_nginx_takes_a_little_more_than_the_bot_whose_sentence_is_the_better_one():
    text = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    most = int(re.search(r"client_max_body_size (\d+)m;", text)[1]) * 2**20
    pictures = len(CONTROL_IMAGES) * Config().control_images.max_megabytes * 1e6
    of_the_bot = pictures * 4 / 3 + BODY_OVERHEAD

    assert of_the_bot < most < 1.15 * of_the_bot


async def test_the_largest_picture_passes_and_what_is_larger_is_answered_clearly(
    behind_nginx, gate
):
    """With limits that are a twentieth, since so much is read three times."""
    large = io.BytesIO()
    Image.new("RGB", (408, 408)).save(large, "PNG", compress_level=0)
    file = large.getvalue()
    _, client, _ = await behind_nginx(
        {"client_max_body_size 54m": "client_max_body_size 760k"},
        control_images={"max_megabytes": (len(file) + 0.5) / 1e6},
    )
    gate.open()

    def asked(bytes):
        picture = {"preset": "canny", "image": base64.b64encode(bytes).decode()}
        return {**SMALL, "controlnet": picture}

    passed = await client.post("/api/jobs", json=asked(file))
    by_the_bot = await client.post("/api/jobs", json=asked(file + bytes(60_000)))
    by_nginx = await client.post("/api/jobs", json=asked(file + bytes(90_000)))

    assert passed.status_code == 202, passed.text
    for refused in (by_the_bot, by_nginx):
        assert refused.status_code == 413
        assert refused.json()["error"]["code"] == "too_large"
    assert "MB allowed" in by_the_bot.json()["error"]["message"]
    assert "smaller picture" in by_nginx.json()["error"]["message"]


async def test_nobody_makes_up_an_address(behind_nginx):
    _, client, _ = await behind_nginx()

    async def guess(number):
        headers = {
            "authorization": f"Bearer wrong-token-{number}-0123456789",
            "x-forwarded-for": f"203.0.113.{number}",
        }
        return (await client.get("/api/presets", headers=headers)).status_code

    assert [await guess(number) for number in range(FREE + 1)][:FREE] == [401] * FREE
    assert await guess(99) == 429, "whatever address a stranger claims, it is the same stranger"


@pytest.mark.parametrize(("believed", "is_secure"), [("127.0.0.1", True), ("192.0.2.1", False)])
async def test_that_it_came_by_tls_is_taken_from_configured_proxies_alone(
    behind_nginx, monkeypatch, believed, is_secure
):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", believed)
    _, client, _ = await behind_nginx()

    signed_in = await client.post("/api/session", json={"token": TOKEN})

    assert signed_in.is_success, signed_in.text
    assert ("secure" in signed_in.headers["set-cookie"].lower()) is is_secure
