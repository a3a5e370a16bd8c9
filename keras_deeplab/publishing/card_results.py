"""The part of a model card that shows figures measured here."""

from keras_deeplab.prediction.protocols import parse_protocol
from keras_deeplab.zoo.manifest import Entry, measured_miou


def record_key(record: Entry) -> tuple[str, str]:
    """What a measured record is known by: protocol and precision."""
    return record["protocol"]["name"], record["precision"]


def report_name(record: Entry) -> str:
    """File name of the report of a measured record."""
    protocol, precision = record_key(record)
    return f"{protocol}.html" if precision == "float32" else f"{protocol}-{precision}.html"


FIGURES = (  # title, key of a measured record
    ("**mIoU**", "mIoU"),
    ("aAcc", "aAcc"),
    ("mAcc", "mAcc"),
    ("mFscore", "mFscore"),
    ("frequency-weighted IoU", "fwIoU"),
    ("boundary IoU, mean", "mBoundaryIoU"),
    ("boundary F-score, mean", "mBoundaryFscore"),
    ("calibration error (ECE)", "ECE"),
)


def measured_results(name: str, entry: Entry) -> str:
    """Markdown of the figures of an entry, with the commands that print them."""
    measured, others = _by_precision(entry)
    names = [record["protocol"]["name"] for record in measured]
    titles = " | ".join(f"{known}, %" for known in names)
    rows = [f"| class | colour | {titles} |", "|---|---|" + "---|" * len(measured)]
    for index, item in enumerate(entry["classes"]):
        values = " | ".join(_percent(record["IoU"][index]) for record in measured)
        rows.append(f"| {item['name']} | {_color(item)} | {values} |")
    for title, key in FIGURES:
        values = " | ".join(_percent(record[key]) for record in measured)
        rows.append(f"| {title} | | {values} |")
        if key == "mIoU":
            values = " | ".join(_interval(record["intervals"][key]) for record in measured)
            level = measured[0]["intervals"]["level"]
            rows.append(f"| {level:.0%} interval of mIoU | | {values} |")
    protocols = "\n".join(
        f"- `{known}`: {parse_protocol(record['protocol'])} "
        f"Computed by {record['runtime']} in {record['precision']}. "
        f"[Report]({name}/{report_name(record)})"
        for known, record in zip(names, measured, strict=True)
    )
    commands = "\n".join(record["command"] for record in measured)
    section = f"""## Results

IoU of each class and means on {entry["dataset"]["validation"]}, at the original size of every \
image: {measured[0]["pixels"]:,} labelled pixels, {measured[0]["ignored_pixels"]:,} ignored.

{chr(10).join(rows)}

{protocols}

The intervals are from a bootstrap over the images: they show how mIoU would vary with other \
images of the same kind, not with another training. The reports open in a browser and show \
fractions 0..1.

Commands that print these figures, as fractions:

```bash
{commands}
```

To re-measure and regenerate this card and the reports, run `keras-deeplab measure {name}` with \
the same images; `--precision` adds figures of another precision.

![Confusion matrix]({name}/confusion.png)

{_storage(entry)}"""
    return f"{section}\n\n{_precisions(name, measured, others)}" if others else section


def _by_precision(entry):
    """The measured records in float32, where there are any, and those in other precisions."""
    first = entry["measured"][0]["precision"]
    return (
        [record for record in entry["measured"] if record["precision"] == first],
        [record for record in entry["measured"] if record["precision"] != first],
    )


def _precisions(name, measured, others):
    plain = {record["protocol"]["name"]: record for record in measured}
    rows = [
        "| protocol | precision | runtime | mIoU, % | change, points | aAcc, % | report |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in others:
        protocol, precision = record_key(record)
        same = plain.get(protocol)
        change = "" if same is None else f"{100 * (record['mIoU'] - same['mIoU']):+.2f}"
        figures = f"{_percent(record['mIoU'])} | {change} | {_percent(record['aAcc'])}"
        report = f"[report]({name}/{report_name(record)})"
        rows.append(f"| {protocol} | {precision} | {record['runtime']} | {figures} | {report} |")
    quantised = [record["quantization"] for record in others if "quantization" in record]
    commands = [known["command"] for known in quantised] + [record["command"] for record in others]
    notes = "".join(
        f"\n\nint8: a file for images of {known['tile']} x {known['tile']} pixels, quantised by "
        f"NNCF {known['nncf']} with {known['crops']} crops of {known['calibration']}. It keeps the "
        f"class of float32 on {_percent(known['agreement'])} % of the pixels of these crops."
        for known in quantised
    )
    return f"""### Other precisions

{chr(10).join(rows)}

The change is against {measured[0]["precision"]} under the same protocol.{notes}

```bash
{chr(10).join(dict.fromkeys(commands))}
```"""


def whole_outlines(found: Entry) -> str:
    """Markdown of the figures of `keras-deeplab outlines`, as an entry keeps them."""
    return f"""### Whole outlines

Of {found["reference"]:,} reference outlines, {found["matched"]:,} have a predicted one with an \
IoU of {found["iou"]} or more, one to one; {found["predicted"]:,} were predicted.

| precision, % | recall, % | F-score, % | mean IoU of the pairs, % | merged with others |
|---|---|---|---|---|
| {_percent(found["precision"])} | {_percent(found["recall"])} | {_percent(found["f_score"])} \
| {_percent(found["mean_iou"])} | {found["merged"]:,} |

Merged: an outline without a partner that lies for the most part in a prediction which covers \
others as well.

```bash
{chr(10).join(found["commands"])}
```"""


def _storage(entry):
    after = measured_miou(entry, "published")
    if after is None:
        return ""
    before = 100 * entry["storage"]["mIoU_trained"]
    return (
        f"The weights are stored as {entry['weights']['dtype']}: mIoU {after:.3f} % under "
        f"`published`, {before:.3f} % before rounding ({after - before:+.3f})."
    )


def _percent(fraction):
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def _interval(ends):
    return " .. ".join(_percent(end) for end in ends)


def _color(item):
    return "#{:02x}{:02x}{:02x}".format(*item["rgb"]) if "rgb" in item else ""
