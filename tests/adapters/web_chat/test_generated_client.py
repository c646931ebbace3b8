"""A client that a program has made of the description alone draws, waits and downloads."""

import importlib
import io
import json
import os
import shutil
import subprocess
import sys

import httpx
import pytest

from tests.adapters.web_chat.conftest import House
from tests.samples import opened, picture

#: It wants an older Typer than the bot has, so it lies in an environment of its own:
#: ``python -m venv g; g/bin/pip install openapi-python-client``, and this variable names
#: ``g/bin/openapi-python-client``.
VARIABLE = "OPENAPI_PYTHON_CLIENT"
GENERATOR = os.environ.get(VARIABLE) or shutil.which("openapi-python-client")
FILES = ("image/png", "image/jpeg", "image/webp", "application/zip", "application/jsonl")
SETTINGS = {
    "post_hooks": [],
    "package_name_override": "drawn_by_machine",
    "content_type_overrides": dict.fromkeys(FILES, "application/octet-stream"),
}

pytestmark = pytest.mark.skipif(
    GENERATOR is None,
    reason=f"openapi-python-client is in no environment that {VARIABLE} or PATH names",
)


@pytest.fixture
def house(tmp_path):
    with House(tmp_path / "data") as house:
        yield house


@pytest.fixture
def generated(house, tmp_path, monkeypatch):
    """Gives modules of the client by their names."""
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{house.address}/openapi.json").content)
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    folder = tmp_path / "drawn_by_machine"
    command = [GENERATOR, "generate", "--meta", "none", "--output-path", folder]
    command += ["--path", tmp_path / "openapi.json", "--config", tmp_path / "settings.json"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    # What it cannot read it leaves out, and warns.
    assert "warning" not in (made.stdout + made.stderr).lower(), made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: importlib.import_module(f"drawn_by_machine.{name}")
    for name in [name for name in sys.modules if name.startswith("drawn_by_machine")]:
        del sys.modules[name]


def test_a_generated_client_draws_waits_and_downloads(house, generated):
    models, drawing = generated("models"), generated("api.drawing.create_job")
    jobs, pictures = generated("api.jobs.get_job"), generated("api.pictures.get_picture")
    with generated("client").Client(base_url=house.address, timeout=60) as client:
        words = models.GenerateBody(prompt="a fox", width=64, height=64, num_inference_steps=2)
        asked = [drawing.sync(client=client, body=words, idempotency_key="a") for _ in range(2)]
        file = generated("types").File(io.BytesIO(picture()), "a.png", "image/png")
        form = models.CreateJobFilesGenerateBodyForm(
            prompt="a hat", width=64, height=64, num_inference_steps=2, preset="canny", image=file
        )
        asked.append(drawing.sync(client=client, body=form))
        for job in asked:
            while jobs.sync(job.id, client=client).status in ("queued", "running"):
                pass

            data = pictures.sync_detailed(job.id, client=client)

            assert data.status_code == 200
            with opened(data.content) as image:
                assert image.size == (64, 64)
        wrong = models.GenerateBody(prompt="a fox", num_inference_steps=99)
        refused = drawing.sync(client=client, body=wrong)

    assert asked[0].id == asked[1].id
    assert asked[2].preset == "canny"
    assert refused.error.field == "num_inference_steps"
