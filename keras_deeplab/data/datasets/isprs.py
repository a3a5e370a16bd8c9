"""Common parts of Potsdam and Vaihingen: classes, colours, tilings."""

import dataclasses
from collections.abc import Mapping, Sequence

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.datasets.builder import TileConfig

PAGES = "https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab"
LICENCE = (
    "Terms of the ISPRS benchmark: for research and education, with reference to its source; may "
    "not be redistributed."
)
CITATION = """@misc{isprs2dsemlab,
  title = {{ISPRS} 2D Semantic Labeling Contest},
  author = {{ISPRS Working Group II/4} and Rottensteiner, Franz and Sohn, Gunho and Gerke, Markus
            and Wegner, Jan Dirk},
  howpublished = {International Society for Photogrammetry and Remote Sensing},
  year = {2014}
}"""
LABEL_MAP = "Labels are colours; black, at the object boundaries of the eroded labels, is ignored."
CLASSES = ClassTable(
    names=("impervious_surface", "building", "low_vegetation", "tree", "car", "clutter"),
    palette=(
        (255, 255, 255),
        (0, 0, 255),
        (0, 255, 255),
        (0, 255, 0),
        (255, 255, 0),
        (255, 0, 0),
    ),
    ignore_colors=((0, 0, 0),),
)
TILE = 512
# The reference declares a step of 256 but uses the tile size: its results are for a step of 512.
STEPS = {"published": TILE, "overlapping": TILE // 2}


@dataclasses.dataclass(eq=False)
class IsprsConfig(TileConfig):
    """A tiling with one choice of channels and labels.

    Args:
        channels: `"rgb"` or `"irrg"` (near infrared, red, green).
        eroded: Whether object boundaries, three pixels to each side, are ignored.
    """

    channels: str = "rgb"
    eroded: bool = True


def configs(channels: Sequence[str], tiles: Mapping[str, dict[str, int]]) -> list[IsprsConfig]:
    """All combinations of tiling, channels and labels; the first is the published one.

    Args:
        channels: Choices of channels.
        tiles: Tiling to the number of tiles in each split.
    """
    return [
        IsprsConfig(
            name="_".join(
                [tiling, *([kind] if kind != channels[0] else []), *([] if eroded else ["full"])]
            ),
            description=(
                f"Tiles of {TILE} pixels at steps of {step}, {kind.upper()}, "
                + ("boundaries ignored." if eroded else "boundaries labelled.")
            ),
            size=TILE,
            step=step,
            channels=kind,
            eroded=eroded,
            tiles=tiles[tiling],
        )
        for tiling, step in STEPS.items()
        for kind in channels
        for eroded in (True, False)
    ]
