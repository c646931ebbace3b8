"""The gate: the checks before every route."""

import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.web_chat.security import host_name
from bot.config import Secrets
from tests.samples import data_url, picture

ADA, BOB = "ada-token-0123456789", "bob-token-0123456789"
SECRETS = Secrets(web_tokens={ADA: "ada", BOB: "bob"})
SMALL = {"prompt": "a fox", "width": 64, "height": 64, "num_inference_steps": 1}
EVERYWHERE = ["/", "/static/app.js", "/health", "/openapi.json", "/api/quota", "/nothing"]


def as_user(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil", "", "[::2]"],
)
async def test_a_rebinding_page_gets_nothing(web, path, host):
    """Its name resolves to this machine, so the browser holds it for same-origin;
    but it comes under its own name."""
    response = await web.get(path, headers={"Host": host})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "unknown_host"
    assert "open http://localhost:8080, or" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "host",
    [
        "[::1",
        "[::1]evil.example",
        "[::1]:80:80",
        "localhost:1@evil.example",
        "localhost:",
        "localhost/evil",
        "localhost evil.example",
        "localhost,evil.example",
        "localhost:http",
    ],
)
async def test_a_host_that_is_none_is_no_name_of_this_machine(web, host):
    response = await web.get("/api/quota", headers={"Host": host})

    assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_host")


@given(st.text(st.characters(max_codepoint=255, exclude_categories=("Cc",)), max_size=40))
def test_a_host_is_a_name_an_address_or_nothing(header):
    name = host_name(header)

    assert not name or re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", name)
    assert not name or header.strip().lower().lstrip("[").startswith(name)
    assert host_name(f"{header}@localhost") == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "LOCALHOST:80", "[::1]:8080"])
async def test_this_machine_has_several_names(web, host):
    assert (await web.get("/api/quota", headers={"Host": host})).status_code == 200


async def test_a_name_from_the_configuration_is_known(make_bot, make_client):
    bot = await make_bot(web={"allowed_hosts": ["Flux.example.org:8443"]})

    async with make_client(bot, SECRETS) as web:
        response = await web.get("/", headers={"Host": "flux.example.org"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "file://"},
        {"Origin": "chrome-extension://localhost:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/jobs"),
        ("GET", "/api/history"),
        ("DELETE", "/api/jobs/x"),
        ("POST", "/api/session"),
    ],
)
async def test_a_foreign_site_gets_nothing_and_starts_nothing(web, bot, headers, method, path):
    response = await web.request(method, path, headers=headers, json=SMALL)

    assert response.status_code == 403
    assert response.json()["error"]["code"] == "foreign_site"
    assert await bot.rows("SELECT * FROM jobs") == []


async def test_a_foreign_site_is_not_invited_by_any_header(web):
    preflight = await web.options(
        "/api/jobs",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    plain = await web.get("/api/quota")

    assert preflight.status_code == 403
    for response in (preflight, plain):
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_the_page_itself_may_ask(web):
    headers = {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}

    assert (await web.post("/api/jobs", json=SMALL, headers=headers)).status_code == 202


async def test_a_link_from_elsewhere_opens_the_page_but_nothing_behind_it(web):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert (await web.get("/", headers=headers)).status_code == 200
    assert (await web.get("/api/quota", headers=headers)).status_code == 403


async def test_without_tokens_everybody_here_is_the_local_user(web):
    assert (await web.get("/api/status")).json()["user"] == "web:local"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {ADA}"},
        {"Authorization": ADA},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xff\xfe"},
        {"Cookie": f"fluxbot_session={ADA}"},
        {"Cookie": "fluxbot_session=; fluxbot_session"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/jobs"), ("GET", "/api/quota"), ("GET", "/api/nothing")]
)
async def test_a_token_is_required_once_there_are_any(bot, make_client, headers, method, path):
    async with make_client(bot, SECRETS) as web:
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        response = await web.request(method, path, headers=raw, json=SMALL)

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["error"]["code"] == "not_signed_in"
    assert await bot.rows("SELECT * FROM jobs") == []


async def test_the_page_and_its_health_need_no_token(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        for path in ("/", "/static/app.js", "/health", "/openapi.json"):
            assert (await web.get(path)).status_code == 200


async def test_a_token_is_a_user_and_others_jobs_do_not_exist_for_them(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        job = (await web.post("/api/jobs", json=SMALL, headers=as_user(ADA))).json()

        mine = await web.get(f"/api/jobs/{job['id']}", headers=as_user(ADA))
        foreign = [
            await web.request(method, f"/api/jobs/{job['id']}{part}", headers=as_user(BOB))
            for method, part in [("GET", ""), ("DELETE", ""), ("GET", "/image"), ("GET", "/events")]
        ]
        status = await web.get("/api/status", headers=as_user(BOB))

    assert mine.status_code == 200
    assert [response.status_code for response in foreign] == [404] * 4
    assert (status.json()["user"], status.json()["mine"]) == ("web:bob", [])


async def test_a_token_is_changed_into_a_cookie_that_scripts_cannot_read(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        response = await web.post("/api/session", json={"token": ADA})
        cookie = response.headers["set-cookie"]
        status = await web.get("/api/status")

    assert response.json() == {"user": "web:ada"}
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ADA not in cookie
    assert status.json()["user"] == "web:ada"


async def test_the_cookie_is_for_https_alone_where_there_is_https(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        http = await web.post("/api/session", json={"token": ADA})
        https = await web.post("https://localhost/api/session", json={"token": ADA})

    assert "Secure" not in http.headers["set-cookie"]
    assert "Secure" in https.headers["set-cookie"]


async def test_a_wrong_token_gives_no_cookie(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        response = await web.post("/api/session", json={"token": "guessed"})

    assert response.status_code == 401
    assert "set-cookie" not in response.headers


async def test_a_cookie_ends_with_its_token(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        await web.post("/api/session", json={"token": ADA})
        cookies = web.cookies

    async with make_client(bot, Secrets(web_tokens={BOB: "bob"})) as web:
        web.cookies = cookies
        assert (await web.get("/api/quota")).status_code == 401


async def test_signing_out_takes_the_cookie_back(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        await web.post("/api/session", json={"token": ADA})

        assert (await web.delete("/api/session")).status_code == 204
        assert (await web.get("/api/quota")).status_code == 401


async def test_the_description_says_where_a_token_is_needed(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        guarded = (await web.get("/openapi.json")).json()
    async with make_client(bot) as web:
        free = (await web.get("/openapi.json")).json()

    assert guarded["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert guarded["paths"]["/api/jobs"]["post"]["security"]
    assert "security" not in guarded["paths"]["/health"]["get"]
    assert "security" not in free["paths"]["/api/jobs"]["post"]


async def chunks(size, count):
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_large_body_is_413_with_and_without_its_length(make_server, is_chunked):
    server = await make_server(control_images={"max_megabytes": 0.1})
    content = chunks(50_000, 8) if is_chunked else b"x" * 400_000

    async with httpx.AsyncClient(base_url=server.address) as web:
        response = await web.post(
            "/api/jobs", content=content, headers={"Content-Type": "application/json"}
        )

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"


async def test_a_body_without_end_is_cut_off(make_server):
    """The sender learns it at the latest when four times the limit has passed."""
    server = await make_server(control_images={"max_megabytes": 0.1})
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 50_000

    async with httpx.AsyncClient(base_url=server.address) as web:
        try:
            response = await web.post("/api/jobs", content=endless())
            assert response.status_code == 413
        except httpx.TransportError:
            pass

    assert sent < 400


async def test_a_control_image_of_the_allowed_size_passes_the_limit_of_the_body(
    make_bot, make_client
):
    bot = await make_bot(control_images={"max_megabytes": 0.1})
    image = picture() + b"\0" * 90_000

    async with make_client(bot) as web:
        body = {**SMALL, "controlnet": {"preset": "canny", "image": data_url(image)}}
        response = await web.post("/api/jobs", json=body)

    assert response.status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", path) for path in EVERYWHERE] + [("POST", "/api/jobs"), ("PUT", "/health")],
)
async def test_every_answer_carries_the_headers_that_browsers_obey(web, method, path):
    response = await web.request(method, path)

    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "cache-control" in headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_the_page_has_no_inline_script_or_style_and_names_no_other_host(web):
    page = (await web.get("/")).text

    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son\w+=|\sstyle=|<style", page)
    assert not re.search(r"(src|href)=[\"'](https?:)?//", page)


async def test_no_text_of_anybody_becomes_markup_in_the_page(web):
    """textContent only; and require-trusted-types-for would stop what slips through."""
    names = re.findall(r"/static/(\w+\.js)", (await web.get("/")).text)
    seen = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        source = (await web.get(f"/static/{name}")).text
        names += re.findall(r"from \"\./(\w+\.js)\"", source)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source
        )
    assert len(seen) >= 8


async def test_an_unchanged_file_is_not_sent_again(web):
    first = await web.get("/static/style.css")

    second = await web.get("/static/style.css", headers={"If-None-Match": first.headers["etag"]})

    assert second.status_code == 304
    assert second.content == b""
