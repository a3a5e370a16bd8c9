"""Model cards: a manifest entry as a page for people. Generated, never edited by hand."""


def card_text(name, entry):
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
    sections.append("## Not good for\n\n" + _bullets(entry["limits"]))
    sections.append(_licences(entry))
    return "\n\n".join(sections) + "\n"


def _use(name, entry):
    weights, statistics = entry["weights"], entry["input"]
    return f"""## Use

```python
import keras_deeplab as kd

model = kd.load("{name}")
probabilities = kd.predict(model, image, flip=True)  # (H, W, 3) uint8 {statistics["channels"]}
```

| | |
|---|---|
| network | {entry["variant"]}, {len(entry["classes"])} classes |
| input | {statistics["channels"]} 0..255; mean {_numbers(statistics["mean"])}, standard deviation \
{_numbers(statistics["std"])} applied inside the model |
| trained on crops of | {entry["crop"]} pixels |
| weights | {_file(weights)}, {weights["dtype"]} |
| SHA-256 | `{weights["sha256"]}` |"""


def _file(weights):
    size = f", {weights['bytes']:,} bytes" if weights["bytes"] else ""
    if "file" in weights:
        return f"`{weights['file']}`{size}"
    return f"[{weights['url'].rpartition('/')[2]}]({weights['url']}){size}"


def _source(entry):
    source = entry["source"]
    log = f"[log]({source['log_url']})" if source["log_url"] else "-"
    figures = " | ".join(
        "-" if source[key] is None else f"{source[key]:.2f}"
        for key in ("mIoU", "mIoU_ms_flip", "memory_gb", "fps")
    )
    return f"""## Figures of the source

Not measured here: [{source["name"]}]({source["table_url"]}) reports, after \
{source["iterations"]:,} iterations at learning rate {source["learning_rate"]}, tested on \
{source["test_scale"]},

| mIoU % | with scales and flip % | training memory GB | images per second | training log |
|---|---|---|---|---|
| {figures} | {log} |"""


def _results(name, entry):
    measured = entry["measured"]
    header = "| class | colour | " + " | ".join(record["title"] for record in measured) + " |"
    rows = [header, "|---|---|" + "---|" * len(measured)]
    for index, item in enumerate(entry["classes"]):
        values = " | ".join(_fraction(record["IoU"][index]) for record in measured)
        rows.append(f"| {item['name']} | {_color(item)} | {values} |")
    for label, key in (("**mIoU**", "mIoU"), ("aAcc", "aAcc"), ("mAcc", "mAcc")):
        values = " | ".join(_fraction(record[key]) for record in measured)
        rows.append(f"| {label} | | {values} |")
    commands = "\n".join(record["command"] for record in measured)
    storage = entry["storage"]
    return f"""## Results

IoU on {entry["dataset"]["validation"]}, each whole and at original size: \
{measured[0]["pixels"]:,} labelled pixels.

{chr(10).join(rows)}

Printed by

```bash
{commands}
```

![Confusion matrix]({name}/confusion.png)

Stored as {entry["weights"]["dtype"]}: mIoU {storage["mIoU_stored"]:.5f} at single scale, before \
rounding {storage["mIoU_trained"]:.5f} ({storage["mIoU_stored"] - storage["mIoU_trained"]:+.5f})."""


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

What was tried:

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


def _fraction(value):
    return "-" if value is None else f"{value:.4f}"


def _color(item):
    return "#{:02x}{:02x}{:02x}".format(*item["rgb"]) if "rgb" in item else ""
