"""Datasets: which there are, where their files are searched, and how they are loaded."""

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
    test_split,
)
