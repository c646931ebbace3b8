"""The API against its own description, and against whatever JSON somebody sends."""

import base64
import json
import re

import httpx
import hypothesis.strategies as st
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from adapters.web_chat import fields as of_bodies
from generation.errors import InvalidImage
from tests.adapters.web_chat.conftest import House
from tests.conftest import ADMIN, examples
from tests.samples import data_url, picture

# What JSON Schema cannot say (no such preset, the picture is damaged) is refused all the same.
UNTOLD = [positive_data_acceptance]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    limits = {"num_inference_steps": 4, "pixels": 256 * 256, "images": 2}
    model = {"num_inference_steps": 4}
    with House(tmp_path_factory.mktemp("house"), limits=limits, model=model) as house:
        yield house


def operations(house):
    schema = schemathesis.openapi.from_url(f"{house.address}/openapi.json")
    # A body may be so wrong that it is too large before anybody looks into it.
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_every_route_does_what_its_description_says(house, mode):
    """No 500, no undeclared status or content type, no body that its schema does not know,
    nothing accepted that the schema forbids, no method that is not told."""
    checked = 0
    for operation in operations(house):
        cases = operation.as_strategy(generation_mode=mode)

        @settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=cases)
        def behaves(case):
            case.call_and_validate(excluded_checks=UNTOLD, timeout=20)

        try:
            behaves()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, f"{operation.label} can never be called"
            continue  # a route without parameters can be sent nothing wrong
        checked += 1
    assert checked >= (20 if mode is GenerationMode.POSITIVE else 10)


def test_the_description_names_every_route_of_the_contract(house):
    paths = httpx.get(f"{house.address}/openapi.json").json()["paths"]

    told = {(method.upper(), path) for path, routes in paths.items() for method in routes}
    assert told >= {
        ("GET", "/health"),
        ("GET", "/api/presets"),
        ("GET", "/api/models"),
        ("POST", "/api/generate"),
        ("POST", "/api/jobs"),
        ("GET", "/api/jobs/{id}"),
        ("GET", "/api/jobs/{id}/events"),
        ("GET", "/api/jobs/{id}/image"),
        ("DELETE", "/api/jobs/{id}"),
        ("GET", "/api/history"),
        ("GET", "/api/quota"),
    }
    for path, routes in paths.items():
        for method, route in routes.items():
            for status, response in route["responses"].items():
                assert response["description"], (method, path, status)


numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 64, 128, 256, 2**32, 1e308]),
)
leaves = st.one_of(st.none(), numbers, st.text())
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
images = st.one_of(
    st.text(),
    st.binary(max_size=60).map(data_url),
    st.integers(0, 300).map(lambda cut: data_url(picture()[: -cut or None])),
    st.just(data_url(picture())),
)
fields = {
    "prompt": st.one_of(st.text(), anything),
    "negative_prompt": st.one_of(st.text(), anything),
    "width": numbers | anything,
    "height": numbers | anything,
    "num_inference_steps": numbers | anything,
    "guidance_scale": numbers | anything,
    "seed": numbers | anything,
    "images": numbers | anything,
    "strength": numbers | anything,
    "preset": st.sampled_from(["plain", "canny", "redraw"]) | anything,
    "controlnet": st.fixed_dictionaries(
        {}, optional={"preset": st.sampled_from(["plain", "canny", "redraw"]), "image": images}
    )
    | anything,
}
bodies = st.one_of(st.fixed_dictionaries({}, optional=fields), anything)
sound = {
    "prompt": st.text(min_size=1),
    "width": st.sampled_from([64, 96]),
    "height": st.sampled_from([64, 96]),
    "num_inference_steps": st.integers(1, 4),
    "seed": st.integers(0, 2**32 - 1),
    "images": st.integers(1, 2),
    "negative_prompt": st.text(),
    "controlnet": st.fixed_dictionaries(
        {"preset": st.sampled_from(["canny", "redraw"]), "image": images}
    ),
}
requests = st.one_of(bodies, st.fixed_dictionaries({}, optional=sound))


WORDS = [
    *["a", "fox", "--", "—", "99", "--steps", "2", "--steps=x", "--seed", "7", "--size", "64x64"],
    *["--preset", "canny", "–images", "--negative", '"blurry"', "history", "quota", "again"],
    *["cancel", "show", "help", "admin", "settings", "vary", "queue"],
]


def dumped(body):
    # NaN, Infinity and half surrogate pairs, as a careless client would send them.
    return json.dumps(body).encode("ascii")


async def settled(house):
    """Wait until nothing waits or is drawn."""
    service = house.bot.service
    for job in service.queue(ADMIN).mine:
        await job.finished()


@settings(max_examples=examples(150), deadline=None)
@given(body=requests)
@example(body={"prompt": "a", "seed": 2**70})
@example(body={"prompt": "a\0b"})
@example(body={"prompt": "\ud800"})
@example(body={"prompt": "a", "guidance_scale": float("nan")})
def test_no_body_makes_a_500_or_a_charge_that_is_not_given_back(house, body):
    """Charges are those of the pictures that were made, to the credit."""
    with httpx.Client(base_url=house.address, timeout=30) as http:
        headers = {"Content-Type": "application/json"}
        before = http.get("/api/quota").json()["used"]

        response = http.post("/api/generate", content=dumped(body), headers=headers)

        after = http.get("/api/quota").json()["used"]
        assert response.status_code in (200, 400, 413, 422)
        answer = response.json()
        if response.status_code == 200:
            assert after - before == answer["metadata"]["cost"] > 0
        else:
            assert after == before
            assert set(answer["error"]) >= {"code", "message", "field"}
        house.call(settled(house))


@settings(max_examples=examples(150), deadline=None)
@given(
    text=st.one_of(
        st.text(),
        st.lists(st.sampled_from(WORDS)).map(" ".join),
    ),
    options=st.none() | st.fixed_dictionaries({}, optional=fields),
    image=st.none() | images,
)
def test_no_message_makes_a_500(house, text, options, image):
    with httpx.Client(base_url=house.address, timeout=30) as http:
        body = {"text": text, "options": options, "image": image}

        response = http.post(
            "/api/messages", content=dumped(body), headers={"Content-Type": "application/json"}
        )

        assert response.status_code in (200, 400, 404, 409, 413, 422, 429)
        if response.status_code != 200:
            assert set(response.json()["error"]) >= {"code", "message", "field"}
        house.call(settled(house))


@example("A+BA===")
@example("+AA/=")
@given(
    st.one_of(
        st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode()),
        st.text("AB=/+- \n", max_size=40),
    )
)
def test_base64_that_is_decoded_in_pieces_means_what_it_means_as_a_whole(text):
    """Of RFC 4648: Python's decoder takes more padding than there may be."""
    whole = re.sub(r"[ \t\r\n]", "", text)
    is_base64 = len(whole) % 4 == 0 and re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", whole)
    expected = base64.b64decode(whole, validate=True) if is_base64 else b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_bodies, "BASE64_PIECE", 8)
        try:
            decoded = of_bodies.decode_image(text, 1000, "image")
        except InvalidImage:
            decoded = b""

    assert decoded == expected
