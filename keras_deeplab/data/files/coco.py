"""COCO JSON files of annotated pictures, as Roboflow, CVAT and Label Studio export them."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import pathlib
import typing
from collections.abc import Mapping, Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.problems import raise_problems

FORM = '{"images": [...], "categories": [...], "annotations": [...]}'
LEAST_POINTS = 3  # of a polygon


class Annotation(typing.NamedTuple):
    """An annotated area.

    Attributes:
        category: Name of its category.
        polygons: Lists of x, y, x, y, ... in pixels, whose union is the area; or `None`.
        rle: Run-length encoding with `"size"` and `"counts"`, or `None`.
        box: Left, top, width, height of an annotation that has nothing but a box, or `None`.
    """

    category: str
    polygons: tuple[tuple[float, ...], ...] | None = None
    rle: Mapping[str, typing.Any] | None = None
    box: tuple[float, float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a COCO file.

    Args:
        file_name: Its file, with `/`, as the file says.
        shape: `(height, width)`; `None` if the file does not say it.
        annotations: Its annotations, in the order of the file.
    """

    file_name: str
    shape: tuple[int, int] | None
    annotations: tuple[Annotation, ...]


@dataclasses.dataclass(frozen=True)
class CocoFile:
    """A COCO file.

    Args:
        path: The file.
        categories: Names in the order of their ids, without those that only group others.
        pictures: Its pictures, in the order of the file.
    """

    path: str
    categories: tuple[str, ...]
    pictures: tuple[Picture, ...]

    def used(self) -> collections.Counter[str]:
        """How many annotations each category has."""
        return collections.Counter(
            annotation.category for picture in self.pictures for annotation in picture.annotations
        )


def is_coco(path: StrPath) -> bool:
    """Whether a file is COCO JSON, by its content; a GeoJSON file is not."""
    if pathlib.Path(path).suffix.lower() != ".json":
        return False
    try:
        record = _parsed(str(path))
    except InputError:
        return False
    return isinstance(record, dict) and {"images", "annotations"} <= record.keys()


def read_coco(path: StrPath) -> CocoFile:
    """Reads a COCO file.

    Raises:
        ValueError: When the file is not COCO JSON; lists annotations that are damaged or refer to
            pictures or categories that the file does not have.
    """
    record = _parsed(str(path))
    try:
        names = {entry["id"]: str(entry["name"]) for entry in record["categories"]}
        pictures = {entry["id"]: _picture(entry) for entry in record["images"]}
        entries = list(record["annotations"])
        grouping = _grouping(record["categories"], {entry["category_id"] for entry in entries})
        if len(pictures) < len(record["images"]):
            raise InputError(f"{path}: several pictures have the same id.")
        found, problems = _annotations(entries, pictures, names)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} is not a COCO file {FORM}: {reason}.") from error
    raise_problems(f"{path}: annotations that cannot be used", problems)
    return CocoFile(
        str(path),
        tuple(dict.fromkeys(names[key] for key in sorted(names) if key not in grouping)),
        tuple(
            dataclasses.replace(picture, annotations=tuple(found[key]))
            for key, picture in pictures.items()
        ),
    )


@functools.lru_cache(maxsize=2)
def _content(path: str, modified: int) -> typing.Any:
    return json.loads(pathlib.Path(path).read_bytes())


def _parsed(path: str) -> typing.Any:
    try:
        return _content(path, pathlib.Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"Annotations {path}: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"Annotations {path} are not valid JSON: {error}.") from error


def _picture(entry: Mapping[str, typing.Any]) -> Picture:
    size = entry.get("height"), entry.get("width")
    shape = None if None in size else (int(str(size[0])), int(str(size[1])))
    return Picture(str(entry["file_name"]).replace("\\", "/"), shape, ())


def _grouping(categories: Sequence[Mapping[str, typing.Any]], used: set[int]) -> set[int]:
    """Ids of categories that are the supercategory of others and have no annotation.

    Roboflow writes one with the id 0.
    """
    parents = {entry.get("supercategory") for entry in categories if not _own_parent(entry)}
    return {e["id"] for e in categories if e["name"] in parents and e["id"] not in used}


def _own_parent(entry: Mapping[str, typing.Any]) -> bool:
    return entry.get("supercategory") == entry["name"]


def _annotations(
    entries: Sequence[Mapping[str, typing.Any]],
    pictures: Mapping[int, Picture],
    names: Mapping[int, str],
) -> tuple[dict[int, list[Annotation]], list[str]]:
    """Annotations by picture, and what is wrong with others."""
    found: dict[int, list[Annotation]] = collections.defaultdict(list)
    problems = []
    for entry in entries:
        where = f"annotation {entry.get('id', '?')}"
        picture = pictures.get(entry["image_id"])
        if picture is None:
            problems.append(f"{where}: there is no picture with the id {entry['image_id']}")
        elif entry["category_id"] not in names:
            problems.append(f"{where}: there is no category with the id {entry['category_id']}")
        else:
            annotation = _annotation(entry, names[entry["category_id"]], picture.shape)
            if isinstance(annotation, str):
                problems.append(f"{where} of {picture.file_name}: {annotation}")
            else:
                found[entry["image_id"]].append(annotation)
    return found, problems


def _annotation(
    entry: Mapping[str, typing.Any], category: str, shape: tuple[int, int] | None
) -> Annotation | str:
    """An annotation, or what is wrong with it."""
    area = entry.get("segmentation")
    if isinstance(area, dict):
        problem = _rle_problem(area, shape)
        return problem or Annotation(category, rle=area)
    if area:
        if any(len(ring) % 2 for ring in area):
            return "a polygon has an odd number of coordinates"
        rings = (tuple(map(float, ring)) for ring in area)
        # Two points, which tools write now and then, have no area; pycocotools reads a box there.
        return Annotation(category, tuple(ring for ring in rings if len(ring) >= 2 * LEAST_POINTS))
    box = entry.get("bbox")
    if box is None or len(box) != 4:
        return "it has neither polygons nor a mask nor a box"
    left, top, width, height = map(float, box)
    return Annotation(category, box=(left, top, width, height))


def _rle_problem(rle: Mapping[str, typing.Any], shape: tuple[int, int] | None) -> str | None:
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not isinstance(counts, (list, str)):
        return 'its mask needs "size" [height, width] and "counts"'
    height, width = size
    if shape is not None and tuple(size) != shape:
        return f"its mask is {width} x {height}, the picture {shape[1]} x {shape[0]}"
    if isinstance(counts, list) and sum(counts) != height * width:
        return f"the counts of its mask add up to {sum(counts)}, not to {height} x {width}"
    return None
