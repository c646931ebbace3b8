"""Control maps: by OpenCV, and by small models in transformers' genuine format."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from generation.control_images import PillowControlImages, control_map
from generation.errors import InvalidImage, ModelUnavailable
from generation.preprocessors import Preprocessors, gray, soft_edge
from generation.preprocessors.depth import DepthEstimator
from generation.preprocessors.pose import (
    JOINTS,
    LEFT_SHOULDER,
    LEFT_WRIST,
    NOSE,
    RIGHT_SHOULDER,
    Person,
    PoseEstimator,
    colour,
    crop_transform,
    draw,
    peaks,
)
from generation.preprocessors.reading import read_side
from tests.generation.engines import ignore, new_engine


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A depth estimator, a detector and a pose estimator, random and next to nothing wide."""
    folder = tmp_path_factory.mktemp("preprocessors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = Dinov2Config(
            hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56,
            patch_size=14, mlp_ratio=2, out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
            apply_layernorm=True,
        )  # fmt: skip
        depth = DepthAnythingConfig(
            backbone_config=backbone, patch_size=14, reassemble_hidden_size=16,
            neck_hidden_sizes=[4, 4, 8, 8], fusion_hidden_size=8, head_hidden_size=4,
        )  # fmt: skip
        estimator = DepthAnythingForDepthEstimation(depth)
        for weight in estimator.head.parameters():
            torch.nn.init.normal_(weight)  # or all of the picture is equally far
        estimator.save_pretrained(folder / "depth")
        detector = RTDetrConfig(
            backbone_config=RTDetrResNetConfig(
                embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1],
                layer_type="basic", out_features=["stage2", "stage3", "stage4"],
            ),
            encoder_hidden_dim=16, encoder_in_channels=[8, 8, 8], feat_strides=[8, 16, 32],
            encoder_ffn_dim=16, encoder_attention_heads=2, encoder_layers=1, d_model=16,
            decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_attention_heads=2,
            decoder_layers=1, num_queries=12, num_denoising=0,
            id2label={0: "cat", 1: "person", 2: "dog"}, label2id={"cat": 0, "person": 1, "dog": 2},
        )  # fmt: skip
        RTDetrForObjectDetection(detector).save_pretrained(folder / "person")
        pose = VitPoseConfig(
            backbone_config=VitPoseBackboneConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                image_size=[256, 192], patch_size=[16, 16], mlp_ratio=2, out_indices=[2],
            ),
            num_labels=17, use_simple_decoder=True,
        )  # fmt: skip
        VitPoseForPoseEstimation(pose).save_pretrained(folder / "pose")
    for name, side in {"depth": 56, "person": 96}.items():
        size = {"size": {"height": side, "width": side}}
        (folder / name / "preprocessor_config.json").write_text(json.dumps(size))
    return folder


@pytest.fixture(scope="module")
def preprocessors(folders):
    names = {name: str(folders / name) for name in ("depth", "person", "pose")}
    return Preprocessors(**names)


@pytest.fixture
def photo():
    """A bright disc before a darker ground."""
    image = Image.new("RGB", (96, 64), (40, 60, 80))
    ImageDraw.Draw(image).ellipse((30, 14, 66, 50), fill=(220, 180, 90))
    return image


def shades(image):
    return np.asarray(image.convert("L"), float)


def test_soft_edges_are_brightest_where_contrast_is_and_dark_elsewhere(photo):
    edges = soft_edge(photo.resize((768, 512)))

    assert (edges.mode, edges.size) == ("RGB", (768, 512))
    across = shades(edges)[256]
    assert across[230:260].max() > 200
    assert across[360:410].max() < 20
    assert across[:120].max() < 20
    assert len(set(across.astype(int))) > 10, "they are soft"


def test_an_empty_picture_has_no_soft_edges_whatever_its_noise():
    noise = np.random.default_rng(0).integers(126, 130, (64, 64, 3), np.uint8)

    assert shades(soft_edge(Image.fromarray(noise))).max() < 40


def test_gray_keeps_light_and_leaves_colour(photo):
    red, green, blue = (np.asarray(gray(photo))[..., channel] for channel in range(3))

    assert (red == green).all()
    assert (green == blue).all()
    assert red[32, 48] == round(0.299 * 220 + 0.587 * 180 + 0.114 * 90)


@pytest.mark.parametrize("size", [(96, 64), (64, 160), (33, 47)])
def test_a_depth_map_has_the_size_of_the_picture_and_uses_all_shades(preprocessors, photo, size):
    depth = preprocessors("depth", photo.resize(size))

    assert (depth.mode, depth.size) == ("RGB", size)
    assert (shades(depth).min(), shades(depth).max()) == (0, 255)


def test_the_depth_model_sees_the_picture_as_it_was_trained(folders, photo):
    """Its own size on the shorter side, in multiples of 14, normalized by ImageNet's colours."""
    estimator = DepthEstimator(folders / "depth")
    seen = []
    estimator._model.register_forward_pre_hook(lambda model, args: seen.append(args[0]))

    estimator(Image.new("RGB", (96, 64), (124, 116, 104)))

    (pixels,) = seen
    assert pixels.shape == (1, 3, 56, 84)
    assert pixels.abs().max() < 0.02


def test_where_a_model_does_not_say_its_size_it_is_that_of_its_family(folders, tmp_path):
    assert read_side(folders / "depth", 518) == 56
    assert read_side(tmp_path, 518) == 518


def test_the_models_are_loaded_at_their_first_use_and_stay(preprocessors, folders, photo):
    fresh = Preprocessors(depth=str(folders / "depth"))
    assert "depth" not in fresh._estimators
    fresh("canny", photo)
    assert "depth" not in fresh._estimators

    fresh("depth", photo)
    model = fresh._estimators["depth"]
    fresh("depth", photo)

    assert fresh._estimators["depth"] is model


def people_at(estimator, *boxes):
    """Let the detector find people in *boxes* (of shares of the picture), and nobody else."""

    def find(model, args, output):
        output.logits[:] = -10
        for query, box in enumerate(boxes):
            output.logits[0, query, 1] = 3 - query
            left, top, right, bottom = box
            output.pred_boxes[0, query] = torch.tensor(
                [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
            )
        return output

    return estimator._detector.register_forward_hook(find)


def test_a_picture_without_people_has_no_pose_and_says_so(folders, photo):
    estimator = PoseEstimator(folders / "person", folders / "pose")
    hook = people_at(estimator)

    with pytest.raises(InvalidImage, match=r"nobody is to be seen.*choose another preset"):
        estimator(photo)
    hook.remove()


def test_people_are_found_in_the_pixels_of_the_picture_the_surest_first(folders, photo):
    estimator = PoseEstimator(folders / "person", folders / "pose")
    people_at(estimator, (0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.5, 0.5))

    boxes = estimator.people(photo)

    assert np.allclose(boxes, [(24, 32, 72, 64), (0, 0, 48, 32)])


def test_keypoints_come_back_to_where_they_are_in_the_picture(folders, photo):
    """The estimator is told that every keypoint is in the middle of its heatmap."""
    estimator = PoseEstimator(folders / "person", folders / "pose")

    def middle(model, args, output):
        output.heatmaps[:] = 0
        rows, columns = output.heatmaps.shape[2:]
        output.heatmaps[:, :, rows // 2, columns // 2] = 0.9
        return output

    estimator._estimator.register_forward_hook(middle)

    person = estimator.keypoints(photo, (24, 8, 72, 56))

    assert person.points.shape == (17, 2)
    assert np.abs(person.points - (48, 32)).max() < 1
    assert np.allclose(person.scores, 0.9)


def test_the_real_path_draws_a_skeleton_on_black(preprocessors, folders, photo):
    estimator = PoseEstimator(folders / "person", folders / "pose")
    people_at(estimator, (0.1, 0.1, 0.9, 0.9))

    def spread(model, args, output):
        rows, columns = output.heatmaps.shape[2:]
        for keypoint in range(17):
            place = keypoint * 3 % rows, keypoint * 2 % columns
            output.heatmaps[0, keypoint][place] = 0.9
        return output

    estimator._estimator.register_forward_hook(spread)

    drawn = estimator(photo)

    assert (drawn.mode, drawn.size) == ("RGB", (96, 64))
    assert len(drawn.getcolors()) > 10
    assert shades(drawn).mean() < 128


@pytest.mark.parametrize("box", [(10, 20, 50, 120), (10, 20, 200, 60), (5, 5, 5, 5)])
def test_a_crop_holds_the_whole_person_undistorted(box):
    to_crop = crop_transform(box)
    corners = np.array([(box[0], box[1], 1), (box[2], box[3], 1)], float) @ to_crop.T

    assert to_crop[0, 0] == to_crop[1, 1] > 0
    assert (corners >= 0).all()
    assert (corners <= (192, 256)).all()


def test_a_peak_leans_towards_its_higher_neighbour():
    heatmaps = np.zeros((1, 8, 6), np.float32)
    heatmaps[0, 4, 2:5] = (0.2, 0.8, 0.5)
    heatmaps[0, 3, 3] = 0.4

    points, scores = peaks(heatmaps)

    assert points.tolist() == [[3.25, 3.75]]
    assert scores == pytest.approx([0.8])


@pytest.mark.parametrize("column", [0, 5])
@pytest.mark.parametrize("row", [0, 7])
def test_a_peak_at_the_edge_has_no_neighbour_to_lean_towards(column, row):
    heatmaps = np.zeros((1, 8, 6), np.float32)
    heatmaps[0, 7 - row, column] = heatmaps[0, row, 5 - column] = 0.4
    heatmaps[0, row, column] = 0.8

    points, _ = peaks(heatmaps)

    assert points.tolist() == [[column, row]]


def test_skeletons_have_openposes_colours():
    """Eighteen hues at twenty degrees, as its own source lists them."""
    listed = [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
        (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
        (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ]  # fmt: skip
    assert [colour(index) for index in range(18)] == listed


def test_what_is_seen_is_drawn_and_what_is_not_is_left_out():
    points, scores = np.zeros((17, 2)), np.zeros(17)
    for joint, place in {NOSE: (64, 20), LEFT_SHOULDER: (84, 50), RIGHT_SHOULDER: (44, 50)}.items():
        points[joint], scores[joint] = place, 0.9
    points[LEFT_WRIST], scores[LEFT_WRIST] = (100, 110), 0.1

    drawn = draw([Person(points, scores)], 128, 128)

    assert drawn.getpixel((64, 20)) == colour(JOINTS.index(NOSE))
    assert drawn.getpixel((84, 50)) == colour(JOINTS.index(LEFT_SHOULDER))
    assert drawn.getpixel((100, 110)) == (0, 0, 0), "nobody is sure of the wrist"
    assert drawn.getpixel((54, 50)) == colour(0, 0.6), "the limb from the neck to the right"
    assert drawn.getpixel((64, 35)) == colour(12, 0.6), "the limb from the neck to the nose"


def test_a_preset_for_depth_draws_with_the_map_of_its_model(tiny, canny, preprocessors):
    engine = new_engine(tiny, preprocessors=preprocessors)
    engine.load()
    request = replace(canny, kind=replace(canny.kind, preprocessor="depth"))

    result = engine.generate(request, ignore)

    png = request.control_image.read_bytes()
    assert result.control_map == control_map(png, "depth", 64, 64, "crop", preprocessors)
    assert PillowControlImages(preprocess=preprocessors).control_map(
        png, "depth", 64, 64, "crop"
    ) == result.control_map  # fmt: skip


def test_the_download_of_a_model_is_told(folders, photo, monkeypatch):
    def resolve(model, *, on_progress, **asked):
        for done in (0, 43, 100):
            on_progress(done, 100)
        return folders / "depth"

    monkeypatch.setattr("generation.weights.resolve", resolve)
    told = []

    Preprocessors(depth="lab/depth").prepare("depth", told.append)
    Preprocessors(depth="lab/depth").prepare("depth")

    assert told == [f"downloading the depth preprocessor, {share} %" for share in (0, 43, 100)]


def test_a_model_that_cannot_be_loaded_says_which_folder(tmp_path, photo):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "depth_anything"}))

    with pytest.raises(ModelUnavailable, match=f"the preprocessor in {tmp_path} cannot be loaded"):
        Preprocessors(depth=str(tmp_path))("depth", photo)


def test_canny_lines_are_those_of_opencv(photo):
    lines = Preprocessors()("canny", photo)

    assert (np.asarray(lines)[..., 0] == cv2.Canny(np.asarray(photo), 100, 200)).all()
