"""Fakes of Potsdam and Vaihingen: same archives and names, small pictures, no real data."""

from fakes.pictures import outlined, painted, scene, tif, write, zipped

# White, blue, cyan, green, yellow, red: written down once more, to notice a slip in the package.
PALETTE = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
POTSDAM = ("2_10", "7_9", "2_13", "5_15")
VAIHINGEN = (1, 11, 6, 24)


def scenes(names, height, width, seed=0):
    """Name to `(image, label)`."""
    return {
        name: scene([seed, index], height, width, len(PALETTE)) for index, name in enumerate(names)
    }


def write_potsdam(folder, *, names=POTSDAM, size=600, seed=0, **options):
    """Writes the four archives; returns the scenes."""
    made = scenes(names, size, size, seed)
    images, infrared, labels, eroded = {}, {}, {}, {}
    for name, (image, label) in made.items():
        stem = f"top_potsdam_{name}"
        images[f"2_Ortho_RGB/{stem}_RGB.tif"] = tif(image, **options)
        infrared[f"3_Ortho_IRRG/{stem}_IRRG.tif"] = tif(image[..., ::-1], **options)
        labels[f"{stem}_label.tif"] = tif(painted(label, PALETTE), **options)
        eroded[f"{stem}_label_noBoundary.tif"] = tif(painted(outlined(label), PALETTE), **options)
    write(
        folder,
        {
            "2_Ortho_RGB.zip": zipped(images),
            "3_Ortho_IRRG.zip": zipped(infrared),
            "5_Labels_all.zip": zipped(labels),
            "5_Labels_all_noBoundary.zip": zipped(eroded),
        },
    )
    return made


def write_vaihingen(folder, *, names=VAIHINGEN, height=600, width=700, seed=1):
    """Writes the three archives; returns the scenes. As in the original, the archive of images
    holds the training labels once more, and the eroded labels one area without image."""
    made = scenes(names, height, width, seed)
    images, labels, eroded = {}, {}, {}
    for area, (image, label) in made.items():
        stem = f"top_mosaic_09cm_area{area}"
        images[f"top/{stem}.tif"] = tif(image)
        images[f"gts_for_participants/{stem}.tif"] = labels[f"{stem}.tif"] = tif(
            painted(label, PALETTE)
        )
        eroded[f"{stem}_noBoundary.tif"] = tif(painted(outlined(label), PALETTE))
    eroded["top_mosaic_09cm_area9_noBoundary.tif"] = next(iter(eroded.values()))
    stem = "ISPRS_semantic_labeling_Vaihingen"
    write(
        folder,
        {
            f"{stem}.zip": zipped(images),
            f"{stem}_ground_truth_COMPLETE.zip": zipped(labels),
            f"{stem}_ground_truth_eroded_COMPLETE.zip": zipped(eroded),
        },
    )
    return made
