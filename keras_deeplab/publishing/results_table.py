"""The README's table of results and the cards, from the manifest.

`python -m keras_deeplab.publishing.results_table`, in a checkout, makes both anew.
"""

import pathlib
import re

from keras_deeplab._internal.files import atomic_write
from keras_deeplab._internal.resources import zoo_dir
from keras_deeplab.publishing.cards import card_text
from keras_deeplab.zoo.manifest import info, list_models

BEGIN = "<!-- results: generated from zoo/manifest.json -->"
END = "<!-- end of results -->"


def results_table():
    """Markdown table of all zoo entries: the source's figures apart from those measured here."""
    rows = [
        "| name | crop | mIoU, source | ms+flip, source | mIoU, here | ms+flip, here | weights |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in list_models():
        entry = info(name)
        source = entry.get("source", {})
        measured = {
            record["protocol"]["name"]: f"{record['mIoU']:.4f}" for record in entry["measured"]
        }
        cells = [
            f"[{name}](zoo/cards/{name}.md)",
            str(entry["crop"]),
            *(_percent(source.get(key)) for key in ("mIoU", "mIoU_ms_flip")),
            *(measured.get(key, "") for key in ("published", "published_ms_flip")),
            entry["status"].replace("_", " "),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _percent(value):
    return "" if value is None else f"{value:.2f}"


def update_readme(text):
    """A README with its results table made anew."""
    table = f"{BEGIN}\n\n{results_table()}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, text, flags=re.DOTALL)


if __name__ == "__main__":
    for entry_name in list_models():
        with atomic_write(zoo_dir() / "cards" / f"{entry_name}.md") as path:
            path.write_text(card_text(entry_name, info(entry_name)), encoding="utf-8")
    readme = pathlib.Path("README.md")
    renewed = update_readme(readme.read_text(encoding="utf-8"))
    with atomic_write(readme) as path:
        path.write_text(renewed, encoding="utf-8")
