"""Potsdam and Vaihingen: classes, splits, tilings and layouts, on fakes."""

import logging

import builder_tester
import numpy as np
import pytest
from builder_tester import assert_tiles, examples
from fakes.isprs import PALETTE, POTSDAM, write_potsdam, write_vaihingen
from fakes.pictures import outlined, painted, tif, write, zipped

from keras_deeplab.data import load
from keras_deeplab.data.datasets import BUILDERS
from keras_deeplab.data.files.grid import count_windows

# Width and height of Vaihingen's areas, as users of the data list them; their sum and the number
# of tiles at steps of 512 and 256 agree with published totals.
AREAS = {
    **{1: (1919, 2569), 2: (2428, 2767), 3: (2006, 3007), 4: (1887, 2557), 5: (1887, 2557)},
    **{6: (1887, 2557), 7: (1887, 2557), 8: (1887, 2557), 10: (1887, 2557), 11: (1893, 2566)},
    **{12: (1922, 2575), 13: (2818, 2558), 14: (1919, 2565), 15: (1919, 2565), 16: (1919, 2565)},
    **{17: (2336, 1281), 20: (1866, 2315), 21: (1903, 2546), 22: (1903, 2546), 23: (1903, 2546)},
    **{24: (1903, 2546), 26: (2995, 1783), 27: (1917, 3313), 28: (1917, 2567), 29: (1917, 2563)},
    **{30: (1934, 2563), 31: (1980, 2555), 32: (1980, 2555), 33: (1581, 2555), 34: (1388, 2555)},
    **{35: (2805, 1884), 37: (1996, 1995), 38: (3816, 2550)},
}


class TestPotsdamBuilder(builder_tester.BuilderTester):
    DATASET_CLASS = BUILDERS["potsdam"]
    SPLITS = {"train": 8, "val": 8}
    BUILDER_CONFIG_NAMES_TO_TEST = ["published", "overlapping_irrg_full"]
    write = staticmethod(write_potsdam)


class TestVaihingenBuilder(builder_tester.BuilderTester):
    DATASET_CLASS = BUILDERS["vaihingen"]
    SPLITS = {"train": 8, "val": 8}
    BUILDER_CONFIG_NAMES_TO_TEST = ["published", "published_full"]
    write = staticmethod(write_vaihingen)


@pytest.mark.parametrize("step, tiling", [(512, "published"), (256, "overlapping")])
def test_numbers_of_tiles_follow_from_the_geometry(step, tiling):
    potsdam, vaihingen = (
        BUILDERS[name].builder_configs[tiling].tiles for name in ("potsdam", "vaihingen")
    )
    of_a_scene = count_windows(6000, 6000, 512, step)
    assert potsdam == {"train": 24 * of_a_scene, "val": 14 * of_a_scene}
    train = {1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37}
    counts = {"train": 0, "val": 0}
    for area, (width, height) in AREAS.items():
        counts["train" if area in train else "val"] += count_windows(height, width, 512, step)
    assert vaihingen == counts


@pytest.mark.parametrize(
    "config, starts",
    [
        ("published", [0, 188]),
        ("published_full", [0, 188]),
        ("published_irrg", [0, 188]),
        ("overlapping", [0, 188]),
    ],
)
def test_potsdam_tiles_are_the_originals(tmp_path, config, starts):
    scenes = write_potsdam(tmp_path / "manual", size=700)
    if config.endswith("irrg"):
        scenes = {name: (image[..., ::-1], label) for name, (image, label) in scenes.items()}
    if not config.endswith("full"):
        scenes = {name: (image, outlined(label)) for name, (image, label) in scenes.items()}
    for split, names in (("train", POTSDAM[:2]), ("val", POTSDAM[2:])):
        found = examples(f"potsdam/{config}", split, tmp_path / "made", tmp_path / "manual")
        wanted = {name: scenes[name] for name in names}
        assert_tiles(found, wanted, dict.fromkeys(names, (starts, starts)), 512)


def test_overlapping_tiles_move_by_half_a_tile(tmp_path):
    scenes = write_potsdam(tmp_path / "manual", names=("2_10", "2_13"), size=1100)
    found = examples("potsdam/overlapping_full", "train", tmp_path / "made", tmp_path / "manual")
    starts = [0, 256, 512, 588]
    assert_tiles(found, {"2_10": scenes["2_10"]}, {"2_10": (starts, starts)}, 512)


def test_vaihingen_takes_images_from_top(tmp_path, caplog):
    """The archive of images holds labels of equal name; one eroded label has no image."""
    scenes = write_vaihingen(tmp_path / "manual")
    with caplog.at_level(logging.WARNING):
        found = examples("vaihingen", "val", tmp_path / "made", tmp_path / "manual")
    wanted = {f"area{n}": (scenes[n][0], outlined(scenes[n][1])) for n in (6, 24)}
    assert_tiles(found, wanted, dict.fromkeys(wanted, ([0, 88], [0, 188])), 512)
    assert "not in any split, ignored: area9" in caplog.text
    assert "2 of 16 scenes of split 'train'" in caplog.text


def test_a_scene_smaller_than_a_tile_is_kept_at_its_size(tmp_path):
    scenes = write_vaihingen(tmp_path / "manual", height=480, width=640)
    found = examples("vaihingen/published_full", "train", tmp_path / "made", tmp_path / "manual")
    wanted = {f"area{n}": scenes[n] for n in (1, 11)}
    assert_tiles(found, wanted, dict.fromkeys(wanted, ([0], [0, 128])), 512)


def potsdam_files():
    """`{name: content}` of one training and one validation scene, unpacked."""
    files = {}
    for name in ("2_10", "2_13"):
        image, label = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        files[f"top_potsdam_{name}_RGB.tif"] = tif(image)
        files[f"top_potsdam_{name}_label_noBoundary.tif"] = tif(painted(label, PALETTE))
    return files


@pytest.mark.parametrize("form", ["flat", "upper", "nested", "georeferenced", "palette", "rgba"])
def test_forms_that_occur_in_the_wild(tmp_path, form):
    files = potsdam_files()
    if form == "upper":
        files = {f"Some Folder/{name.upper()}": content for name, content in files.items()}
        twin = "5_Labels_for_participants_no_Boundary/top_potsdam_2_10_label_noBoundary.tif"
        files[twin] = b"the training labels once more"
    if form == "nested":
        inner = zipped({f"2_Ortho_RGB/{n}": c for n, c in files.items() if "RGB" in n})
        labels = zipped({n: c for n, c in files.items() if "label" in n})
        junk = {"__MACOSX/Potsdam/._top_potsdam_2_10_RGB.tif": b"junk", "Potsdam/1_DSM.rar": b"x"}
        participants = zipped({"top_potsdam_2_10_label_noBoundary.tif": b"once more"})
        outer = {
            "Potsdam/2_Ortho_RGB.zip": inner,
            "Potsdam/5_Labels_all_noBoundary.zip": labels,
            "Potsdam/5_Labels_for_participants_no_Boundary.zip": participants,
            **junk,
        }
        files = {"Potsdam.zip": zipped(outer)}
    if form == "georeferenced":
        image = np.zeros((64, 64, 3), np.uint8)
        files["top_potsdam_2_10_RGB.tif"] = tif(image, georeferenced=True, compress="lzw")
        files["top_potsdam_2_10_RGB.tfw"] = b"1\n0\n0\n-1\n0\n0\n"
    if form == "palette":
        colors = np.zeros((64, 64, 1), np.uint8)
        files["top_potsdam_2_10_label_noBoundary.tif"] = tif(
            colors, photometric="palette", colormap={0: (255, 255, 255, 255)}
        )
    if form == "rgba":
        white = np.full((64, 64, 4), 255, np.uint8)
        files["top_potsdam_2_10_label_noBoundary.tif"] = tif(white)
    write(tmp_path / "manual", files)
    dataset = load("potsdam", "train", data_dir=tmp_path, manual_dir=tmp_path / "manual")
    ((_, label),) = dataset.as_numpy_iterator()
    assert label.shape == (64, 64) and not label.any()


def test_an_unknown_colour_is_named_with_file_and_place(tmp_path):
    files = potsdam_files()
    label = np.full((700, 64, 3), 255, np.uint8)
    label[690, 7] = 1, 2, 3
    files["top_potsdam_2_13_RGB.tif"] = tif(np.zeros((700, 64, 3), np.uint8))
    files["top_potsdam_2_13_label_noBoundary.tif"] = tif(label)
    write(tmp_path / "manual", files)
    with pytest.raises(ValueError, match=r"2_13_label_noBoundary\.tif.*\(1, 2, 3\).*row 690, colu"):
        load("potsdam", data_dir=tmp_path, manual_dir=tmp_path / "manual")
    assert not list((tmp_path / "potsdam").rglob("*.tfrecord*"))  # whole or not at all


def test_the_flaws_of_the_original_are_ignored(tmp_path):
    """Cars of 6_7 are painted (252, 255, 0) in the original."""
    files = {name.replace("2_10", "6_7"): content for name, content in potsdam_files().items()}
    label = np.full((64, 64, 3), 255, np.uint8)
    label[:8] = 252, 255, 0
    files["top_potsdam_6_7_label_noBoundary.tif"] = tif(label)
    write(tmp_path / "manual", files)
    dataset = load("potsdam", "train", data_dir=tmp_path, manual_dir=tmp_path / "manual")
    ((_, found),) = dataset.as_numpy_iterator()
    assert (found[:8] == 255).all() and (found[8:] == 0).all()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.pop("top_potsdam_2_10_label_noBoundary.tif"), r"no label of split 'train'"),
        (lambda f: f.update({"top_potsdam_3_10_RGB.tif": b""}), r"top_potsdam_3_10_RGB.*no label"),
        (lambda f: f.update({"b/top_potsdam_2_10_rgb.TIF": b""}), r"found twice"),
        (
            lambda f: f.update({"top_potsdam_2_10_RGB.tif": tif(np.zeros((64, 63, 3), np.uint8))}),
            r"\(63, 64\).*\(64, 64\)",
        ),
        (
            lambda f: f.update({"top_potsdam_2_10_RGB.tif": tif(np.zeros((64, 64, 1), np.uint16))}),
            "8 bits",
        ),
        (
            lambda f: f.update(
                {"top_potsdam_2_10_label_noBoundary.tif": tif(np.zeros((64, 64, 1), np.uint8))}
            ),
            "found a greyscale image",
        ),
        (lambda f: f.update({"top_potsdam_2_10_RGB.tif": b"not a picture"}), "2_10_RGB.tif"),
        (lambda f: f.update({"2_Ortho_RGB.zip": b"PK\3\4 cut off"}), "a damaged zip file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, message):
    files = potsdam_files()
    change(files)
    write(tmp_path / "manual", files)
    with pytest.raises(ValueError, match=message):
        load("potsdam", data_dir=tmp_path, manual_dir=tmp_path / "manual")


def test_missing_files_are_listed_with_page_and_what_is_there(tmp_path):
    write_vaihingen(tmp_path / "manual")
    with pytest.raises(ValueError) as caught:
        load("potsdam", data_dir=tmp_path, manual_dir=tmp_path / "manual")
    for part in (
        "2_Ortho_RGB.zip",
        "5_Labels_all_noBoundary.zip",
        "2d-sem-label-potsdam",
        "ISPRS_semantic_labeling_Vaihingen.zip: 8 files",
    ):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="is not a folder"):
        load("potsdam", data_dir=tmp_path, manual_dir=tmp_path / "none")
    with pytest.raises(ValueError, match="5_Labels_all"):
        load("potsdam", data_dir=tmp_path)


def test_names_are_suggested():
    with pytest.raises(ValueError, match="Did you mean potsdam"):
        load("postdam")
    with pytest.raises(ValueError, match="vaihingen/published_full"):
        load("vaihingen/full")
