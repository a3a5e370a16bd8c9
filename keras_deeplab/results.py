"""The README's table of results, from the manifest: `python -m keras_deeplab.results`."""

import pathlib
import re

from keras_deeplab.files import written_whole
from keras_deeplab.manifest import info, list_models

BEGIN = "<!-- results: generated from zoo/manifest.json -->"
END = "<!-- end of results -->"


def results_table():
    """Markdown table of the metrics measured here, one row per zoo entry."""
    rows = [
        "| name | network | data | validation | mIoU | with flip | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in list_models():
        entry = info(name)
        scores = {record["protocol"]: f"{record['mIoU']:.4f}" for record in entry["measured"]}
        rows.append(
            f"| [{name}](zoo/cards/{name}.md) | {entry['variant']} | {entry['dataset']['name']} | "
            f"{entry['dataset']['validation']} | {scores['single_scale']} | {scores['flip']} | "
            f"{entry['weights']['bytes'] / 1e6:.1f} |"
        )
    return "\n".join(rows)


def renew(text):
    """A README with its results table made anew."""
    table = f"{BEGIN}\n\n{results_table()}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, text, flags=re.DOTALL)


if __name__ == "__main__":
    readme = pathlib.Path("README.md")
    renewed = renew(readme.read_text(encoding="utf-8"))
    with written_whole(readme) as path:
        path.write_text(renewed, encoding="utf-8")
