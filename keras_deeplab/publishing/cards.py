"""Model cards: a manifest entry as a Markdown page and a STAC item. Generated; do not edit them."""

from keras_deeplab._internal.files import atomic_write, write_json
from keras_deeplab.prediction.protocols import parse_protocol
from keras_deeplab.publishing.card_results import measured_results, whole_outlines
from keras_deeplab.zoo.finding import entry_metadata
from keras_deeplab.zoo.manifest import Entry, Zoo
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
        sections.append(measured_results(name, entry))
    if "outlines" in entry:
        sections.append(whole_outlines(entry["outlines"]))
    if "training" in entry:
        sections.append(_training(name, entry))
    sections.append(_data(entry))
    sections.append("## Not suitable for\n\n" + _bullets(entry["limits"]))
    for failure in entry.get("failures", ()):
        sections.append(f"![What {name} gets wrong]({failure['picture']})\n\n{failure['text']}")
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
