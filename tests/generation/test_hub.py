"""Downloads from a Hub on loopback, in a process of its own, as an operator's machine has them.

huggingface_hub reads HF_ENDPOINT when it is imported, so each test talks to one child.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.generation.engines import ignore, new_engine, pixels
from tests.generation.hub_on_loopback import COMMIT, LARGE, Hub, Repository

ROOT = Path(__file__).parent.parent.parent
SHARD = bytes(range(256)) * 40

#: Reads a line of Python, runs it with `hub` and `weights`, prints what came of it as JSON.
CHILD = """
import json, os, pathlib, sys, traceback
from generation import weights
weights.prepare_environment(pathlib.Path(sys.argv[1]), os.environ)
from generation import hub
from generation.errors import ModelUnavailable
from generation.wanted import Wanted
told = []
def resolve(name, role="pipeline", **options):
    folder = weights.resolve(name, role=role, download_dir=pathlib.Path(sys.argv[1]),
                             on_progress=lambda *progress: told.append(progress), **options)
    return str(folder)
def edited(model, kontext, picture, cache, out):
    from dataclasses import replace
    from generation.diffusion.engine import DiffusionEngine
    from generation.kinds import Edit
    from generation.types import GenerationRequest
    engine = DiffusionEngine(model, device="cpu", max_sequence_length=32, threads=1,
                             download_dir=pathlib.Path(cache))
    engine.load()
    request = GenerationRequest(prompt="a red fox", num_inference_steps=3, guidance_scale=3.5,
                                width=96, height=64, seed=7, kind=Edit(kontext=kontext),
                                pictures={"control_image": pathlib.Path(picture)})
    notes = []
    engine.generate(request, lambda step: notes.append(step.note)).image.save(out)
    return [each for each in notes if each]
def stop(done, size):
    if done:
        raise ModelUnavailable("stopped")
def little(folder):
    return hub.MARGIN + 1000
print("ready", flush=True)
for line in sys.stdin:
    told.clear()
    try:
        answer = {"result": eval(line)}
    except ModelUnavailable as error:
        answer = {"error": str(error)}
    except Exception:
        answer = {"crash": traceback.format_exc()}
    print(json.dumps(answer | {"told": told}), flush=True)
"""


class Child:
    """A process that uses the Hub."""

    def __init__(self, folder, endpoint, **variables):
        hidden = ("HF_", "HUGGINGFACE", "TRANSFORMERS_CACHE", "DIFFUSERS_CACHE")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)], cwd=ROOT, text=True,
            env={**inherited, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", **variables},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, line):
        self.tell(line)
        answer = json.loads(self.process.stdout.readline())
        assert "crash" not in answer, answer["crash"]
        return answer

    def tell(self, line):
        self.process.stdin.write(line.replace("\n", " ") + "\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.process.kill()
        self.process.communicate()


def published():
    return {
        "lab/flux": Repository({
            "model_index.json": b'{"_class_name": "FluxPipeline"}',
            "transformer/config.json": b"{}",
            "transformer/diffusion_pytorch_model-00001-of-00002.safetensors": SHARD,
            "transformer/diffusion_pytorch_model-00002-of-00002.safetensors": SHARD[::-1],
            "transformer/diffusion_pytorch_model.fp16.safetensors": SHARD[1:],
            "vae/diffusion_pytorch_model.bin": SHARD[3:],
            "flux1-dev.safetensors": SHARD[2:],
            "README.md": b"a card",
        }),
        "lab/closed": Repository({"config.json": b"{}", "diffusion_pytorch_model.safetensors":
                                  SHARD}, is_gated=True),
        "lab/styles": Repository({"ink.safetensors": SHARD, "oil.safetensors": SHARD[::-1]}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def shared():
    """A Hub, and a child that most tests share, since starting one takes a second."""
    hub = Hub()
    child = Child(Path("unused"), hub.endpoint, COLUMNS="200")
    yield hub, child
    child.close()
    hub.close()


@pytest.fixture
def hub(shared):
    hub, _ = shared
    hub.repositories = published()
    hub.asked.clear()
    hub.fetched.clear()
    return hub


@pytest.fixture
def mine(hub, shared, tmp_path):
    """The shared child, with a cache of the test's own."""
    _, child = shared
    child.ask(f"setattr(hub.constants, 'HF_HUB_CACHE', {str(tmp_path / 'hf-cache' / 'hub')!r})")
    return child


@pytest.fixture
def child(hub, tmp_path):
    """Starts a child of the test's own."""
    children = []

    def child(**variables):
        made = Child(tmp_path, variables.pop("endpoint", hub.endpoint), **variables)
        children.append(made)
        return made

    yield child
    for each in children:
        each.close()


def files(folder):
    folder = Path(folder)
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


WANTED = {
    "model_index.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
}


def test_a_model_comes_over_redirects_whole_and_without_what_no_pipeline_uses(hub, mine):
    answer = mine.ask("resolve('lab/flux')")

    folder = Path(answer["result"])
    assert files(folder) == WANTED
    shard = next(folder.rglob("*00001*"))
    assert shard.read_bytes() == SHARD
    done, total = zip(*answer["told"], strict=True)
    assert set(total) == {sum(len(hub.repositories["lab/flux"].files[name]) for name in WANTED)}
    assert list(done) == sorted(done)
    assert (done[0], done[-1]) == (0, total[0])
    asked = len(hub.asked)
    assert mine.ask("resolve('lab/flux')")["told"] == []
    assert len(hub.asked) == asked, "what is complete is used without asking anybody"


def test_a_pinned_commit_and_one_file_of_several_are_understood(hub, mine):
    answer = mine.ask(f"resolve('lab/styles/oil.safetensors@{COMMIT}', 'lora')")

    assert Path(answer["result"]).read_bytes() == SHARD[::-1]
    assert hub.fetched == ["oil.safetensors"]


def test_of_several_files_that_are_here_it_is_the_one_that_is_named(hub, mine):
    def here(name):
        path = f"weights.local_folder('lab/styles/{name}.safetensors', 'lora', pathlib.Path())"
        return mine.ask(f"str({path})")["result"]

    assert here("oil") == "None"
    for name in ("ink", "oil"):
        mine.ask(f"resolve('lab/styles/{name}.safetensors', 'lora')")

    assert Path(here("ink")).read_bytes() == SHARD
    assert Path(here("oil")).read_bytes() == SHARD[::-1]


def test_beside_a_file_of_a_transformer_all_but_that_comes_of_the_model(hub, mine):
    """Also a file whose name says that it is in 16 bits, which is left out of whole folders."""
    hub.repositories["lab/gguf"] = Repository(
        {"flux-Q4_K_S.gguf": SHARD, "unet/flux.bf16.safetensors": SHARD[1:]}
    )

    base = mine.ask("resolve('lab/flux', 'base')")
    packed = mine.ask("resolve('lab/gguf/flux-Q4_K_S.gguf', 'transformer')")
    halves = mine.ask("resolve('lab/gguf/unet/flux.bf16.safetensors', 'transformer')")

    assert files(Path(base["result"])) == {"model_index.json", "transformer/config.json"}
    assert Path(packed["result"]).read_bytes() == SHARD
    assert Path(halves["result"]).read_bytes() == SHARD[1:]
    assert mine.ask("resolve('lab/flux', 'base')")["told"] == []


def test_of_a_model_for_editing_the_transformer_alone_is_fetched_and_draws(
    hub, mine, tiny, kontext, edited, tmp_path
):
    files = {
        file.relative_to(kontext).as_posix(): file.read_bytes() for file in kontext.rglob("*.*")
    }
    others = {"model_index.json": b"{}", "text_encoder_2/model.safetensors": SHARD}
    hub.repositories["lab/kontext"] = Repository(files | others)
    model, picture, out = tiny / "flux", edited.control_image, tmp_path / "out.png"

    paths = ", ".join(repr(str(each)) for each in (picture, tmp_path, out))
    notes = mine.ask(f"edited({str(model)!r}, 'lab/kontext', {paths})")

    engine = new_engine(tiny)
    engine.load()
    local = pixels(engine.generate(edited, ignore)).astype(int)
    with Image.open(out) as image:
        assert np.abs(local - np.asarray(image)).max() <= 1
    assert set(hub.fetched) == {*files, "model_index.json"}
    assert any("downloading lab/kontext" in note for note in notes["result"])


@pytest.mark.parametrize(
    ("name", "token", "sentence"),
    [
        ("lab/closed", None, "is gated: accept its licence at {hub}/lab/closed, then put a token"),
        ("lab/closed", "hf_new", "has no access: accept the licence at {hub}/lab/closed"),
        ("lab/closed", "hf_bad", "the token in HF_TOKEN is not valid; make a new one"),
        ("lab/flux@v9", None, "lab/flux has no revision v9: see {hub}/lab/flux/commits"),
        ("lab/none", "hf_good", "there is no repository lab/none at {hub}"),
        ("lab/styles/none.safetensors", None, "lab/styles holds no none.safetensors"),
    ],
)
def test_what_the_hub_refuses_becomes_a_sentence_with_the_way_out(hub, mine, name, token, sentence):
    answer = mine.ask(f"resolve({name!r}, 'controlnet', token={token!r})")

    assert sentence.format(hub=hub.endpoint) in answer["error"]


def test_a_licence_that_was_accepted_opens_the_door(mine):
    answer = mine.ask("resolve('lab/closed', 'controlnet', token='hf_good')")

    assert len(files(answer["result"])) == 2


def test_a_cut_connection_is_taken_up_where_it_broke(hub, mine):
    shard = "transformer/diffusion_pytorch_model-00002-of-00002.safetensors"
    hub.repositories["lab/flux"].cut_after[shard] = 5000

    mine.ask("setattr(hub.constants, 'DOWNLOAD_CHUNK_SIZE', 1000)")

    answer = mine.ask("resolve('lab/flux')")

    assert (Path(answer["result"]) / shard).read_bytes() == SHARD[::-1]
    mine.ask("setattr(hub.constants, 'DOWNLOAD_CHUNK_SIZE', 10 * 1024 * 1024)")
    assert "bytes=5000-" in {asked for _, _, asked in hub.asked}


def test_after_a_killed_download_whole_files_stay_and_its_leftovers_go(hub, child, tmp_path):
    mine = child()
    mine.ask("resolve('lab/styles/ink.safetensors', 'lora')")
    hub.stall.set()
    mine.tell("resolve('lab/styles/oil.safetensors', 'lora')")
    assert hub.stalled.wait(20)
    mine.kill()
    blobs = tmp_path / "hf-cache" / "hub" / "models--lab--styles" / "blobs"
    assert len(list(blobs.glob("*.incomplete"))) == 1
    hub.stall.clear()
    hub.fetched.clear()

    answer = child().ask("[hub.fetch(w, None).name for w in [Wanted('lab/styles', 'lora')]]")

    assert answer["result"] == [COMMIT]
    assert hub.fetched == ["oil.safetensors"]
    assert list(blobs.glob("*.incomplete")) == []
    assert len(list(blobs.iterdir())) == 2


def test_a_download_can_be_stopped_and_leaves_no_half_of_a_file(hub, mine, tmp_path):
    answer = mine.ask("hub.fetch(Wanted('lab/styles', 'lora'), None, stop).name")

    assert answer["error"] == "stopped"
    blobs = tmp_path / "hf-cache" / "hub" / "models--lab--styles" / "blobs"
    assert list(blobs.glob("*.incomplete")) == []
    assert len(files(mine.ask("resolve('lab/styles', 'lora')")["result"])) == 2


def test_without_a_network_a_complete_cache_serves_and_an_incomplete_one_says_so(hub, child):
    mine = child()
    complete = mine.ask("resolve('lab/flux')")["result"]
    mine.ask("resolve('lab/styles/ink.safetensors', 'lora')")
    offline = child(HF_HUB_OFFLINE="1")
    unreachable = child(endpoint="http://127.0.0.1:9")

    for each in (offline, unreachable):
        assert each.ask("resolve('lab/flux')")["result"] == complete
        partly = each.ask("resolve('lab/styles', 'lora')")["error"]
        assert "cannot be reached, and only parts of it are in the cache" in partly
        nothing = each.ask("resolve('lab/closed', 'controlnet')")["error"]
        assert "cannot be reached, and it is not in the cache" in nothing


def test_a_disk_that_is_too_small_is_refused_before_a_byte_is_fetched(hub, mine):
    mine.ask("[globals().update(real=hub.free_bytes), setattr(hub, 'free_bytes', little)]")

    answer = mine.ask("resolve('lab/flux')")
    mine.ask("setattr(hub, 'free_bytes', real)")

    assert "lab/flux needs 0.0 GB in " in answer["error"]
    assert "make room for 0.0 GB more, or set storage.download_dir" in answer["error"]
    assert hub.fetched == []


def test_right_length_and_wrong_bytes_are_found_removed_and_fetched_again(hub, mine):
    shard = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"
    hub.repositories["lab/flux"].corrupt.add(shard)
    folder = mine.ask("resolve('lab/flux')")["result"]
    assert (Path(folder) / shard).stat().st_size == len(SHARD), "the client accepted it"
    hub.repositories["lab/flux"].corrupt.clear()
    hub.fetched.clear()

    found = mine.ask(f"weights.remove_damaged(pathlib.Path({folder!r}))")["result"]
    again = mine.ask("resolve('lab/flux')")["result"]

    assert found == [shard]
    assert (Path(again) / shard).read_bytes() == SHARD
    assert hub.fetched == [shard]
    assert mine.ask(f"weights.remove_damaged(pathlib.Path({folder!r}))")["result"] == []


def test_small_files_are_checked_too(mine):
    folder = Path(mine.ask("resolve('lab/flux')")["result"])
    config = folder / "transformer" / "config.json"
    assert len(config.read_bytes()) < LARGE
    config.resolve().write_bytes(b"[]")

    found = mine.ask(f"weights.remove_damaged(pathlib.Path({str(folder)!r}))")["result"]

    assert found == ["transformer/config.json"]


def test_the_cache_is_listed_and_cleared(hub, mine):
    mine.ask("resolve('lab/flux')")
    mine.ask("resolve('lab/styles', 'lora')")

    listed = mine.ask("[[c.name, c.revisions, c.size] for c in hub.list_cache()]")["result"]
    freed = mine.ask("hub.clear('lab/styles')")["result"]

    assert [(name, revisions) for name, revisions, _ in listed] == [
        ("lab/flux", ["main"]), ("lab/styles", ["main"]),
    ]  # fmt: skip
    assert freed == 2 * len(SHARD) == listed[1][2]
    assert mine.ask("[c.name for c in hub.list_cache()]")["result"] == ["lab/flux"]


def test_a_cache_that_was_deleted_by_hand_is_downloaded_again(hub, mine, tmp_path):
    import shutil

    first = mine.ask("resolve('lab/flux')")["result"]
    shutil.rmtree(tmp_path / "hf-cache" / "hub")

    assert mine.ask("resolve('lab/flux')")["result"] == first
    assert files(first) == WANTED


CONFIG = """
[model]
repository = "lab/flux"
[storage]
download_dir = "."
[presets.plain]
[presets.canny]
controlnet = "lab/closed"
preprocessor = "canny"
[presets.again]
controlnet = "lab/closed"
[presets.ink]
lora = "lab/styles/ink.safetensors"
[presets.depth]
controlnet = "lab/closed"
preprocessor = "depth"
[preprocessors]
depth = "lab/depth"
"""


@pytest.fixture
def command(hub, mine, tmp_path):
    """Runs ``python -m bot ARGUMENTS``: (exit status, output)."""
    (tmp_path / "config.toml").write_text(CONFIG)
    hub.repositories["lab/depth"] = Repository(
        {"config.json": b"{}", "model.safetensors": SHARD[5:], "pytorch_model.bin": SHARD[6:]}
    )
    mine.ask("os.environ.update(HF_TOKEN='hf_good')")

    def command(*arguments):
        options = [*arguments, "--config", str(tmp_path / "config.toml")]
        answer = mine.ask(
            "(lambda ran: [ran.exit_code, ran.output])(__import__('typer.testing').testing"
            ".CliRunner().invoke(__import__('bot.__main__', fromlist=['app']).app, "
            f"{options!r}))"
        )
        return answer["result"]

    yield command
    mine.ask("os.environ.pop('HF_TOKEN')")


def test_one_command_fetches_what_the_model_and_all_presets_need_each_once(command, hub):
    status, output = command("download")

    assert status == 0
    assert "9 files to fetch, 0.00 GB in all" in output
    assert "in all" in output
    assert sorted(hub.fetched) == sorted(
        [*WANTED, "config.json", "diffusion_pytorch_model.safetensors", "ink.safetensors",
         "config.json", "model.safetensors"]
    )  # fmt: skip
    assert command("download") == [0, "Everything is here already.\n"]


def test_of_one_preset_only_what_it_needs_is_fetched(command, hub):
    status, _ = command("download", "ink")

    assert status == 0
    assert set(hub.fetched) == WANTED | {"ink.safetensors"}
    status, output = command("download", "inkk")
    assert status == 1
    assert "there is no preset or LoRA inkk: there are plain, canny" in output


def test_with_a_transformer_of_its_own_the_model_s_is_not_fetched(command, hub, tmp_path):
    file = tmp_path / "config.toml"
    named = 'transformer = "lab/styles/ink.safetensors"'
    file.write_text(CONFIG.replace("[model]", f"[model]\n{named}"))

    status, _ = command("download", "plain")

    assert status == 0
    assert set(hub.fetched) == {"model_index.json", "transformer/config.json", "ink.safetensors"}


def test_a_damaged_cache_is_found_repaired_listed_and_cleared(command, hub, tmp_path):
    shard = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"
    hub.repositories["lab/flux"].corrupt.add(shard)
    command("download", "plain")
    hub.repositories["lab/flux"].corrupt.clear()

    status, output = command("cache", "verify")
    assert status == 1
    assert f"lab/flux at {COMMIT[:8]} is damaged: {shard}" in output
    assert "try: cache repair" in output

    status, output = command("cache", "repair")
    assert (status, "was fetched again" in output) == (0, True)
    assert command("cache", "verify") == [0, f"lab/flux at {COMMIT[:8]} is sound\n"]
    assert "lab/flux" in command("cache", "list")[1]

    status, output = command("cache", "clear", "nonsense", "--yes")
    assert (status, "nonsense is not in the cache: there are lab/flux" in output) == (1, True)
    assert command("cache", "clear", "--yes")[0] == 0
    for empty in ("list", "verify", "repair", "clear"):
        assert command("cache", empty) == [0, "The cache is empty.\n"]
    assert not (tmp_path / "hf-cache" / "hub" / "models--lab--flux").exists()
