"""Made-up evaluations: figures that belong together, pictures, and names that mean harm."""

import itertools
import types

import numpy as np

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.prediction.protocols import get_protocol

SCRIPT = "<script>document.title = 'owned'</script>"
END = "</title></script></style>"
IMAGE = '"><img src=x onerror="document.title=\'owned\'">'
TABLE = ClassTable(
    ("building", "land", f"road {SCRIPT}", "vegetation", "$\\water{$"),
    ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41)),
)
FIGURES = ("IoU", "Acc", "Dice", "Fscore", "Precision", "Recall", "BoundaryIoU", "BoundaryFscore")


def evaluation(images=27):
    """The arguments of `write_report` but its path; the last class of `TABLE` is absent."""
    table_rows = rows(images)
    ranked = sorted((row for row in table_rows if row["pixels"]), key=lambda row: row["mIoU"])
    return {
        "title": f"r18_dubai on tiles {END}{IMAGE}",
        "model": f"r18_dubai {SCRIPT}",
        "dataset": "dubai/tiles & more",
        "command": f"keras-deeplab evaluate r18_dubai --images '{IMAGE}' --masks \"a & b\"",
        "summary": summary(images),
        "rows": (row for row in table_rows),
        "best": [scene(row, 0.05) for row in ranked[:-4:-1]],
        "worst": [scene(row, 0.6) for row in ranked[:3]],
        "table": TABLE,
    }


def rows(count):
    """One dict per image: every seventh has no defined figures, some figures are equal."""
    rng = np.random.default_rng(1)
    shown = []
    for index in range(count):
        known = index % 7 != 3
        shown.append(
            {
                "index": index,
                "name": f"tile{index % 12}/part_{index:03}" + (IMAGE if index == 6 else ""),
                "pixels": int(rng.integers(0, 2_000_000)) if known else 0,
                "ignored_pixels": int(rng.integers(0, 3)) * 900,
                "aAcc": float(rng.random()) if known else None,
                "mIoU": float(rng.integers(0, 40)) / 1e4 + float(index % 2) / 3 if known else None,
                "classes_present": int(rng.integers(1, 5)) if known else 0,
                "worst_class": TABLE.names[index % 4] if known else None,
            }
        )
    return shown


def summary(images):
    """Figures of a confusion matrix whose last class occurs nowhere."""
    rng = np.random.default_rng(0)
    metrics = SegmentationMetrics(len(TABLE))
    metrics.confusion[:4, :4] = (
        rng.integers(9_000, 200_000, (4, 4)) + np.eye(4, dtype=int) * 700_000
    )
    result = metrics.result()
    columns = {key: [*rng.random(4), np.nan] for key in ("BoundaryIoU", "BoundaryFscore")}
    columns |= result.pop("per_class")
    counts = metrics.confusion
    means = {key: result[key] for key in result}
    means |= {f"m{key}": float(np.nanmean(columns[key])) for key in FIGURES[6:]}
    means |= {"fwIoU": 0.71234, "microIoU": 0.69876, "ECE": 0.04321}
    return {
        "protocol": get_protocol("published").to_json(),
        "runtime": "openvino",
        "precision": "float32",
        "images": images,
        "pixels": int(counts.sum()),
        "ignored_pixels": 1234,
        **means,
        "classes": 5,
        "classes_present": 4,
        "intervals": intervals(means, columns["IoU"]),
        "per_class": {
            "name": list(TABLE.names),
            "labelled_pixels": counts.sum(axis=1).tolist(),
            "predicted_pixels": counts.sum(axis=0).tolist(),
            **{key: [_defined(value) for value in columns[key]] for key in FIGURES},
        },
        "calibration": calibration(),
        "confusion": counts.tolist(),
    }


def intervals(means, iou):
    """An interval around each mean; none for mDice, nor for a class without IoU."""
    keys = ("aAcc", "mIoU", "mAcc", "mFscore", "fwIoU")
    return {
        "level": 0.95,
        **{key: [means[key] - 0.0311, min(means[key] + 0.0253, 1)] for key in keys},
        "mDice": None,
        "IoU": [None if np.isnan(value) else [value - 0.08, value + 0.05] for value in iou],
    }


def calibration():
    """Fifteen bins, the first three empty, of a model that is too confident."""
    edges = np.linspace(0, 1, 16).tolist()
    bins = []
    for index, (low, high) in enumerate(itertools.pairwise(edges)):
        middle = (low + high) / 2 if index >= 3 else None
        accuracy = middle and middle * 0.88
        pixels = int(3.1**index) if index >= 3 else 0
        figures = {"confidence": middle, "accuracy": accuracy}
        bins.append({"low": low, "high": high, "pixels": pixels, **figures})
    means = {"ECE": 0.04321, "MCE": 0.12345, "mean_confidence": 0.91234, "accuracy": 0.86913}
    return {**means, "bins": bins}


def scene(row, error, size=(360, 500)):
    """A sample of blocks, a share of which is predicted wrong; a corner of it is ignored."""
    rng = np.random.default_rng(row["index"])
    blocks = rng.integers(0, 4, (size[0] // 20, size[1] // 20))
    wrong = rng.random(blocks.shape) < error
    prediction = np.where(wrong, (blocks + 1) % 4, blocks)
    label, prediction = (
        part.astype(np.uint8).repeat(20, 0).repeat(20, 1) for part in (blocks, prediction)
    )
    label[:120, :200] = 255
    image = np.array(TABLE.palette)[blocks].repeat(20, 0).repeat(20, 1) // 3 + 90
    image = (image + rng.integers(-30, 30, (*size, 1))).astype(np.uint8)
    return types.SimpleNamespace(row=row, image=image, label=label, prediction=prediction)


def _defined(value):
    return None if np.isnan(value) else float(value)
