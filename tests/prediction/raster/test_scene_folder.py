"""Which maps of a folder are made, and what its manifest says; predictions are stand-ins."""

import json
import logging
import subprocess

import pytest
from toy import start_python

from keras_deeplab._internal.errors import InputError
from keras_deeplab.prediction.raster.area import OutsideAreaError
from keras_deeplab.prediction.raster.folder import (
    Examined,
    make_maps,
    plan_maps,
    seconds_per_megapixel,
)
from keras_deeplab.prediction.raster.manifest import (
    DONE,
    FAILED,
    SKIPPED,
    Event,
    Manifest,
    locked_manifest,
)


class Folder:
    """A folder of maps whose scenes are texts: `bad` cannot be opened, `far` is outside."""

    def __init__(self, path):
        self.path = path
        self.scenes = {"a": "one", "b": "two", "c": "three"}
        self.broken = {}  # errors of predictions
        self.model = "m1"
        self.predicted = []

    def examine(self, scene, target):
        content = self.scenes[scene]
        if content == "bad":
            raise InputError(f"{scene} is damaged.")
        if content == "far":
            raise OutsideAreaError(f"{scene} is outside.")
        return Examined(2.0, {"input": content})

    def predict(self, scene, target):
        self.predicted.append(scene)
        if scene in self.broken:
            raise self.broken[scene]
        target.write_text(self.scenes[scene])
        return {"classes": []}

    def plan(self, **options):
        self.manifest = Manifest(self.path)
        targets = {scene: self.path / f"{scene}.tif" for scene in self.scenes}
        return plan_maps(targets, self.manifest, self.examine, lambda: self.model, **options)

    def run(self, **options):
        """What was predicted, and the events."""
        self.path.mkdir(exist_ok=True)
        self.predicted = []
        tasks = self.plan(**options)
        events = list(make_maps(tasks, self.manifest, self.predict, lambda: self.model))
        return self.predicted, events


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "maps")


def lines(folder):
    text = (folder.path / "manifest.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_second_call_does_nothing(folder):
    assert folder.run()[0] == ["a", "b", "c"]
    before = lines(folder)
    assert [line["status"] for line in before] == [DONE] * 3
    assert before[0]["map"] == "a.tif" and before[0]["scene"] == "a"
    assert before[0]["megapixels"] == 2.0 and before[0]["seconds"] >= 0
    assert before[0]["key"] == {"input": "one", "model": "m1"} and before[0]["time"][:2] == "20"
    assert folder.run() == ([], [])
    assert lines(folder) == before


def test_what_is_missing_or_changed_is_made(folder):
    folder.run()
    folder.scenes |= {"b": "other", "d": "four"}
    (folder.path / "c.tif").unlink()
    tasks = {task.scene: (task.status, task.reason) for task in folder.plan()}
    assert tasks == {
        "a": (DONE, None),
        "b": (None, "changed: input (two -> other)"),
        "c": (None, "its map is missing"),
        "d": (None, "new"),
    }
    assert folder.run()[0] == ["b", "c", "d"]
    folder.model = "m2"
    assert {task.reason for task in folder.plan()} == {"changed: model (m1 -> m2)"}
    assert len(folder.run()[0]) == 4 and folder.run()[0] == []
    assert len(folder.run(again=True)[0]) == 4


@pytest.mark.parametrize(
    "error",
    [
        InputError("Block 3 is damaged."),
        ChildProcessError("All workers died."),
        ZeroDivisionError("oops"),
    ],
)
def test_a_scene_that_fails_does_not_stop_the_others(folder, error, caplog):
    folder.broken["b"] = error
    predicted, events = folder.run()
    assert predicted == ["a", "b", "c"]
    assert [event.status for event in events] == [DONE, FAILED, DONE]
    assert str(error) in events[1].reason
    assert ("Traceback" in caplog.text) == isinstance(error, ZeroDivisionError)
    assert folder.run() == ([], [])  # it would fail again
    (task,) = (task for task in folder.plan() if task.scene == "b")
    assert (task.status, task.reason) == (FAILED, events[1].reason)
    assert folder.run(retry_failed=True)[0] == ["b"]
    folder.scenes["b"] = "a new file"
    assert folder.run()[0] == ["b"]
    folder.broken.clear()
    assert folder.run(retry_failed=True)[0] == ["b"] and folder.run()[0] == []


def test_scenes_that_cannot_be_predicted_are_noted_once(folder):
    folder.scenes |= {"a": "bad", "b": "far"}
    predicted, events = folder.run()
    assert predicted == ["c"]
    assert [(event.status, event.reason) for event in events] == [
        (FAILED, "a is damaged."),
        (SKIPPED, "b is outside."),
        (DONE, None),
    ]
    assert folder.run() == ([], [])
    assert [task.status for task in folder.plan(retry_failed=True)] == [FAILED, SKIPPED, DONE]
    folder.scenes |= {"a": "one", "b": "two"}
    assert [task.reason for task in folder.plan()] == ["failed before", "skipped before", None]
    assert folder.run()[0] == ["a", "b"]


def test_maps_stay_while_their_scenes_cannot_be_opened(folder):
    """A network drive that is away for a while, or an area that is tried for a while."""
    folder.run()
    folder.broken["b"] = InputError("Block 3 is damaged.")
    folder.scenes["b"] = "other"
    folder.run()
    before = dict(folder.scenes)
    folder.scenes |= {"a": "bad", "b": "bad", "c": "far"}
    _, events = folder.run()
    assert [event.status for event in events] == [FAILED, FAILED, SKIPPED]
    folder.scenes = before
    predicted, events = folder.run()
    assert predicted == [] and [event.status for event in events] == [DONE, FAILED, DONE]
    assert events[1].reason == "Block 3 is damaged." and folder.run() == ([], [])


def test_a_full_disk_stops(folder):
    folder.broken["b"] = OSError("b.tif cannot be written")
    with pytest.raises(OSError, match="cannot be written"):
        folder.run()
    assert [line["status"] for line in lines(folder)] == [DONE, FAILED]
    folder.broken.clear()
    assert folder.run(retry_failed=True)[0] == ["b", "c"]


def test_an_interrupted_scene_is_made_by_the_next_call(folder):
    folder.broken["b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        folder.run()
    folder.broken.clear()
    assert folder.run()[0] == ["b", "c"]


@pytest.mark.parametrize("kept", [1, 30, -1])
def test_a_torn_last_line(folder, kept, caplog):
    """After a crash in the middle of writing: its scene is done again, the others are kept."""
    folder.run()
    path = folder.path / "manifest.jsonl"
    content = path.read_bytes()
    last = content[:-1].rindex(b"\n") + 1
    path.write_bytes(content[: last + kept] if kept > 0 else content[:-1])
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        predicted, _ = folder.run()
    if kept > 0:
        assert predicted == ["c"] and "manifest.jsonl: line 3 is damaged" in caplog.text
    else:  # only the line feed is missing
        assert predicted == []
    folder.scenes["a"] = "other"
    assert folder.run()[0] == ["a"] and folder.run()[0] == []


def test_lines_of_other_versions_and_garbage(folder, caplog):
    folder.run()
    path = folder.path / "manifest.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b'\xff\x00{\n{"map": "a.tif"}\n[1]\n\n' + b"".join(others) + first)
    assert folder.run()[0] == []
    assert [f"line {n} is damaged" in caplog.text for n in (1, 2, 3, 4)] == [True] * 3 + [False]


def test_names_of_any_language_and_nan(tmp_path):
    manifest = Manifest(tmp_path)
    summary = {"hectares": float("nan")}
    manifest.append(Event("बनेपा.tif", "ä\nö.tif", DONE, summary=summary))
    found = Manifest(tmp_path).latest["बनेपा.tif"]
    assert found.scene == "ä\nö.tif" and found.summary == {"hectares": None}
    assert (
        found == Manifest(tmp_path).latest[found.map]
        and found.time == manifest.latest[found.map].time
    )


def test_the_rate_is_that_of_the_same_model(tmp_path):
    manifest = Manifest(tmp_path)
    assert seconds_per_megapixel(manifest, "m1") is None
    for name, status, model, seconds in [
        ("a", DONE, "m1", 10.0),
        ("b", DONE, "m1", 30.0),
        ("c", DONE, "m2", 900.0),
        ("d", FAILED, "m1", 1.0),
    ]:
        manifest.append(
            Event(name, name, status, seconds=seconds, megapixels=4.0, key={"model": model})
        )
    assert seconds_per_megapixel(manifest, "m1") == 5.0
    assert seconds_per_megapixel(manifest, "m3") is None


def test_one_process_at_a_time(tmp_path):
    code = """
import pathlib, sys
from keras_deeplab.prediction.raster.manifest import locked_manifest
with locked_manifest(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""
    other = start_python(code, tmp_path / "maps", stdin=subprocess.PIPE)
    assert other.stdout.readline() == "locked\n"
    with (
        pytest.raises(InputError, match=r"writing maps to .*maps"),
        locked_manifest(tmp_path / "maps"),
    ):
        pass
    other.kill()
    other.communicate()
    with locked_manifest(tmp_path / "maps"):
        pass
    assert not list((tmp_path / "maps").glob(".*"))
