"""Where weights live, and what the operator is told when they do not come."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from generation import wanted, weights
from generation.errors import ModelUnavailable

HUB_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "DIFFUSERS_CACHE")


def test_all_caches_are_pointed_under_the_download_folder(tmp_path):
    environ = {}

    weights.prepare_environment(tmp_path, environ)

    assert environ["HF_HOME"] == str(tmp_path / "hf-cache")
    assert {environ[name] for name in HUB_VARIABLES} == {str(tmp_path / "hf-cache" / "hub")}
    assert environ["TORCH_HOME"] == str(tmp_path / "torch-cache")
    assert environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "torch-cache" / "inductor")
    assert environ["TRITON_CACHE_DIR"] == str(tmp_path / "torch-cache" / "triton")


def test_a_relative_folder_means_the_same_after_a_change_of_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environ = {}

    weights.prepare_environment(Path("download"), environ)

    assert environ["HF_HOME"] == str(tmp_path / "download" / "hf-cache")


@pytest.mark.parametrize(
    ("torch", "settings"),
    [
        ("2.12.1", "expandable_segments:True"),
        ("2.13.0+cu130", "expandable_segments:True,pinned_max_cached_size_mb:1"),
    ],
)
def test_a_cards_memory_grows_without_gaps_unless_the_operator_says_otherwise(
    tmp_path, monkeypatch, torch, settings
):
    monkeypatch.setattr(weights, "torch_version", lambda: torch)
    none, theirs, ours = {}, {"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync"}, {}
    weights.prepare_environment(tmp_path, none, devices=tmp_path)
    (tmp_path / "nvidia0").touch()

    weights.prepare_environment(tmp_path, theirs, devices=tmp_path)
    weights.prepare_environment(tmp_path, ours, devices=tmp_path)

    assert "PYTORCH_CUDA_ALLOC_CONF" not in none
    assert "PYTORCH_CUDA_ALLOC_CONF" not in theirs
    assert ours["PYTORCH_CUDA_ALLOC_CONF"] == settings


@pytest.mark.parametrize(
    ("given", "hub"),
    [
        ({"HF_HOME": "/big"}, "/big/hub"),
        ({"HF_HUB_CACHE": "/hub"}, "/hub"),
        ({"HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HOME": "/big", "HF_HUB_CACHE": "/hub"}, "/hub"),
    ],
    ids=str,
)
def test_what_the_operator_set_stays_and_the_others_follow(tmp_path, given, hub):
    environ = dict(given)

    weights.prepare_environment(tmp_path, environ)

    assert environ.items() >= given.items()
    assert {environ[name] for name in HUB_VARIABLES} == {hub}


def test_an_empty_variable_counts_as_not_set(tmp_path):
    environ = {"HF_HOME": "", "TORCH_HOME": ""}

    weights.prepare_environment(tmp_path, environ)

    assert all(value.startswith(str(tmp_path)) for name, value in environ.items() if "_H" in name)


def test_the_libraries_really_use_these_folders(tmp_path):
    code = (
        "import os, pathlib, sys; from generation import weights;"
        "weights.prepare_environment(pathlib.Path(sys.argv[1]), os.environ);"
        "import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)"
    )
    environ = {
        name: value for name, value in os.environ.items() if name not in (*HUB_VARIABLES, "HF_HOME")
    }

    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert ran.stdout.strip() == str(tmp_path / "hf-cache" / "hub")


def test_the_libraries_are_told_to_be_quiet_and_not_to_spin(tmp_path):
    environ = {"OMP_WAIT_POLICY": "ACTIVE"}

    weights.prepare_environment(tmp_path, environ)

    assert environ["TRANSFORMERS_VERBOSITY"] == environ["DIFFUSERS_VERBOSITY"] == "error"
    assert environ["OMP_WAIT_POLICY"] == "ACTIVE", "what the operator set stays"
    weights.prepare_environment(tmp_path, environ := {})
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_TOKEN"])
def test_the_token_is_found_under_every_name_in_use(name):
    assert weights.find_token({name: "hf_secret"}) == "hf_secret"
    assert weights.find_token({name: ""}) is None


def resolve(repository, tmp_path, revision=None, role="pipeline", token=None):
    return weights.resolve(repository, revision, role=role, download_dir=tmp_path, token=token)


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """A checkout without the trained demo weights."""
    monkeypatch.setattr(weights, "DEMO_WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_without_trained_weights_the_demo_is_a_random_model_and_says_so(
    untrained, tmp_path, caplog
):
    flux = resolve("demo", tmp_path)
    controlnet = resolve("demo/controlnet-canny", tmp_path, role="controlnet")

    assert (flux / "model_index.json").is_file()
    assert (controlnet / "config.json").is_file()
    assert flux.parent == controlnet.parent == tmp_path / "demo-tiny"
    assert "draws noise" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["demo-tiny"]


def test_what_the_random_model_has_nothing_for_is_refused(untrained, tmp_path):
    with pytest.raises(ModelUnavailable, match="demo/lora-ink belongs to the trained demo"):
        resolve("demo/lora-ink", tmp_path, role="lora")


def test_the_random_model_is_built_once(untrained, tmp_path):
    resolve("demo", tmp_path)
    before = tmp_path.stat().st_mtime_ns

    resolve("demo", tmp_path)

    assert tmp_path.stat().st_mtime_ns == before, "nothing was built aside"


def test_trained_weights_are_taken_where_they_are(untrained, tmp_path):
    for name in ("flux", "controlnet-canny"):
        (untrained / name).mkdir(parents=True)

    assert resolve("demo", tmp_path) == untrained / "flux"
    assert resolve("demo/controlnet-canny", tmp_path) == untrained / "controlnet-canny"
    with pytest.raises(ModelUnavailable, match="there are demo/controlnet-canny, demo/flux"):
        resolve("demo/depth", tmp_path)


def test_a_folder_is_itself(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)

    assert resolve(str(tmp_path / "mine"), tmp_path) == tmp_path / "mine"
    assert resolve("mine", tmp_path) == tmp_path / "mine"


@pytest.mark.parametrize("name", ["./mine", "/no/such/folder", "~/no-such-folder"])
def test_a_folder_that_is_missing_is_not_looked_for_on_the_hub(name, tmp_path):
    with pytest.raises(ModelUnavailable, match=f"the folder {name} does not exist"):
        resolve(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "role", "sentence"),
    [
        ("./nets/mine", "controlnet", r"the folder \./nets/mine does not exist"),
        ("/no/such/folder", "controlnet", "the folder /no/such/folder does not exist"),
        ("~/no/ink.safetensors", "lora", "the file ~/no/ink.safetensors does not exist"),
        ("demo/lora-nope", "lora", "demo/lora-nope does not exist: there are demo/"),
        ("a model of mine", "pipeline", "'a model of mine' is neither a folder nor a repository"),
        (__file__, "controlnet", "test_weights.py is a file: a ControlNet is a folder"),
        (__file__, "pipeline", "is a file: name it as model.transformer, and a whole model"),
        ("lab/flux/fp8.safetensors", "pipeline", "is a file: name it as model.transformer"),
    ],
)
def test_what_can_be_nowhere_is_said_in_full_before_anything_is_fetched(name, role, sentence):
    with pytest.raises(ModelUnavailable, match=sentence):
        weights.wanted_from_hub(name, role)


def test_a_name_that_is_no_repository_is_refused(tmp_path):
    with pytest.raises(ModelUnavailable, match="neither a folder nor a repository id"):
        resolve("a model of mine", tmp_path)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that answers as it is told, and writes down what it was asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, self.headers.get("Authorization")))
            status, headers, body = server.files.get(self.path.partition("?")[0], server.answer)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asked, server.answer, server.files = [], (404, {}, b"{}"), {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    template = constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in weights.TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, "GatedRepo", "is gated, and the token in HF_TOKEN is not valid: make a new one"),
        (403, "GatedRepo", "token in HF_TOKEN has no access: accept the licence at http.*/me/mod"),
        (404, "RepoNotFound", "there is no repository me/model .* or it is private"),
        (404, "RevisionNotFound", "me/model has no revision v9: see http.*/me/model/commits"),
        (401, "", "the token in HF_TOKEN is not valid; make a new one"),
        (500, "", "http.* answers 500; try again later"),
        (403, "", "the token in HF_TOKEN has no access to it"),
    ],
)
def test_a_refusal_of_the_hub_becomes_a_sentence_with_the_way_out(
    hub, tmp_path, status, code, sentence
):
    hub.answer = (status, {"X-Error-Code": code} if code else {}, b"{}")

    with pytest.raises(ModelUnavailable, match=sentence):
        resolve("me/model@v9", tmp_path, token="hf_mine")

    assert ("/api/models/me/model/revision/v9", "Bearer hf_mine") in hub.asked


def test_a_gated_repository_without_a_token_says_where_to_accept_and_where_to_put_it(hub, tmp_path):
    hub.answer = (401, {"X-Error-Code": "GatedRepo"}, b"{}")

    sentence = "is gated: accept its licence at http.*/me/model, then put a token .* into HF_TOKEN"
    with pytest.raises(ModelUnavailable, match=sentence):
        resolve("me/model", tmp_path)


def test_a_hub_that_cannot_be_reached_says_what_to_check(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(ModelUnavailable, match=r"cannot be reached, and it is not in the cache"):
        resolve("me/model", tmp_path)


SHA = "0123456789" * 4


@pytest.fixture
def published(hub):
    """A ControlNet on the Hub, with a pickle beside it."""
    files = {
        "config.json": b"{}",
        "diffusion_pytorch_model.safetensors": b"weights",
        "diffusion_pytorch_model.bin": b"pickle",
    }
    api = "/api/models/me/model"
    tree = [
        {"type": "file", "path": name, "size": len(body), "oid": name}
        for name, body in files.items()
    ]
    info = {"id": "me/model", "sha": SHA, "siblings": [{"rfilename": name} for name in files]}
    for at in (SHA, "v9"):
        hub.files[f"{api}/revision/{at}"] = (200, {}, json.dumps(info).encode())
        hub.files[f"{api}/tree/{at}"] = (200, {}, json.dumps(tree).encode())
    for name, body in files.items():
        headers = {"ETag": f'"{name}"', "X-Repo-Commit": SHA}
        hub.files[f"/me/model/resolve/{SHA}/{name}"] = (200, headers, body)
    return hub


def test_weights_are_fetched_once_and_without_their_pickles(published, tmp_path):
    folder = resolve("me/model@v9", tmp_path, role="controlnet")

    assert folder.is_relative_to(tmp_path / "hub")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "config.json": b"{}",
        "diffusion_pytorch_model.safetensors": b"weights",
    }
    fetched = len([path for path, _ in published.asked if "/resolve/" in path])
    assert resolve("me/model", tmp_path, "v9", role="controlnet") == folder
    assert len([path for path, _ in published.asked if "/resolve/" in path]) == fetched


def test_what_is_in_the_cache_is_used_while_the_hub_is_down(published, tmp_path):
    folder = resolve("me/model@v9", tmp_path, role="controlnet")
    published.files, published.answer = {}, (503, {}, b"")

    assert resolve("me/model@v9", tmp_path, role="controlnet") == folder


def test_a_disk_that_cannot_be_written_is_told_with_the_folder_and_what_is_free(
    published, tmp_path
):
    (tmp_path / "hub").write_text("where the cache should be")

    with pytest.raises(ModelUnavailable, match=r"in .*hub, where [0-9.]+ GB are free; make room"):
        resolve("me/model@v9", tmp_path, role="controlnet")


def test_of_a_pipeline_no_pickle_and_no_second_copy_is_fetched():
    from huggingface_hub.utils import filter_repo_objects

    files = [
        "README.md", "ae.safetensors", "flux1-dev.safetensors", "model_index.json",
        "scheduler/scheduler_config.json", "text_encoder/model.safetensors",
        "text_encoder/pytorch_model.bin", "tokenizer/merges.txt", "tokenizer_2/spiece.model",
        "transformer/diffusion_pytorch_model-00001-of-00003.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json", "vae/evil.py",
    ]  # fmt: skip

    chosen = set(filter_repo_objects(files, allow_patterns=list(wanted.PATTERNS["pipeline"])))

    left_out = {"README.md", "ae.safetensors", "flux1-dev.safetensors"}
    left_out |= {"text_encoder/pytorch_model.bin", "vae/evil.py"}
    assert chosen == set(files) - left_out
