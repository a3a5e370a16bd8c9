"""A run of `predict_raster`: its options, and how its bands are computed."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import typing
from collections.abc import Callable, Generator, Sequence

from keras_deeplab import __version__
from keras_deeplab.data.files.places import Places
from keras_deeplab.prediction.protocols import Protocol, parse_protocol
from keras_deeplab.prediction.raster.band_files import BandRecord, write_band, write_record
from keras_deeplab.prediction.raster.bands import Band
from keras_deeplab.prediction.raster.class_areas import ClassAreas
from keras_deeplab.prediction.raster.labelling import labelled_parts
from keras_deeplab.prediction.raster.layout import Layout
from keras_deeplab.prediction.raster.run_key import Key, run_key
from keras_deeplab.prediction.raster.scene import Scene
from keras_deeplab.prediction.raster.scores import Plan
from keras_deeplab.runtimes.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of `predict_raster` that decide on its maps, as JSON can store them.

    Args:
        sources: The rasters.
        targets: File of each kind of map, see `Layout`.
        protocol: `Protocol`.

    The others are those of `predict_raster`.
    """

    sources: tuple[str, ...]
    targets: dict[str, str]
    protocol: Protocol
    window: int
    overlap: int
    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    nodata: float | None = None
    resolution: str | float = "model"
    probabilities_dtype: str = "uint8"
    on_bad_block: str = "stop"
    aoi: str | None = None
    aoi_layer: str | None = None
    crop_to_aoi: bool = False

    def to_json(self) -> dict[str, typing.Any]:
        """JSON-serialisable dict that `from_json` reads."""
        return {**dataclasses.asdict(self), "protocol": self.protocol.to_json()}

    @classmethod
    def from_json(cls, record: dict[str, typing.Any]) -> RunOptions:
        """Options of the dict of `to_json`."""
        known = {**record, "protocol": parse_protocol(record["protocol"])}
        for field in ("sources", "bands", "value_range"):
            known[field] = None if known[field] is None else tuple(known[field])
        return cls(**known)


@dataclasses.dataclass(frozen=True)
class Run:
    """An open scene with all that is needed to predict it; `open_run` makes it.

    Args:
        predictor: `Predictor`.
        options: `RunOptions`.
        scene: `Scene`.
        places: `Places` of the scene, or `None`.
        scale: Pixels of the scene in a pixel of the prediction.
        plan: `Plan`.
        bands: All bands.
        layout: `Layout` of the maps.
    """

    predictor: Predictor
    options: RunOptions
    scene: Scene
    places: Places | None
    scale: float
    plan: Plan
    bands: Sequence[Band]
    layout: Layout

    def key(self, threads: int) -> Key:
        """The key of the run, where each process has this many threads."""
        options = self.options.to_json()
        for name in ("sources", "aoi", "aoi_layer"):  # what is in these files counts
            del options[name]
        options["targets"] = {
            kind: str(path.absolute()) for kind, path in self.layout.targets.items()
        }
        return run_key(self.predictor, self.scene, options, threads)

    def new_areas(self) -> ClassAreas:
        """Empty `ClassAreas`."""
        return ClassAreas(len(self.layout.classes), self.places)

    def compute(
        self, bands: Sequence[Band], progress: Callable[[int], typing.Any]
    ) -> Generator[tuple[Band, BandRecord], None, None]:
        """Computes bands that follow each other, and writes their files.

        Args:
            bands: The bands.
            progress: Function to call with the number of pixels of each part.

        Yields:
            Each band when it is finished, and its record.
        """
        parts = labelled_parts(
            *(self.scene, self.predictor, self.options.protocol, self.plan),
            (bands[0], bands[-1]),
            self.layout.has_probabilities,
        )
        with contextlib.closing(parts):  # its threads end before the rasters are closed
            for band in bands:
                areas, bad_before = self.new_areas(), self.scene.bad_pixels
                with write_band(self.layout, band, areas) as writer:
                    done = band.top
                    while done < band.bottom:
                        top, left, labels, scores = next(parts)
                        writer.write(top, left, labels, scores)
                        progress(labels.size)
                        done = top + len(labels)
                bad_pixels = self.scene.bad_pixels - bad_before
                yield band, write_record(self.layout, band, areas, bad_pixels)

    def tags(self) -> dict[str, str]:
        """What the maps note of the run."""
        digest, views = self.predictor.weights_sha256, self.options.protocol
        rows, area = self.plan.rows, self.options.aoi
        return {
            "KERAS_DEEPLAB_VERSION": __version__,
            "KERAS_DEEPLAB_MODEL": self.predictor.network.name,
            **({} if digest is None else {"KERAS_DEEPLAB_WEIGHTS_SHA256": digest()}),
            "KERAS_DEEPLAB_RUNTIME": f"{self.predictor.runtime}, {self.predictor.precision}",
            "KERAS_DEEPLAB_SCALES": ", ".join(f"{scale:g}" for scale in views.scales),
            "KERAS_DEEPLAB_FLIP": str(views.flip),
            "KERAS_DEEPLAB_WINDOW": f"{rows.window}, overlap {rows.overlap}",
            "KERAS_DEEPLAB_SCENE_PIXELS_PER_PREDICTED_PIXEL": f"{self.plan.scale[0]:.6g}",
            **({} if area is None else {"KERAS_DEEPLAB_AREA": pathlib.PurePath(area).name}),
        }
