"""A zoo entry as a STAC item: the model, its weights, and how well it does."""

from __future__ import annotations

import pathlib
import re
import typing

from keras_deeplab.zoo.finding import entry_metadata
from keras_deeplab.zoo.manifest import Entry
from keras_deeplab.zoo.stac import Item, file_fields, model_asset, stac_item

HYPERPARAMETERS = ("iterations", "learning_rate")  # of the source
FIGURES = (  # of a measured record, fractions 0..1
    *("protocol", "runtime", "precision", "command", "versions", "images", "pixels"),
    *("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "fwIoU"),
    *("mBoundaryIoU", "mBoundaryFscore", "ECE", "intervals"),
)


def entry_item(name: str, entry: Entry, root: str) -> Item:
    """The STAC item of a zoo entry. One whose weights are not public has no assets.

    Args:
        name: Zoo name.
        entry: The entry, see `zoo/manifest.schema.json`.
        root: Folder of the zoo as the links shall have it: absolute, or relative to the item.
    """
    metadata, source = entry_metadata(name, entry), entry.get("source", {})
    weights = entry["weights"]
    assets = {"model": _weights(weights, root)} if weights else {}
    item = stac_item(metadata, name, assets, parameters=entry.get("parameters"))
    properties = item["properties"]
    properties |= {
        "description": " ".join([entry["summary"], entry.get("unavailable", "")]).strip(),
        "mlm:framework": "Keras",
        **_version(entry),
        "keras_deeplab:dataset": entry["dataset"],
        "keras_deeplab:limits": entry["limits"],
    }
    properties["mlm:hyperparameters"] |= {
        key: source[key] for key in HYPERPARAMETERS if source.get(key) is not None
    }
    if source:  # percent, GB, images per second
        properties["keras_deeplab:reported"] = source
    if entry["measured"]:
        names = metadata.classes.names
        properties["keras_deeplab:measured"] = [_measured(row, names) for row in entry["measured"]]
    item["links"] = _links(name, entry, root, properties.get("license"))
    return item


def _version(entry: Entry) -> dict[str, str]:
    """Version of Keras that an entry was measured with; MLM allows only that of a release."""
    versions = [row["versions"]["keras"] for row in entry["measured"]]
    known = [version for version in versions if re.fullmatch(r"\d+\.\d+\.\d+", version)]
    return {"mlm:framework_version": known[0]} if known else {}


def _weights(weights: dict[str, typing.Any], root: str) -> dict[str, typing.Any]:
    href = f"{root}/{weights['file']}" if "file" in weights else weights["url"]
    return {
        **model_asset(href, pathlib.PurePosixPath(href).suffix),
        "title": f"Weights, {weights['dtype']}",
        **file_fields(weights["sha256"], weights["bytes"]),
    }


def _measured(record: dict[str, typing.Any], names: tuple[str, ...]) -> dict[str, typing.Any]:
    figures = {key: record[key] for key in (*FIGURES, "quantization") if key in record}
    return {**figures, "IoU": dict(zip(names, record["IoU"], strict=True))}


def _links(name: str, entry: Entry, root: str, licence: str | None) -> list[dict[str, str]]:
    card = {"href": f"{root}/cards/{name}.md", "type": "text/markdown"}
    links = [
        {"rel": "about", **card, "title": "Model card"},
        {"rel": "cite-as", "href": entry["paper"]},
    ]
    if licence == "other":
        links.append({"rel": "license", **card, "title": entry["weights"]["licence"]})
    if "source" in entry:
        source = entry["source"]
        links.append({"rel": "via", "href": source["table_url"], "title": source["name"]})
    return links
