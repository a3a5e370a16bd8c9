"""`predict --output FOLDER`: a map of each scene, and what the command says of them."""

from __future__ import annotations

import datetime
import functools
import math
import pathlib
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import click

from keras_deeplab._internal.problems import listing
from keras_deeplab.commands.areas import print_summary
from keras_deeplab.commands.data_options import Options, image_format
from keras_deeplab.commands.evaluation_options import compile_chosen, model_metadata
from keras_deeplab.commands.scene_options import map_options, map_targets, warn_of_other_channels
from keras_deeplab.data.files.polygon_files import read_polygons
from keras_deeplab.prediction.raster.examination import examine_scene, hash_model
from keras_deeplab.prediction.raster.folder import (
    Task,
    make_maps,
    plan_maps,
    seconds_per_megapixel,
)
from keras_deeplab.prediction.raster.manifest import (
    DONE,
    FAILED,
    SKIPPED,
    Manifest,
    locked_manifest,
)
from keras_deeplab.prediction.raster.opening import complete_form
from keras_deeplab.prediction.raster.scenes import predict_raster

Summaries = dict[str, dict[str, typing.Any]]


def predict_folder(
    scenes: Sequence[str], model: str, output: pathlib.Path, options: Options
) -> tuple[Summaries, bool]:
    """Makes the maps of a folder that are missing or would change.

    Args:
        scenes: The rasters.
        model: Zoo name, folder of a training run, or model file.
        output: The folder.
        options: Options of the command.

    Returns:
        The summary of each map that is there now, by its scene; and whether no scene failed.
    """
    chosen, targets = map_options(options), map_targets(scenes, output, options)
    metadata = model_metadata(model)
    form = complete_form(image_format(options), metadata)
    if chosen["aoi"]:  # what would fail for all scenes fails before the first
        read_polygons(chosen["aoi"], "EPSG:4326", tolerance=math.inf, layer=chosen["aoi_layer"])

    @functools.cache  # not needed where nothing is done
    def predictor():
        return compile_chosen(model, options)

    @functools.cache
    def model_key():
        return hash_model(predictor())

    def plan(manifest: Manifest) -> list[Task]:
        return plan_maps(
            targets,
            manifest,
            lambda scene, target: examine_scene(scene, target, metadata, chosen),
            model_key,
            retry_failed=options["retry_failed"],
            again=not options["resume"],
            progress=True,
        )

    if options["dry_run"]:
        manifest = Manifest(output)
        print_plan(plan(manifest), manifest, model_key)
        return {}, True
    with locked_manifest(output) as manifest:
        tasks = plan(manifest)
        todo = [task.scene for task in tasks if task.status is None]
        numbers = {scene: number for number, scene in enumerate(todo, start=1)}
        if todo:  # else all of this is said at the end
            _print_reasons((task.scene, task.status, task.reason) for task in tasks)

        def predict(scene: str, target: pathlib.Path) -> dict[str, typing.Any]:
            click.echo(f"{numbers[scene]} of {len(todo)}: {scene}", err=True)
            warn_of_other_channels(scene, form, metadata)
            return predict_raster(predictor(), scene, target, **chosen)

        for event in make_maps(tasks, manifest, predict, model_key):
            if event.scene in numbers and event.summary is not None:
                print_summary(event.scene, event.summary, title=True)
    return _conclude(tasks, manifest)


def _conclude(tasks: Sequence[Task], manifest: Manifest) -> tuple[Summaries, bool]:
    """Says what became of all scenes, and why some have no map."""
    events = {task.scene: manifest.latest[task.target.name] for task in tasks}
    words = [
        "already there" if task.status == DONE else events[task.scene].status for task in tasks
    ]
    counts = ", ".join(f"{count} {word}" for word, count in Counter(words).items())
    click.echo(f"{manifest.path.parent}: {len(tasks)} scenes, {counts}.")
    _print_reasons((scene, event.status, event.reason) for scene, event in events.items())
    summaries = {
        scene: event.summary for scene, event in events.items() if event.summary is not None
    }
    return summaries, not any(event.status == FAILED for event in events.values())


def _print_reasons(scenes: Iterable[tuple[str, str | None, str | None]]) -> None:
    """Says why scenes were skipped and failed: each with its status and reason."""
    known = list(scenes)
    for status, heading in (
        (SKIPPED, "Skipped"),
        (FAILED, "Failed (--retry-failed tries again)"),
    ):
        reasons = [f"{scene}: {reason}" for scene, found, reason in known if found == status]
        if reasons:
            click.echo(f"{heading}:{listing(reasons)}", err=True)


def print_plan(tasks: Sequence[Task], manifest: Manifest, model_key: Callable[[], str]) -> None:
    """Prints what would be done with each scene, and an estimate of the time.

    Args:
        tasks: Those of `plan_maps`.
        manifest: `Manifest` of the folder.
        model_key: Function that returns the hash of the model.
    """
    todo = [task for task in tasks if task.status is None]
    for task in tasks:
        size = "" if task.examined is None else f" ({task.examined.megapixels:,.1f} megapixels)"
        reason = "" if task.reason is None else f": {task.reason}"
        click.echo(f"{task.status or 'to do'}{size} {task.scene}{reason}")
    megapixels = sum(task.examined.megapixels for task in todo if task.examined)
    click.echo(f"To do: {len(todo)} of {len(tasks)} scenes, {megapixels:,.1f} megapixels.")
    if todo:
        known = any(event.status == DONE for event in manifest.latest.values())
        rate = seconds_per_megapixel(manifest, model_key()) if known else None
        if rate is None:
            click.echo("Time: unknown until this model has made a map in this folder.")
        else:
            time = datetime.timedelta(seconds=round(rate * megapixels))
            click.echo(f"Time: {time} h, at {rate:.3g} s per megapixel as measured in this folder.")
