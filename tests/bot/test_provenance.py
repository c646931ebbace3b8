"""Every file that leaves says that it was made by AI, and how, to independent readers too."""

import ast
import json
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.gallery import Gallery
from bot.jobs import Job
from bot.provenance import (
    MAP,
    SOFTWARE,
    VERSION,
    Provenance,
    SourceType,
    enlarged_preview,
    facts_of,
    read_request,
    xmp,
)
from generation.checks import MAX_PROMPT_LENGTH
from generation.containers import XMP_KEYWORD, texts
from generation.kinds import ControlNet, ControlNets, ImageToImage
from generation.results import encoded
from generation.types import GenerationRequest, Lora
from tests.samples import file, opened, picture

ROOT = Path(__file__).parents[2]
SOURCE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
REQUEST = "{urn:fluxbot:1#}request"
TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"


def noise(size=(64, 48)):
    return Image.effect_noise(size, 60).convert("RGB")


def marks(data):
    """The XMP of a file, by an XML parser that is not ours."""
    tree = ElementTree.fromstring(texts(data)[XMP_KEYWORD].split("?>", 1)[1].rsplit("<?", 1)[0])
    return {each.tag: each.text for each in tree.iter()}


@pytest.fixture
def files(tmp_path, fox):
    """Bytes of every kind of file that leaves, by name."""
    gallery = Gallery(tmp_path)
    job = Job(user="ada", request=fox, images=2)
    for number, request in enumerate(job.requests, 1):
        gallery.save(job, number, request, encoded(noise(), noise()))
    gallery.finish(job, (1, 2))
    path = gallery.picture_path(job.id, 1)
    kept = {
        each.name.split("-", 1)[1]: each.read_bytes() for each in gallery.images.glob(f"{job.id}*")
    }
    copy, suffix = gallery.provenance.fitted(path, path.stat().st_size - 1)
    assert suffix == ".webp"
    preview = gallery.provenance.preview(job, picture(32, 24, format="JPEG"))
    return {
        **kept,
        "copy.webp": copy,
        "asked.jpg": gallery.provenance.encoded(path, "image/jpeg"),
        "asked.webp": gallery.provenance.encoded(path, "image/webp"),
        "preview.jpg": preview,
        "enlarged.jpg": enlarged_preview(preview, 64),
    }


def test_every_file_says_that_it_was_made_by_a_model(files):
    assert set(files) == {
        *("1.png", "2.png", "grid.png", "map.png", "thumbnail.webp"),
        *("copy.webp", "preview.jpg", "enlarged.jpg", "asked.jpg", "asked.webp"),
    }
    for name, data in files.items():
        with opened(data) as image:
            image.load()
        expected = SourceType.ALTERED if name == "map.png" else SourceType.MADE
        assert marks(data)[SOURCE] == expected, name


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_the_marks_of_every_file(files, fox, tmp_path):
    for name, data in files.items():
        path = tmp_path / f"sent-{name}"
        path.write_bytes(data)
    sent = sorted(tmp_path.glob("sent-*"))

    told = json.loads(subprocess.check_output(["exiftool", "-j", "-G", "-n", *sent]))

    assert len(told) == len(files)
    for each in told:
        name = each["SourceFile"].rpartition("sent-")[2]
        assert "File:Error" not in each
        assert "ExifTool:Warning" not in each, each
        term = each["XMP:DigitalSourceType"].rpartition("/")[2]
        is_map = name == "map.png"
        assert term == ("algorithmicallyEnhanced" if is_map else "trainedAlgorithmicMedia")
        assert each["XMP:CreatorTool"].startswith(SOFTWARE)
        if not is_map and name not in ("preview.jpg", "enlarged.jpg"):
            assert each["XMP:Description"].startswith(fox.prompt)
            assert f"Seed: {2 if name == '2.png' else 1}," in each["XMP:Description"]
        if name.endswith(".webp") or name == "asked.jpg":
            assert each["EXIF:UserComment"].startswith(fox.prompt)


def test_a_picture_that_was_drawn_over_counts_as_edited(fox, tmp_path):
    job = Job(user="ada", request=fox)
    attached = {"control_image": tmp_path / "a.png"}
    redrawn = replace(fox, kind=ImageToImage(strength=0.5), pictures=attached)
    guided = replace(
        fox, kind=ControlNet(controlnet="x/y", preprocessor="canny"), pictures=attached
    )

    assert facts_of(job, fox).source is SourceType.MADE
    assert facts_of(job, redrawn).source is SourceType.EDITED
    assert facts_of(job, guided).source is SourceType.MADE


def test_a_smaller_copy_keeps_the_term_of_its_picture(fox, tmp_path):
    hostile = replace(fox, prompt=f"a fox >{SourceType.MADE}</ >{SourceType.ALTERED}</")
    path = tmp_path / "a.png"
    for source in SourceType:
        facts = replace(facts_of(Job(user="ada", request=hostile), hostile), source=source)
        path.write_bytes(Provenance().png(noise((256, 256)), facts))

        copy, _ = Provenance().fitted(path, 30_000)

        assert marks(copy)[SOURCE] == source


def test_the_longest_words_fit_into_the_marks_of_a_jpeg(fox):
    words = "&" * MAX_PROMPT_LENGTH  # five characters each in XML
    request = replace(fox, prompt=words, negative_prompt=words)

    facts = facts_of(Job(user="ada", request=request), request)
    told = marks(Provenance().jpeg(noise(), facts, quality=90))

    assert told[SOURCE] == SourceType.MADE
    assert json.loads(told[REQUEST])["prompt"] == words


def test_words_stay_out_of_files_where_the_operator_wishes_so(fox):
    job = Job(user="ada", request=replace(fox, negative_prompt="blurry"))
    provenance = Provenance(tells_prompt=False)

    png = provenance.png(noise(), provenance.of(job, job.request))

    assert fox.prompt.encode() not in png
    assert b"blurry" not in png
    assert marks(png)[SOURCE] == SourceType.MADE
    assert read_request(png)["seed"] == fox.seed


def test_paths_of_the_operators_machine_stay_out_of_files(fox):
    request = replace(
        fox,
        model="/home/operator/models/own",
        lora="C:\\Users\\operator\\ink.safetensors",
        loras=(Lora(name="slow", lora="~operator/slow.safetensors"),),
        kind=ControlNets(
            controlnets=(
                ControlNet(controlnet="../operator/canny"),
                ControlNet(controlnet="owner/operated/depth.safetensors"),
            )
        ),
        pictures={"control_image": Path("a.png")},
    )

    facts = facts_of(Job(user="ada", request=request), request)

    assert b"operator" not in xmp(facts)
    assert "operator" not in facts.parameters + facts.model + json.dumps(facts.request)
    assert (facts.model, facts.request["lora"]) == ("own", "ink.safetensors")
    assert facts.request["loras"][0]["lora"] == "slow.safetensors"
    nets = [each["controlnet"] for each in facts.request["controlnets"]]
    assert nets == ["canny", "owner/operated/depth.safetensors"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200))
def test_any_words_make_well_formed_marks(words):
    request = GenerationRequest(
        prompt=f"x{words}", num_inference_steps=1, guidance_scale=1, width=64, height=64, seed=0
    )

    packet = xmp(facts_of(Job(user="ada", request=request), request))

    tree = ElementTree.fromstring(packet.split(b"?>", 1)[1].rsplit(b"<?", 1)[0])
    sources = [each.text for each in tree.iter(SOURCE)]
    assert sources == [SourceType.MADE]
    assert len(list(tree.iter(REQUEST))) == 1


def test_a_marked_preview_has_the_same_pixels(fox):
    jpeg = picture(32, 24, format="JPEG")

    marked = Provenance().preview(Job(user="ada", request=fox), jpeg)

    assert marked != jpeg
    with opened(marked) as one, opened(jpeg) as other:
        assert one.tobytes() == other.tobytes()


def test_an_unfinished_picture_tells_no_path_of_the_operators_machine(fox):
    job = Job(user="ada", request=replace(fox, model="/home/operator/models/own"))
    provenance = Provenance()
    files = (
        provenance.preview(job, picture(32, 24, format="JPEG")),
        provenance.sheet(job, noise()),
    )

    for said in map(marks, files):
        assert "own" in said[TOOL]
        assert "operator" not in str(said)


def test_no_picture_is_encoded_anywhere_else():
    """A file that were encoded beside `bot.provenance` would leave without its marks."""
    found = []
    for folder in ("bot", "adapters"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "provenance.py":
                continue
            tree = ast.parse(path.read_text())
            if not any(
                isinstance(node, ast.ImportFrom | ast.Import)
                and "PIL" in (getattr(node, "module", None) or node.names[0].name)
                for node in ast.walk(tree)
            ):
                continue
            found += [
                f"{path.name}:{node.lineno}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("save", "tobytes", "imencode")
            ]
    assert found == []


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
    assert MAP.creator_tool == SOFTWARE


def test_a_file_without_a_request_tells_none():
    assert read_request(file(noise())) is None
    assert read_request(b"nonsense") is None
