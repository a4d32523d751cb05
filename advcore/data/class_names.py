"""The class names of the built-in datasets, in label order, and the check of any dataset's class names."""

from __future__ import annotations

from collections.abc import Sequence

_MOST, _LONGEST, _TOGETHER = 10_000, 200, 64 << 10

DIGITS = tuple(str(digit) for digit in range(10))

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The signs of the German Traffic Sign Recognition Benchmark (Stallkamp et al. 2011).
GTSRB = (
    "Speed limit 20 km/h",
    "Speed limit 30 km/h",
    "Speed limit 50 km/h",
    "Speed limit 60 km/h",
    "Speed limit 70 km/h",
    "Speed limit 80 km/h",
    "End of speed limit 80 km/h",
    "Speed limit 100 km/h",
    "Speed limit 120 km/h",
    "No passing",
    "No passing for vehicles over 3.5 t",
    "Right-of-way at the next intersection",
    "Priority road",
    "Yield",
    "Stop",
    "No vehicles",
    "No vehicles over 3.5 t",
    "No entry",
    "General caution",
    "Dangerous curve to the left",
    "Dangerous curve to the right",
    "Double curve",
    "Bumpy road",
    "Slippery road",
    "Road narrows on the right",
    "Road work",
    "Traffic signals",
    "Pedestrians",
    "Children crossing",
    "Bicycles crossing",
    "Beware of ice or snow",
    "Wild animals crossing",
    "End of all speed and passing limits",
    "Turn right ahead",
    "Turn left ahead",
    "Ahead only",
    "Go straight or right",
    "Go straight or left",
    "Keep right",
    "Keep left",
    "Roundabout",
    "End of no passing",
    "End of no passing for vehicles over 3.5 t",
)

# WordNet id → name, in label order: 50 well-known classes of Tiny ImageNet (Stanford CS231n).
TINY_IMAGENET = {
    "n02509815": "red panda",
    "n02124075": "Egyptian cat",
    "n02099601": "golden retriever",
    "n02129165": "lion",
    "n02504458": "African elephant",
    "n02056570": "king penguin",
    "n01443537": "goldfish",
    "n02279972": "monarch butterfly",
    "n04146614": "school bus",
    "n04285008": "sports car",
    "n02814860": "lighthouse",
    "n04366367": "suspension bridge",
    "n07873807": "pizza",
    "n07753592": "banana",
    "n07747607": "orange",
    "n07920052": "espresso",
    "n04398044": "teapot",
    "n02165456": "ladybug",
    "n02917067": "bullet train",
    "n04399382": "teddy bear",
    "n01882714": "koala",
    "n01910747": "jellyfish",
    "n02437312": "Arabian camel",
    "n02132136": "brown bear",
    "n02410509": "bison",
    "n02480495": "orangutan",
    "n01698640": "American alligator",
    "n01641577": "bullfrog",
    "n01629819": "fire salamander",
    "n01983481": "American lobster",
    "n01770393": "scorpion",
    "n01774750": "tarantula",
    "n01944390": "snail",
    "n02206856": "bee",
    "n02268443": "dragonfly",
    "n02085620": "Chihuahua",
    "n02793495": "barn",
    "n02802426": "basketball",
    "n03100240": "convertible",
    "n03388043": "fountain",
    "n03424325": "gas mask",
    "n03447447": "gondola",
    "n03637318": "lampshade",
    "n03891332": "parking meter",
    "n04465501": "tractor",
    "n04486054": "triumphal arch",
    "n04507155": "umbrella",
    "n04562935": "water tower",
    "n07720875": "bell pepper",
    "n07734744": "mushroom",
}


def problem(names: Sequence[object]) -> str | None:
    """What is wrong with the class names of a dataset, to follow "it has"; None when they can be used.

    They are shown on pages and stored in the header of every checkpoint, which must stay small.
    """
    if not 2 <= len(names) <= _MOST:
        return f"{len(names):,} class{'' if len(names) == 1 else 'es'}, and a model needs 2 to {_MOST:,}"
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            return f"a class named {ascii(name)[:60]}, which cannot be shown: use visible characters and plain spaces"
        if len(name) > _LONGEST:
            return f"a class whose name has {len(name):,} characters ('{name[:30]}…'), more than {_LONGEST}"
    if sum(len(str(name).encode()) for name in names) > _TOGETHER:
        return f"class names that take more than {_TOGETHER >> 10} KiB together"
    return None
