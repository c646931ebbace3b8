"""Poses by RT-DETR and ViTPose, through transformers, on the CPU; drawn as OpenPose draws them.

A detector finds the people, an estimator the 17 keypoints of each (COCO's), and what the
ControlNet is shown is the coloured skeleton that it was trained on.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForObjectDetection, VitPoseForPoseEstimation

from generation.errors import InvalidImage
from generation.preprocessors.reading import read_model, read_side

#: The detector sees a square of so many pixels between 0 and 1, where it does not say.
DETECTOR_SIDE = 640
PERSON = "person"
#: Confidence from which a person, and a keypoint, count; 0 to 1.
MIN_PERSON, MIN_KEYPOINT = 0.3, 0.3
MAX_PEOPLE = 10

#: The estimator sees each person's box, grown by a quarter, at 192 x 256.
POSE_WIDTH, POSE_HEIGHT, POSE_PADDING = 192, 256, 1.25
MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: COCO's keypoints, in its order.
(NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW,
 RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST, LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE, LEFT_ANKLE,
 RIGHT_ANKLE) = range(17)  # fmt: skip
#: OpenPose has one more: between the shoulders.
NECK = 17

#: OpenPose's keypoints in its order, and its 17 limbs; both get their colours in this order,
#: once round the circle of hues.
JOINTS = (
    NOSE, NECK, RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST, LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST,
    RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE, RIGHT_EYE, LEFT_EYE,
    RIGHT_EAR, LEFT_EAR,
)  # fmt: skip
LIMBS = (
    (NECK, RIGHT_SHOULDER), (NECK, LEFT_SHOULDER), (RIGHT_SHOULDER, RIGHT_ELBOW),
    (RIGHT_ELBOW, RIGHT_WRIST), (LEFT_SHOULDER, LEFT_ELBOW), (LEFT_ELBOW, LEFT_WRIST),
    (NECK, RIGHT_HIP), (RIGHT_HIP, RIGHT_KNEE), (RIGHT_KNEE, RIGHT_ANKLE), (NECK, LEFT_HIP),
    (LEFT_HIP, LEFT_KNEE), (LEFT_KNEE, LEFT_ANKLE), (NECK, NOSE), (NOSE, RIGHT_EYE),
    (RIGHT_EYE, RIGHT_EAR), (NOSE, LEFT_EYE), (LEFT_EYE, LEFT_EAR),
)  # fmt: skip
#: Brightness of limbs, over that of joints.
LIMB_SHADE = 0.6
#: Half the width of a limb and the radius of a joint, in pixels at a shorter side of 512.
STICK = 4.0


@dataclass(frozen=True, slots=True)
class Person:
    """The keypoints of one person.

    Attributes:
        points: (17, 2), x and y in pixels, in COCO's order.
        scores: (17,), how sure each is, 0 to 1.
    """

    points: np.ndarray
    scores: np.ndarray


class PoseEstimator:
    """Draws the skeletons of the people in a picture, on black.

    Args:
        detector: Folder of an object detector in transformers' format whose labels have
            "person".
        estimator: Folder of a VitPoseForPoseEstimation of COCO's 17 keypoints.
    """

    def __init__(self, detector: Path, estimator: Path) -> None:
        self._detector = read_model(AutoModelForObjectDetection, detector)
        self._side = read_side(detector, DETECTOR_SIDE)
        self._estimator = read_model(VitPoseForPoseEstimation, estimator)

    def __call__(self, image: Image.Image) -> Image.Image:
        """The map of an RGB *image*, RGB and of the same size.

        Raises:
            InvalidImage: Nobody is to be seen.
        """
        boxes = self.people(image)
        if not boxes:
            raise InvalidImage(
                "nobody is to be seen in the picture, so there is no pose to follow: send one"
                " with people in it, or choose another preset",
                field="control_image",
            )
        return draw([self.keypoints(image, box) for box in boxes], *image.size)

    @torch.inference_mode()
    def people(self, image: Image.Image) -> list[tuple[float, float, float, float]]:
        """Boxes around people, the surest first: left, top, right, bottom in pixels."""
        small = image.resize((self._side, self._side), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(small, np.float32) / 255).permute(2, 0, 1)[None]
        found = self._detector(pixels)
        labels = self._detector.config.id2label
        index = next(int(key) for key, label in labels.items() if label == PERSON)
        scores = found.logits[0, :, index].sigmoid()
        boxes = []
        for query in scores.argsort(descending=True)[:MAX_PEOPLE].tolist():
            if scores[query] < MIN_PERSON:
                break
            x, y, width, height = found.pred_boxes[0, query].tolist()
            boxes.append(
                (
                    (x - width / 2) * image.width,
                    (y - height / 2) * image.height,
                    (x + width / 2) * image.width,
                    (y + height / 2) * image.height,
                )
            )
        return boxes

    @torch.inference_mode()
    def keypoints(self, image: Image.Image, box: tuple[float, float, float, float]) -> Person:
        """The keypoints of the person in *box*."""
        to_crop = crop_transform(box)
        crop = cv2.warpAffine(
            np.asarray(image), to_crop, (POSE_WIDTH, POSE_HEIGHT), flags=cv2.INTER_LINEAR
        )
        pixels = torch.from_numpy(crop.astype(np.float32) / 255)
        pixels = (pixels - torch.tensor(MEAN)) / torch.tensor(STANDARD_DEVIATION)
        heatmaps = self._estimator(pixels.permute(2, 0, 1)[None]).heatmaps[0].numpy()
        points, scores = peaks(heatmaps)
        rows, columns = heatmaps.shape[1:]
        points = points * (POSE_WIDTH / columns, POSE_HEIGHT / rows)
        back = cv2.invertAffineTransform(to_crop)
        return Person(points @ back[:, :2].T + back[:, 2], scores)


def crop_transform(box: tuple[float, float, float, float]) -> np.ndarray:
    """(2, 3), from pixels of the picture to those of a person's crop, which keeps the aspect."""
    left, top, right, bottom = box
    width, height = max(right - left, 1.0), max(bottom - top, 1.0)
    scale = min(POSE_WIDTH / width, POSE_HEIGHT / height) / POSE_PADDING
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    middle = np.array([POSE_WIDTH / 2, POSE_HEIGHT / 2])
    return np.column_stack([np.eye(2) * scale, middle - scale * centre])


def peaks(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of (keypoints, rows, columns) *heatmaps* is highest, and how high.

    A quarter of a pixel towards the higher neighbour, as Newell et al. 2016 do it.

    Returns:
        (keypoints, 2) of column and row; (keypoints,).
    """
    count, rows, columns = heatmaps.shape
    flat = heatmaps.reshape(count, -1)
    highest = flat.argmax(axis=1)
    scores = flat[np.arange(count), highest].clip(0, 1)
    points = np.stack([highest % columns, highest // columns], axis=1).astype(np.float64)
    for keypoint, (column, row) in enumerate(points.astype(int)):
        heat = heatmaps[keypoint]
        if 0 < column < columns - 1:
            points[keypoint, 0] += 0.25 * np.sign(heat[row, column + 1] - heat[row, column - 1])
        if 0 < row < rows - 1:
            points[keypoint, 1] += 0.25 * np.sign(heat[row + 1, column] - heat[row - 1, column])
    return points, scores


def draw(people: list[Person], width: int, height: int) -> Image.Image:
    """The skeletons of *people* as OpenPose draws them: limbs first, joints over them."""
    canvas = np.zeros((height, width, 3), np.uint8)
    stick = max(1, round(STICK * min(width, height) / 512))
    for person in people:
        points, is_seen = with_neck(person)
        for index, (start, end) in enumerate(LIMBS):
            if not (is_seen[start] and is_seen[end]):
                continue
            middle = (points[start] + points[end]) / 2
            across, down = points[end] - points[start]
            length, angle = np.hypot(across, down), np.degrees(np.arctan2(down, across))
            axes = (max(1, round(length / 2)), stick)
            centre = (round(middle[0]), round(middle[1]))
            cv2.ellipse(canvas, centre, axes, angle, 0, 360, colour(index, LIMB_SHADE), -1)
        for index, joint in enumerate(JOINTS):
            if is_seen[joint]:
                centre = (round(points[joint][0]), round(points[joint][1]))
                cv2.circle(canvas, centre, stick, colour(index), -1)
    return Image.fromarray(canvas)


def with_neck(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """(18, 2) of points and (18,) of whether each is seen: COCO's, then the neck."""
    is_seen = person.scores >= MIN_KEYPOINT
    neck = (person.points[LEFT_SHOULDER] + person.points[RIGHT_SHOULDER]) / 2
    has_neck = is_seen[LEFT_SHOULDER] and is_seen[RIGHT_SHOULDER]
    return np.vstack([person.points, neck]), np.append(is_seen, has_neck)


def colour(index: int, shade: float = 1.0) -> tuple[int, int, int]:
    """The *index*-th of 18 hues, from red round to red, in RGB."""
    red, green, blue = colorsys.hsv_to_rgb(index / len(JOINTS), 1.0, 1.0)
    return round(255 * shade * red), round(255 * shade * green), round(255 * shade * blue)
