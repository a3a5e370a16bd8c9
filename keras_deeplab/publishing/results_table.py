"""The README's table of results, the cards and the STAC items, from the manifest.

`python -m keras_deeplab.publishing.results_table`, in a checkout, regenerates them.
"""

import pathlib
import re

from keras_deeplab._internal.files import atomic_write
from keras_deeplab.publishing.cards import write_card
from keras_deeplab.zoo.manifest import Zoo, default_zoo, measured_miou

BEGIN = "<!-- results: generated from zoo/manifest.json -->"
END = "<!-- end of results -->"


def results_table(zoo: Zoo) -> str:
    """Markdown table of all zoo entries: the source's figures apart from those measured here."""
    rows = [
        "| name | crop | mIoU %, source | ms+flip %, source | mIoU %, here | ms+flip %, here "
        "| weights |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in zoo.names():
        entry = zoo.entry(name)
        source = entry.get("source", {})
        cells = [
            f"[{name}](zoo/cards/{name}.md)",
            str(entry["crop"]),
            *(_figure(source.get(key)) for key in ("mIoU", "mIoU_ms_flip")),
            *(_figure(measured_miou(entry, key)) for key in ("published", "published_ms_flip")),
            entry["status"].replace("_", " "),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _figure(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.2f}"


def update_readme(text: str, zoo: Zoo) -> str:
    """A README with its results table regenerated."""
    table = f"{BEGIN}\n\n{results_table(zoo)}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, text, flags=re.DOTALL)


if __name__ == "__main__":
    for entry_name in default_zoo().names():
        write_card(default_zoo(), entry_name)
    readme = pathlib.Path("README.md")
    updated = update_readme(readme.read_text(encoding="utf-8"), default_zoo())
    with atomic_write(readme) as path:
        path.write_text(updated, encoding="utf-8")
