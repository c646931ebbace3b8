"""With a certificate every file is signed; where that fails nothing starts, and nothing leaves."""

import io
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from bot.config import ConfigError, load_config
from bot.credentials import SETTINGS, Credentials, SignatureFailed, credentials, provenance_verdict
from bot.gallery import Gallery
from bot.jobs import Job
from bot.provenance import Provenance, SourceType, facts_of
from bot.sections import ProvenanceSettings
from generation.kinds import ControlNet, ImageToImage
from generation.results import encoded
from tests.certificates import signing_chain
from tests.samples import file, noise

c2pa = pytest.importorskip("c2pa")


def read(data, media_type="image/png"):
    """State and manifest of *data*, by C2PA's own reader."""
    with (
        c2pa.Context.from_dict(SETTINGS) as context,
        c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader,
    ):
        store = json.loads(reader.json())
        return reader.get_validation_state(), store["manifests"][store["active_manifest"]]


def actions(manifest):
    (assertion,) = (e for e in manifest["assertions"] if e["label"].startswith("c2pa.actions"))
    return {each["action"]: each for each in assertion["data"]["actions"]}


@pytest.fixture(scope="module")
def chain():
    return signing_chain()


@pytest.fixture
def signing(chain):
    return Provenance(sign=Credentials(*chain, "es256").sign)


@pytest.fixture
def settings(chain, tmp_path):
    """Settings that are in order, and with other files where a test says so."""

    def of(certificate=chain[0], key=chain[1], **more):
        (tmp_path / "certificate.pem").write_bytes(certificate)
        (tmp_path / "key.pem").write_bytes(key)
        return ProvenanceSettings(
            certificate=tmp_path / "certificate.pem",
            private_key=str(tmp_path / "key.pem"),
            **more,
        )

    return of


def test_every_kept_file_is_signed_and_says_that_a_model_made_it(tmp_path, fox, signing):
    gallery = Gallery(tmp_path, signing)
    job = Job(user="ada", request=fox, images=2)

    for number, request in enumerate(job.requests, 1):
        gallery.save(job, number, request, encoded(noise(), noise()))
    gallery.finish(job, range(1, job.images + 1))

    kept = sorted(gallery.images.iterdir())
    assert len(kept) == 5  # two pictures, their grid, the map and the thumbnail
    for path in kept:
        state, manifest = read(path.read_bytes(), f"image/{path.suffix[1:]}")
        assert state == "Valid", path
        is_map = path.name.endswith("map.png")
        term = SourceType.ALTERED if is_map else SourceType.MADE
        assert actions(manifest)["c2pa.created"]["digitalSourceType"] == term
        assert manifest["claim_generator_info"][0]["name"] == "fluxbot"


def test_a_smaller_copy_is_signed_anew(tmp_path, fox, signing):
    path = tmp_path / "a.png"
    path.write_bytes(signing.png(noise(256, 256), facts_of(Job(user="ada", request=fox), fox)))

    data, suffix = signing.fitted(path, 30_000)

    assert (suffix, read(data, "image/webp")[0]) == (".webp", "Valid")


def test_a_changed_pixel_breaks_the_signature(fox, signing):
    data = bytearray(signing.png(noise(), facts_of(Job(user="ada", request=fox), fox)))
    data[data.index(b"IDAT") + 40] ^= 1

    assert read(bytes(data))[0] == "Invalid"


def test_attached_pictures_are_ingredients(tmp_path, fox, signing):
    attached = tmp_path / "attached.png"
    attached.write_bytes(file(noise()))
    pictures = {"control_image": attached}
    redrawn = replace(fox, kind=ImageToImage(strength=0.5), pictures=pictures)
    guided = replace(
        fox, kind=ControlNet(controlnet="x/y", preprocessor="canny"), pictures=pictures
    )

    for request, relationship, kinds in (
        (redrawn, "parentOf", ["c2pa.opened", "c2pa.edited"]),
        (guided, "inputTo", ["c2pa.created"]),
    ):
        facts = facts_of(Job(user="ada", request=request), request)
        state, manifest = read(signing.png(noise(), facts))

        assert state == "Valid"
        assert [each["relationship"] for each in manifest["ingredients"]] == [relationship]
        assert list(actions(manifest)) == kinds


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ps256", lambda: rsa.generate_private_key(65537, 2048)),
        ("ed25519", ed25519.Ed25519PrivateKey.generate),
    ],
)
def test_other_algorithms_sign_too(algorithm, key, settings):
    made = credentials(settings(*signing_chain(key=key()), algorithm=algorithm), {})

    assert made is not None


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (lambda: signing_chain(days=(-30, -1)), "not valid at time"),
        (lambda: (signing_chain()[0], signing_chain()[1]), "does not match"),
        (lambda: signing_chain(purpose=ExtendedKeyUsageOID.SERVER_AUTH), "invalid"),
        (lambda: (b"nonsense", signing_chain()[1]), "certificate"),
    ],
    ids=["expired", "of another key", "for another purpose", "none at all"],
)
def test_a_certificate_that_will_not_do_keeps_the_bot_from_starting(faulty, said, settings):
    configured = settings(*faulty())

    with pytest.raises(ConfigError, match=said) as caught:
        credentials(configured, {})

    assert "docs/provenance.md" in str(caught.value)
    assert provenance_verdict(configured) == (False, str(caught.value))


def test_a_certificate_without_its_key_is_told(settings):
    configured = settings()

    with pytest.raises(ConfigError, match="needs its key"):
        credentials(configured.model_copy(update={"private_key": None}), {})
    with pytest.raises(ConfigError, match="which is not set"):
        credentials(configured.model_copy(update={"private_key": "env:KEY"}), {})
    with pytest.raises(ConfigError, match="cannot be read"):
        credentials(configured.model_copy(update={"private_key": "/nowhere"}), {})


def test_the_key_may_stand_in_the_environment(settings, chain):
    configured = settings().model_copy(update={"private_key": "env:KEY"})

    assert credentials(configured, {"KEY": chain[1].decode()}) is not None


def test_a_picture_that_cannot_be_signed_is_not_kept(tmp_path, fox):
    """As on the day on which the certificate expires while the bot runs."""
    expired = Credentials(*signing_chain(days=(-30, -1)), "es256")
    gallery = Gallery(tmp_path, Provenance(sign=expired.sign))

    with pytest.raises(SignatureFailed, match="cannot be signed"):
        gallery.save(Job(user="ada", request=fox), 1, fox, encoded(noise()))

    assert list(gallery.images.iterdir()) == []


def test_check_says_what_files_carry(settings):
    assert provenance_verdict(ProvenanceSettings()) == (
        True,
        "pictures are marked as made by AI, with the words, and not signed",
    )
    is_right, sentence = provenance_verdict(settings())
    assert is_right
    assert "signed with" in sentence


def test_paths_start_from_the_folder_of_the_configuration(tmp_path, chain):
    (tmp_path / "config.toml").write_text(
        '[provenance]\ncertificate = "c.pem"\nprivate_key = "k.pem"\n'
    )
    (tmp_path / "c.pem").write_bytes(chain[0])
    (tmp_path / "k.pem").write_bytes(chain[1])

    configured = load_config(tmp_path / "config.toml").provenance

    assert credentials(configured, {}) is not None
