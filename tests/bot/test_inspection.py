"""What a picture says is read as text, of whatever program, and never believed."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import ImagineCommand, parse
from bot.inspection import MAX_SHOWN, Findings, findings_in, told
from bot.jobs import Job
from bot.languages import LANGUAGES, language_of
from bot.provenance import Provenance
from generation.containers import XMP_KEYWORD, texts
from generation.decoders import Decoders
from generation.signatures import signature_of
from generation.types import Lora, Signature
from tests.samples import file, noise

A1111 = (
    "a castle, (dramatic:1.2)\nin fog\nNegative prompt: blurry, text\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 42, Size: 512x768, Model hash: abc,"
    " Model: sd15"
)
COMFYUI = {
    "3": {"class_type": "KSampler", "inputs": {
        "seed": 42, "steps": 20, "cfg": 7.5, "positive": ["6", 0], "negative": ["7", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a castle in fog"}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry"}},
}  # fmt: skip
HOSTILE = st.dictionaries(
    st.sampled_from(["fluxbot", "parameters", "prompt", "XML:com.adobe.xmp", "workflow"]),
    st.text(max_size=300)
    | st.sampled_from(["[" * 5000, '{"a":' * 5000, "9" * 5000, "Steps: " * 500])
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(
            st.sampled_from(
                ["prompt", "seed", "loras", "width", "inputs", "positive", "model", "job"]
            ),
            inner,
        ),
    ).map(json.dumps),
)  # fmt: skip


@pytest.mark.parametrize("link", [[], 6, "6", {}, None])
def test_a_workflow_whose_words_hang_in_the_air_tells_its_numbers_alone(link):
    sampler = {"seed": 42, "positive": link}
    nodes = {"3": {"inputs": sampler}, "6": {"inputs": {"text": "a castle"}}}

    found = findings_in({"prompt": json.dumps(nodes)})

    assert (found.seed, found.prompt) == (42, "")


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_our_own_files_tell_how_they_were_made(format, fox):
    marks = Provenance()
    facts = marks.of(Job(user="ada", request=fox, id="k7m2p9xd"), fox)
    data = (
        marks.png(noise(), facts)
        if format == "PNG"
        else marks.webp(noise(), facts, quality=80, method=0)
    )

    found = findings_in(texts(data))

    assert (found.tool, found.prompt, found.seed) == ("fluxbot", fox.prompt, fox.seed)
    assert (found.width, found.num_inference_steps) == (fox.width, fox.num_inference_steps)
    assert (found.preset, found.job_id) == ("plain", "k7m2p9xd")
    assert found.source == "trainedAlgorithmicMedia"
    assert "It says of itself that it was made by AI." in told(found)
    assert "anybody may have written this" in told(found)
    command = parse(found.again)
    assert (command.prompt, command.seed, command.width) == (fox.prompt, fox.seed, fox.width)


def test_the_words_of_other_programs_are_read_too():
    one = findings_in({"parameters": A1111})
    other = findings_in({"prompt": json.dumps(COMFYUI), "workflow": "{}"})

    assert (one.tool, one.prompt) == ("A1111", "a castle, (dramatic:1.2) in fog")
    assert (one.negative_prompt, one.model) == ("blurry, text", "sd15")
    assert (one.width, one.height) == (512, 768)
    assert (other.tool, other.prompt, other.negative_prompt) == (
        "ComfyUI",
        "a castle in fog",
        "blurry",
    )
    for each in (one, other):
        assert (each.seed, each.num_inference_steps, each.guidance_scale) == (42, 20, 7.5)


def test_loras_are_read_too_and_asked_for_again():
    loras = (Lora(name="ink", lora="lab/ink", lora_scale=0.5), Lora(name="slow", lora="lab/slow"))
    facts = {"prompt": "a fox", "loras": [asdict(each) for each in loras]}
    ours = findings_in({"fluxbot": json.dumps(facts)})
    theirs = findings_in({"parameters": "a fox <lora:ink:0.5> <lora:slow:1>\nSteps: 20, Seed: 1"})
    wrong = findings_in({"parameters": "a fox <lora:ink:7>\nSteps: 20, Seed: 1"})

    assert [each.loras for each in (ours, theirs, wrong)] == [
        "ink:0.5,slow:1",
        "ink:0.5,slow:1",
        "",
    ]
    assert [each.prompt for each in (ours, theirs, wrong)] == ["a fox"] * 3
    assert ours.again == "a fox --lora ink:0.5 --lora slow:1"
    assert theirs.again == "a fox --steps 20 --seed 1 --lora ink:0.5 --lora slow:1"


def test_a_picture_that_says_nothing_is_not_taken_for_a_photo():
    found = findings_in(texts(file(noise())))

    assert found == Findings()
    assert told(found).startswith("This picture says nothing")
    assert "does not mean that it was not made by AI" in told(found)


def test_a_signature_alone_is_more_than_a_claim():
    signed = findings_in({"parameters": "a fox"}, Signature(True, "Ada", is_by_ai=True))
    forged = findings_in({"parameters": "a fox"}, Signature(False))

    assert "signed by “Ada”" in told(signed)
    assert "not valid" in told(forged)


@given(HOSTILE)
def test_no_metadata_do_harm(metadata):
    found = findings_in(metadata)

    assert len(found.prompt) <= MAX_SHOWN
    assert found.seed is None or 0 <= found.seed < 2**32
    assert found.prompt.isprintable()
    json.dumps(found.to_dict(), allow_nan=False)
    for code in LANGUAGES:
        assert told(found, language_of(code))
    if found.again:
        assert isinstance(parse(found.again), ImagineCommand)


def test_files_are_signed_by_the_name_in_their_certificate(fox):
    pytest.importorskip("c2pa")
    from bot.credentials import Credentials
    from tests.certificates import signing_chain

    marks = Provenance(sign=Credentials(*signing_chain(), "es256").sign)
    facts = marks.of(Job(user="ada", request=fox), fox)
    for data in (marks.png(noise(), facts), marks.webp(noise(), facts, quality=80, method=0)):
        assert signature_of(data) == Signature(True, "Fluxbot Test", is_by_ai=True)
        changed = bytearray(data)
        changed[-20] ^= 1
        assert not signature_of(bytes(changed)).is_valid
    assert signature_of(file(noise())) is None


def test_signatures_are_read_in_the_process_with_limits(fox):
    pytest.importorskip("c2pa")
    from bot.credentials import Credentials
    from tests.certificates import signing_chain

    marks = Provenance(sign=Credentials(*signing_chain(), "es256").sign)
    data = marks.png(noise(), marks.of(Job(user="ada", request=fox), fox))
    decoders = Decoders(1)

    try:
        assert decoders.signature(data) == Signature(True, "Fluxbot Test", is_by_ai=True)
        assert decoders.signature(file(noise())) is None
        assert XMP_KEYWORD in decoders.texts(data)
    finally:
        decoders.close()


@pytest.mark.parametrize("number", ["nan", "inf", -1, 1e300, True, [], "9" * 400])
def test_numbers_out_of_all_bounds_are_not_taken_for_settings(number):
    values = dict.fromkeys(("guidance_scale", "seed", "width", "num_inference_steps"), number)

    found = findings_in({"fluxbot": json.dumps({"prompt": "a fox", **values})})

    assert found == Findings(tool="fluxbot", prompt="a fox")


def test_json_that_is_nested_deeply_is_not_read():
    nested = '{"prompt": "a fox", "more": ' + "[" * 30 + "]" * 30 + "}"

    assert findings_in({"fluxbot": nested}) == Findings()


def test_settings_that_we_do_not_allow_are_left_out_of_the_words_to_draw_again():
    found = findings_in({"parameters": "a fox\nSteps: 150, Seed: 7, Size: 500x500"})

    assert found.num_inference_steps == 150
    assert found.again == "a fox --seed 7"
