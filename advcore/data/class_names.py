"""The class names of the built-in datasets, in label order."""

from __future__ import annotations

DIGITS = tuple(str(digit) for digit in range(10))

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

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
