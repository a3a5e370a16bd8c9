"""The picture of docs/runtimes.md: bars of a table in docs/performance.md.

In a checkout: `python docs/runtimes_picture.py`.
"""

import pathlib

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

DOCS = pathlib.Path(__file__).parent
COLORS = {"float32": "#4c72b0", "bfloat16": "#dd8452"}


def rows():
    """`(runtime, precision, seconds)` of the table of runtimes, the slowest first."""
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    table = text.split("| runtime | precision | seconds an image |")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return sorted(((row[0], row[1], float(row[2])) for row in cells), key=lambda row: -row[2])


def main():
    """Draws the bars."""
    found = rows()
    figure, axes = pyplot.subplots(figsize=(7, 0.5 * len(found) + 1), layout="constrained")
    names = [f"{runtime}, {precision}" for runtime, precision, _ in found]
    bars = axes.barh(names, [row[2] for row in found], color=[COLORS[row[1]] for row in found])
    axes.bar_label(bars, fmt="%.2f s", padding=4)
    axes.set_xlabel("seconds an image, r18_dubai, shorter is better")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    figure.savefig(DOCS / "images/runtimes.png", dpi=110)


if __name__ == "__main__":
    main()
