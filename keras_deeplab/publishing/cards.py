"""Model cards: a manifest entry as a Markdown page and a STAC item. Generated; do not edit them."""

from keras_deeplab._internal.files import atomic_write, write_json
from keras_deeplab.prediction.protocols import parse_protocol
from keras_deeplab.zoo.finding import entry_metadata
from keras_deeplab.zoo.manifest import Entry, Zoo, measured_miou
from keras_deeplab.zoo.stac_entry import entry_item


def write_card(zoo: Zoo, name: str) -> None:
    """Generates card and STAC item of a zoo entry from the manifest."""
    entry = zoo.entry(name)
    with atomic_write(zoo.folder / "cards" / f"{name}.md") as path:
        path.write_text(card_text(name, entry), encoding="utf-8")
    write_json(zoo.folder / "cards" / f"{name}.stac.json", entry_item(name, entry, ".."))


def card_text(name: str, entry: Entry) -> str:
    """Markdown of the card of a zoo entry.

    Args:
        name: Zoo name.
        entry: The entry, see `zoo/manifest.schema.json`.
    """
    sections = [
        f"# {name}",
        "<!-- Generated from zoo/manifest.json by keras-deeplab publish. Do not edit. -->",
        entry["summary"],
    ]
    if "unavailable" in entry:
        sections.append(f"> {entry['unavailable']}")
    if entry["weights"]:
        sections.append(_use(name, entry))
    if "source" in entry:
        sections.append(_source(entry))
    if entry["measured"]:
        sections.append(_results(name, entry))
    if "training" in entry:
        sections.append(_training(name, entry))
    sections.append(_data(entry))
    sections.append("## Not suitable for\n\n" + _bullets(entry["limits"]))
    sections.append(_licences(entry))
    return "\n\n".join(sections) + "\n"


def _use(name, entry):
    weights, metadata = entry["weights"], entry_metadata(name, entry)
    return f"""## Use

```python
import keras_deeplab as kd

model = kd.load("{name}")
probabilities = kd.predict(model, image, flip=True)  # (H, W, 3) uint8 {metadata.channel_names}
```

| | |
|---|---|
| network | {entry["variant"]}, {len(entry["classes"])} classes |
| input | {metadata.channel_names} 0..255; mean {_numbers(metadata.mean)}, standard deviation \
{_numbers(metadata.std)}, applied inside the model |
| ground resolution | {metadata.rows()["ground resolution"]} |
| training crop | {metadata.tile_size} pixels |
| weights | {_file(weights)}, {weights["dtype"]} |
| SHA-256 | {f"`{weights['sha256']}`" if weights["sha256"] else "not published"} |"""


def _file(weights):
    size = f", {weights['bytes']:,} bytes" if weights["bytes"] else ""
    if "file" in weights:
        return f"`{weights['file']}`{size}"
    return f"[{weights['url'].rpartition('/')[2]}]({weights['url']}){size}"


def _source(entry):
    source = entry["source"]
    log = f"[log]({source['log_url']})" if source["log_url"] else "-"
    figures = " | ".join(
        _figure(source[key]) for key in ("mIoU", "mIoU_ms_flip", "memory_gb", "fps")
    )
    protocols = "\n".join(
        f"- {title}: `{record['name']}`. {parse_protocol(record)}"
        for title, record in zip(
            ("mIoU", "mIoU (ms+flip)"), source["protocols"].values(), strict=True
        )
    )
    return f"""## Results reported by the source

Reported by [{source["name"]}]({source["table_url"]}), not re-measured here: \
{_schedule(source)}tested on {source["tested_on"]}.

| mIoU, % | mIoU (ms+flip), % | training memory, GB | images per second | training log |
|---|---|---|---|---|
| {figures} | {log} |

Protocols, by their names for `keras-deeplab evaluate --protocol`:

{protocols}{_evals(source)}"""


def _schedule(source):
    if source["iterations"] is None:
        return f"`{source['checkpoint']}`, " if "checkpoint" in source else ""
    return f"{source['iterations']:,} iterations at learning rate {source['learning_rate']}, "


def _evals(source):
    """Table of the source's figures where they differ in more than the protocol."""
    if "evals" not in source:
        return ""
    rows = [
        f"| {row['split']} | {row['output_stride']} | {_numbers(row['scales'])} "
        f"| {'yes' if row['flip'] else 'no'} | {_figure(row['mIoU'])} "
        f"| {_figure(row['pixel_accuracy'])} | {row['multiply_adds'] or '-'} |"
        for row in source["evals"]
    ]
    title = (
        "| split | output stride | scales | flip | mIoU, % | pixel accuracy, % | multiply-adds |"
    )
    flags = ", ".join(f"`{key}={value}`" for key, value in source["flags"].items())
    return "\n\n".join(
        [
            "",
            "Every figure of the source:",
            "\n".join([title, "|---|---|---|---|---|---|---|", *rows]),
            f"Flags of its code: {flags}.",
        ]
    )


def _figure(value):
    return "-" if value is None else f"{value:.2f}"


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


def _results(name, entry):
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


def _storage(entry):
    after = measured_miou(entry, "published")
    if after is None:
        return ""
    before = 100 * entry["storage"]["mIoU_trained"]
    return (
        f"The weights are stored as {entry['weights']['dtype']}: mIoU {after:.3f} % under "
        f"`published`, {before:.3f} % before rounding ({after - before:+.3f})."
    )


def _training(name, entry):
    training = entry["training"]
    stages = "\n".join(stage["command"] for stage in training["stages"])
    logs = ", ".join(f"[{stage['title']}](../{stage['log']})" for stage in training["stages"])
    return f"""## Training

{training["notes"]}

```bash
{stages}
```

Hardware: {training["hardware"]}. Logs: {logs}.

![Training curve]({name}/curve.png)

Other attempts:

{_bullets(training["tried"])}"""


def _data(entry):
    dataset = entry["dataset"]
    labels = f"\n| labels | {entry['label_map']} |" if "label_map" in entry else ""
    return f"""## Data

{dataset["title"]}. {dataset["attribution"]}

| | |
|---|---|
| training | {dataset["training"]} |
| validation | {dataset["validation"]} |
| licence | {dataset["licence"]} |{labels}"""


def _licences(entry):
    weights = entry["weights"]["licence"] if entry["weights"] else "none"
    return f"""## Licences

Code {entry["code_licence"]}, weights {weights}, data {entry["dataset"]["licence"]}. \
Paper: {entry["paper"]}."""


def _bullets(lines):
    return "\n".join(f"- {line}" for line in lines)


def _numbers(values):
    return ", ".join(str(value) for value in values)


def _percent(fraction):
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def _interval(ends):
    return " .. ".join(_percent(end) for end in ends)


def _color(item):
    return "#{:02x}{:02x}{:02x}".format(*item["rgb"]) if "rgb" in item else ""
