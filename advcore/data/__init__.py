"""Datasets: what there is, where each is looked for, and the one way to load it."""

from advcore.data.datasets import (
    BUILT_IN,
    FOLDER_SIZE,
    SPLITS,
    Dataset,
    DigitForm,
    LabeledImages,
    Source,
    Split,
    available,
    data_root,
    dataset,
    datasets,
    download,
    even_epsilons,
    find,
    load,
)
