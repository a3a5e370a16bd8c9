"""A fake of iSAID: same folders, archives and names, small pictures, no real data."""

from fakes.pictures import painted, png, scene, write, zipped

PALETTE = (
    *((0, 0, 0), (0, 0, 63), (0, 63, 63), (0, 63, 0), (0, 63, 127), (0, 63, 191), (0, 63, 255)),
    *((0, 127, 63), (0, 127, 127), (0, 0, 127), (0, 0, 191), (0, 0, 255), (0, 191, 127)),
    *((0, 127, 191), (0, 127, 255), (0, 100, 155)),
)
SIZES = {  # larger than a patch, smaller in one side, smaller in both
    "train": {"P0000": (1000, 950), "P0001": (400, 1500)},
    "val": {"P0003": (300, 500)},
}


def write_isaid(folder, *, sizes=SIZES, seed=3):
    """Writes images and Semantic_masks of each split; returns name to `(image, label)`."""
    made = {}
    for split, scenes in sizes.items():
        images, labels = {}, {}
        for name, (height, width) in scenes.items():
            image, label = scene([seed, int(name[1:])], height, width, len(PALETTE))
            images[f"images/{name}.png"] = png(image)
            labels[f"images/{name}_instance_color_RGB.png"] = png(painted(label, PALETTE))
            made[f"{split}/{name}"] = image, label
        # The first image in a part of its own, as the original has up to three.
        (first, content), *rest = images.items()
        parts = {"part1.zip": {first: content}, **({"part2.zip": dict(rest)} if rest else {})}
        write(
            folder,
            {
                **{f"{split}/images/{part}": zipped(files) for part, files in parts.items()},
                f"{split}/Semantic_masks/images.zip": zipped(labels),
            },
        )
    return made
