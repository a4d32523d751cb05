"""Datasets: what there is, where each is looked for, and the one way to load it."""

from advcore.data.datasets import (
    BUILT_IN,
    FOLDER_SIZE,
    IMAGENET_LIMIT,
    SPLITS,
    Dataset,
    LabeledImages,
    Source,
    Split,
    available,
    data_root,
    dataset,
    datasets,
    download,
    find,
    load,
)
