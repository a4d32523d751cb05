"""The studies: what each published, how its ε may be read in pixel space, and what the app measures to check it. Data only.

A fifth study is one more entry of STUDIES; `replication.py` measures whatever stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from advcore.data import BUILT_IN

Measures = Literal["clean", "FGSM", "PGD", "drop", "C&W"]
"""Accuracy on clean images or under an attack; `drop` is clean minus FGSM, in points."""
Chart = Literal["cycle", "curves", "bars", "training"]
"""What is drawn of a study: its four phases, accuracy against ε, every figure as a bar, or the training of its models."""
When = Literal["always", "lower", "higher", "below all", "between", "above all", "masked"]
LEAKED = "mnist/srivathsav_cnn-leaked-0.1"
"""P4's model as its listing trains it, on attacked test images. No checkpoint: `replication.py` trains it when needed."""

L2_BUDGETS = {"mnist": 1.5, "fashion-mnist": 1.5, "cifar10": 0.5, "tiny-imagenet": 1.0, "digits": 0.5}
"""The L2 budget in pixel space within which an image counts as held under C&W: the only figure here that is not L∞."""


@dataclass(frozen=True)
class Reading:
    """One way to understand a study: its published ε times `factor` is L∞ in pixel space.

    `fgsm` names the kind of FGSM (of `replication.ATTACKS`); `dataset` limits the reading to one; `instead` puts, under this
    reading, another model (the second id) in the place of the first. Readings of one `convention` are counted together, where
    its factor differs from dataset to dataset.
    """

    words: str
    factor: float
    fgsm: str = "FGSM"
    dataset: str | None = None
    instead: tuple[tuple[str, str], ...] = ()
    convention: str = ""

    @property
    def called(self) -> str:
        """What it is called across datasets."""
        return self.convention or self.words

    def model(self, model: str) -> str:
        """The id of the model that stands for `model` under this reading."""
        return dict(self.instead).get(model, model)


@dataclass(frozen=True)
class Figure:
    """One figure of a study's table, in percent (a drop: in points); `percent` None: measured beside, never published.

    `epsilon` is as the study writes it; `up_to` is the upper end where the study gives a range.
    """

    row: str
    model: str
    measures: Measures
    epsilon: float = 0.0
    percent: float | None = None
    up_to: float | None = None

    @property
    def dataset(self) -> str:
        return self.model.split("/")[0]

    @property
    def defended(self) -> bool:
        return not self.model.endswith("-standard")

    def away(self, measured: float) -> float | None:
        """Measured minus published, in points: 0 within a published range, None where nothing was published."""
        if self.percent is None:
            return None
        high = self.percent if self.up_to is None else self.up_to
        return measured - min(max(measured, self.percent), high)


@dataclass(frozen=True)
class Term:
    """A measured quantity with its weight in a sum; ε is L∞ in pixel space, `fgsm` the kind of FGSM as in a Reading."""

    model: str
    measures: Measures
    epsilon: float = 0.0
    weight: float = 1.0
    fgsm: str = "FGSM"


@dataclass(frozen=True)
class Comparison:
    """`more` sums to more than `less`: what must be measured for a claim to hold in one case."""

    case: str
    more: tuple[Term, ...]
    less: tuple[Term, ...]


@dataclass(frozen=True)
class Claim:
    """A sentence that measurements can bear out or not, with the comparisons that decide."""

    words: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Reason:
    """Why a figure is not reproducible; the first whose condition holds is given.

    `lower` and `higher`: the published figure lies below, or above, what was measured as written; `below all`, `above all`
    and `between`: where it lies among all readings, whose ends the words may name as {least} and {most}; `masked`: the
    measured model holds FGSM and not PGD, which leaves {pgd}.
    """

    when: When
    words: str
    measures: tuple[Measures, ...] = ("clean", "FGSM", "PGD", "drop")


@dataclass(frozen=True)
class Study:
    """A published study. The first of `readings` is the most literal one."""

    key: str
    name: str
    title: str
    authors: str
    claim: str
    conditions: str
    figures: tuple[Figure, ...]
    readings: tuple[Reading, ...]
    reasons: tuple[Reason, ...]
    claims: tuple[Claim, ...] = ()
    remarks: tuple[str, ...] = ()
    arxiv: str | None = None
    charts: tuple[Chart, ...] = ("bars",)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets of its figures, in their order."""
        return tuple(dict.fromkeys(figure.dataset for figure in self.figures))

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of every model that any of its readings measures."""
        literal = [figure.model for figure in self.figures]
        besides = [other for reading in self.readings for _, other in reading.instead]
        return tuple(dict.fromkeys([*literal, *besides]))

    def readings_of(self, figure: Figure) -> tuple[Reading, ...]:
        """The readings under which a figure is something of its own, the literal one first."""
        found: dict[tuple[str, float, str], Reading] = {}
        for reading in self.readings:
            if reading.dataset in (None, figure.dataset):
                epsilon = 0.0 if figure.measures == "clean" else figure.epsilon * reading.factor
                attack = reading.fgsm if figure.measures in {"FGSM", "drop"} else figure.measures
                found.setdefault((reading.model(figure.model), epsilon, attack), reading)
        return tuple(found.values())


@dataclass(frozen=True)
class Subject:
    """A model that a question asks about, and the ε (L∞, pixel space) it is attacked at."""

    model: str
    epsilon: float
    group: str


@dataclass(frozen=True)
class Question:
    """A question the studies leave open: what is measured to answer it, and the claims that are the answer's candidates."""

    key: str
    title: str
    asked_by: str
    how: str
    subjects: tuple[Subject, ...]
    attacks: tuple[Measures, ...]
    claims: tuple[Claim, ...]
    seeds: tuple[int, ...] = (0,)

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of the models it asks about."""
        return tuple(subject.model for subject in self.subjects)


Entry = Study | Question


# --- P1 ------------------------------------------------------------------------------------------------------------------

_BUDGETS = {"mnist": 0.1, "fashion-mnist": 0.1, "cifar10": 0.03, "tiny-imagenet": 0.03}
_SIMPLE, _COMPLEX = ("mnist", "fashion-mnist"), ("cifar10", "tiny-imagenet")
_NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "tiny-imagenet": "ImageNet (here Tiny)"}


def _general(dataset: str, epsilon: float | None = None) -> str:
    """The id of Chowdhury's network, undefended or trained with FGSM at ε."""
    return f"{dataset}/general_cnn-" + ("standard" if epsilon is None else f"fgsm-{epsilon:g}")


def _cycle(dataset: str, clean: float, drop: float, after: float) -> Iterator[Figure]:
    """The four phases on a dataset: trained, attacked, trained on clean + FGSM, attacked again."""
    epsilon, row = _BUDGETS[dataset], _NAMES[dataset]
    yield Figure(row, _general(dataset), "clean", 0.0, clean)
    yield Figure(row, _general(dataset), "drop", epsilon, drop)
    yield Figure(row, _general(dataset, epsilon), "clean")
    yield Figure(row, _general(dataset, epsilon), "FGSM", epsilon, after)


_STANDARDIZED = "ε in standardized inputs (× the dataset's standard deviation)"


def _short_title(dataset: str) -> str:
    return BUILT_IN[dataset].title.split(" (")[0]


def _standardized(dataset: str) -> Reading:
    """ε added to inputs divided by the dataset's standard deviation (the mean over its channels)."""
    spread = sum(BUILT_IN[dataset].std) / len(BUILT_IN[dataset].std)
    words = f"ε in standardized inputs (× {spread:.4g} on {_short_title(dataset)})"
    return Reading(words, spread, dataset=dataset, convention=_STANDARDIZED)


def _drop(dataset: str, weight: float = 1.0) -> Term:
    return Term(_general(dataset), "drop", _BUDGETS[dataset], weight)


_P1 = Study(
    key="P1",
    name="Chowdhury",
    title="Adversarial Machine Learning: Attacking and Safeguarding Image Datasets",
    authors="Chowdhury",
    arxiv="2502.05203",
    charts=("cycle", "curves"),
    claim="FGSM takes 20 to 29 points of accuracy; training on clean + FGSM images gives most of it back.",
    conditions=(
        "One generalized CNN on four datasets. Adam, clean batch concatenated with its FGSM batch. ε = 0.1 on MNIST and "
        "Fashion-MNIST, 0.03 on CIFAR-10 and ImageNet. Layer counts and widths are not given."
    ),
    figures=(
        *_cycle("mnist", 86.22, 20.35, 80.25),
        *_cycle("fashion-mnist", 87.27, 26.82, 81.82),
        *_cycle("cifar10", 78.19, 28.87, 71.17),
        *_cycle("tiny-imagenet", 74.26, 27.56, 70.01),
        Figure("MNIST, other account", _general("mnist"), "clean", 0.0, 99.0),
        Figure("MNIST, other account", _general("mnist"), "FGSM", 0.3, 10.0, up_to=15.0),
        Figure("MNIST, other account", _general("mnist", 0.3), "clean"),
        Figure("MNIST, other account", _general("mnist", 0.3), "FGSM", 0.3, 95.0),
        Figure("CIFAR-10, other account", _general("cifar10"), "clean", 0.0, 85.0),
    ),
    readings=(Reading("ε as written, in pixels", 1.0), *(_standardized(dataset) for dataset in _BUDGETS)),
    reasons=(
        Reason(
            "lower",
            "a network of this kind, trained to its end, is better than that.",
            ("clean",),
        ),
        Reason("higher", "the widths are not given, and with ours the network does not reach it.", ("clean",)),
        Reason("masked", "what our model holds is masked besides: PGD at the same ε leaves {pgd:.1f} %."),
        Reason("lower", "FGSM takes less from a network trained to its end.", ("FGSM",)),
        Reason("lower", "FGSM takes more from our network; its size, which the study does not give, decides.", ("drop",)),
        Reason("higher", "FGSM takes less from our network; its size, which the study does not give, decides.", ("drop",)),
        Reason("always", "the network's size, which the study does not give, decides."),
    ),
    claims=(
        Claim(
            "Complex colour datasets lose more than grey ones.",
            tuple(
                Comparison(f"{_NAMES[hard]} against {_NAMES[easy]}", (_drop(hard),), (_drop(easy),))
                for hard in _COMPLEX
                for easy in _SIMPLE
            ),
        ),
        Claim(
            "Adversarial training recovers most of the loss under FGSM.",
            tuple(
                Comparison(
                    _NAMES[name],
                    (_drop(name),),
                    (
                        Term(_general(name), "clean", weight=2.0),
                        Term(_general(name, epsilon), "FGSM", epsilon, weight=-2.0),
                    ),
                )
                for name, epsilon in _BUDGETS.items()
            ),
        ),
        Claim(
            "It does not recover all of it.",
            tuple(
                Comparison(_NAMES[name], (Term(_general(name), "clean"),), (Term(_general(name, epsilon), "FGSM", epsilon),))
                for name, epsilon in _BUDGETS.items()
            ),
        ),
        Claim(
            "It costs clean accuracy.",
            tuple(
                Comparison(_NAMES[name], (Term(_general(name), "clean"),), (Term(_general(name, epsilon), "clean"),))
                for name, epsilon in _BUDGETS.items()
            ),
        ),
    ),
    remarks=(
        "Tiny ImageNet, 50 classes at 64 × 64, stands here for ImageNet: the full set does not fit a laptop, and the study "
        "says neither which images nor which size it took.",
        "The study exists in two accounts that contradict each other; the rows called “other account” hold the second "
        "(ε = 0.3; MNIST about 99, 10 to 15 under FGSM, about 95 after adversarial training; CIFAR-10 about 85).",
    ),
)

# --- P2 ------------------------------------------------------------------------------------------------------------------

_LEE, _LEE_FGSM, _LEE_STANDARDIZED = "mnist/lee_cnn-standard", "mnist/lee_cnn-fgsm-0.3", "mnist/lee_cnn-fgsm-0.0924"
_LEE_BEFORE = (91.68, 82.2, 67.9, 50.1, 38.09, 29.46, 24.82, 22.62)
_LEE_AFTER = (97.9, 96.33, 93.75, 90.52, 85.53, 78.34, 69.27, 60.31)
# Lee gives no space for ε. Added to inputs standardized with MNIST's std of 0.3081 it is 0.3081 times as large in pixels.
_LEE_INSTEAD = ((_LEE_FGSM, _LEE_STANDARDIZED),)

_P2 = Study(
    key="P2",
    name="Lee",
    title="Understanding Adversarial Vulnerabilities and Defenses in Machine Learning: A Practical Approach Using FGSM",
    authors="Lee",
    charts=("curves",),
    claim="A plain CNN keeps 68 % at ε = 0.3, and adversarial training lifts that to 94 %.",
    conditions=(
        "MNIST, two convolutions without pooling, PyTorch. Accuracy against ε, before and after training on clean + FGSM "
        "images. The space of ε is not given; neither is the ε of the training (0.3 here)."
    ),
    figures=(
        Figure("before", _LEE, "clean", 0.0, 98.88),
        *(Figure("before", _LEE, "FGSM", place / 10, value) for place, value in enumerate(_LEE_BEFORE, 1)),
        Figure("after", _LEE_FGSM, "clean"),
        *(Figure("after", _LEE_FGSM, "FGSM", place / 10, value) for place, value in enumerate(_LEE_AFTER, 1)),
    ),
    readings=(
        Reading("ε as written, in pixels", 1.0),
        Reading("ε in standardized inputs (× 0.3081)", 0.3081, instead=_LEE_INSTEAD),
        Reading("ε in standardized inputs, not clipped", 0.3081, fgsm="FGSM, not clipped", instead=_LEE_INSTEAD),
    ),
    reasons=(
        Reason("masked", "our model holds the single step better than many: PGD at the same ε leaves {pgd:.1f} %.", ("FGSM",)),
        Reason("above all", "no reading we tried leaves this model as much; the most is {most:.1f} %.", ("FGSM",)),
        Reason("below all", "our model holds more under every reading we tried; the least is {least:.1f} %.", ("FGSM",)),
        Reason("between", "it lies among our readings, which leave {least:.1f} to {most:.1f} %, and near none.", ("FGSM",)),
        Reason("always", "the recipe says too little to tell why."),
    ),
    claims=(
        Claim(
            "Adversarial training at ε = 0.3 (pixels) helps against FGSM at that ε.",
            (Comparison("MNIST", (Term(_LEE_FGSM, "FGSM", 0.3),), (Term(_LEE, "FGSM", 0.3),)),),
        ),
        Claim(
            "What it gives holds against PGD too: at least half of it.",
            (
                Comparison("ε = 0.3 in pixels", (Term(_LEE_FGSM, "PGD", 0.3),), (Term(_LEE_FGSM, "FGSM", 0.3, 0.5),)),
                Comparison(
                    "ε = 0.3 in standardized inputs",
                    (Term(_LEE_STANDARDIZED, "PGD", 0.3 * 0.3081),),
                    (Term(_LEE_STANDARDIZED, "FGSM", 0.3 * 0.3081, 0.5),),
                ),
            ),
        ),
    ),
)

# --- P3 ------------------------------------------------------------------------------------------------------------------

_DEEPER, _DEEPER_HALF, _DEEPER_QUARTER, _DEEPER_USUAL = (
    f"cifar10/even_deeper_cnn-{end}" for end in ("standard", "fgsm-0.5", "fgsm-0.25", "fgsm-0.03")
)
_P3 = Study(
    key="P3",
    name="Deepthi S et al.",
    title="Robust Training of Convolutional Neural Networks Against Adversarial Attacks Using Fast Gradient Sign Method",
    authors="Deepthi S, Kuragayala, Pamu, Sharma, Salapakshi",
    charts=("bars", "training"),
    claim="FGSM training makes a network better under attack than on clean images: 97 % against 83 %.",
    conditions=(
        "CIFAR-10, six convolutions and three linear layers; widths not given. Every channel is normalized with mean 0.5 and "
        "std 0.5, so that inputs span [−1, 1] and ε = 1.0 is 0.5 in pixels. Flips, rotations, Adam."
    ),
    figures=(
        Figure("experiment 1 (no defense)", _DEEPER, "clean", 0.0, 80.58),
        Figure("experiment 1 (no defense)", _DEEPER, "FGSM", 1.0, 13.85),
        Figure("experiment 2", _DEEPER_HALF, "clean", 0.0, 76.42),
        Figure("experiment 2", _DEEPER_HALF, "FGSM", 1.0, 81.72),
        Figure("experiment 3", _DEEPER_HALF, "clean", 0.0, 82.31),
        Figure("experiment 3", _DEEPER_HALF, "FGSM", 1.0, 94.47),
        Figure("experiment 4 (deeper)", _DEEPER_QUARTER, "clean", 0.0, 82.8),
        Figure("experiment 4 (deeper)", _DEEPER_QUARTER, "FGSM", 0.5, 97.13),
        Figure("for scale: a usual ε", _DEEPER_USUAL, "clean"),
        Figure("for scale: a usual ε", _DEEPER_USUAL, "FGSM", 0.06),
    ),
    readings=(
        Reading("ε in [−1, 1], as its normalization says (× 0.5)", 0.5),
        Reading("ε in [−1, 1], not clipped", 0.5, fgsm="FGSM, not clipped"),
    ),
    reasons=(
        Reason("masked", "our model reads the label off the single step: PGD at the same ε leaves {pgd:.1f} %.", ("FGSM",)),
        Reason("higher", "the widths and epochs are not given, and with ours the network does not reach it.", ("clean",)),
        Reason("higher", "the published network loses less to such a step; its widths and epochs are not given.", ("FGSM",)),
        Reason("lower", "ours holds more; the widths are a guess."),
        Reason("always", "the recipe says too little to tell why."),
    ),
    claims=(
        Claim(
            "FGSM images are easier than clean ones for a model trained on them at a huge ε.",
            (
                Comparison("ε = 1.0 in [−1, 1]", (Term(_DEEPER_HALF, "FGSM", 0.5),), (Term(_DEEPER_HALF, "clean"),)),
                Comparison("ε = 0.5 in [−1, 1]", (Term(_DEEPER_QUARTER, "FGSM", 0.25),), (Term(_DEEPER_QUARTER, "clean"),)),
            ),
        ),
        Claim(
            "It is robustness: PGD leaves at least half of what FGSM leaves.",
            tuple(
                Comparison(f"trained at {epsilon:g}", (Term(model, "PGD", epsilon),), (Term(model, "FGSM", epsilon, 0.5),))
                for model, epsilon in ((_DEEPER_HALF, 0.5), (_DEEPER_QUARTER, 0.25), (_DEEPER_USUAL, 0.03))
            ),
        ),
    ),
    remarks=(
        "Better under attack than without is the mark of label leaking (Kurakin et al. 2017) or catastrophic overfitting "
        "(Wong et al. 2020): the model reads the label off the single step. An iterative attack tells.",
        "For scale: the best published accuracy on CIFAR-10 at 8/255 is 73.71 % (AutoAttack, WideResNet-94-16), and 43.21 % "
        "for a PreActResNet-18 with fast adversarial training (Wong et al. 2020).",
    ),
)

# --- P4 ------------------------------------------------------------------------------------------------------------------

_SRIVATHSAV, _SRIVATHSAV_FGSM = "mnist/srivathsav_cnn-standard", "mnist/srivathsav_cnn-fgsm-0.1"
_LEAK = ((_SRIVATHSAV_FGSM, LEAKED),)
_P4 = Study(
    key="P4",
    name="Srivathsav et al.",
    title="Adversarial Defense for MNIST: Investigating Adversarial Training and FGSM",
    authors="Srivathsav, Pulakonti, Anudeep, Srinivas, Poojitha",
    charts=("bars", "curves"),
    claim="At ε = 0.1 FGSM halves a CNN's accuracy, and adversarial training gives 14 points back.",
    conditions=(
        "MNIST in [0, 1], Keras, two convolutions with pooling. Adam, batches of 128, 10 epochs and 10 more on clean + "
        "adversarial images. ε = 0.1, clipped to [0, 1]; steps and ε of PGD are not given (PGD-20 at 0.1 here)."
    ),
    figures=(
        Figure("CNN", _SRIVATHSAV, "clean", 0.0, 99.23),
        Figure("CNN", _SRIVATHSAV, "FGSM", 0.1, 46.5),
        Figure("CNN", _SRIVATHSAV, "PGD", 0.1, 7.8),
        Figure("+ adversarial training", _SRIVATHSAV_FGSM, "clean", 0.0, 99.02),
        Figure("+ adversarial training", _SRIVATHSAV_FGSM, "FGSM", 0.1, 60.1),
        Figure("+ adversarial training", _SRIVATHSAV_FGSM, "PGD", 0.1, 38.5),
        Figure("in its prose, CNN", _SRIVATHSAV, "FGSM", 0.1, 10.0),
        Figure("in its prose, + adversarial training", _SRIVATHSAV_FGSM, "FGSM", 0.1, 50.0),
    ),
    readings=(
        Reading("as its text says: the loss's gradient, training images", 1.0),
        Reading("as its listing says: the output's gradient", 1.0, fgsm="FGSM, output gradient"),
        Reading("as its listing says: trained on attacked test images", 1.0, instead=_LEAK),
        Reading("both of its listing's faults", 1.0, fgsm="FGSM, output gradient", instead=_LEAK),
        Reading("ε three times as large (0.3, usual on MNIST)", 3.0),
    ),
    reasons=(
        Reason("lower", "at the ε it names, this network loses far less.", ("FGSM", "PGD")),
        Reason("higher", "at the ε it names, this network keeps less.", ("FGSM", "PGD")),
        Reason("always", "the recipe says too little to tell why."),
    ),
    claims=(
        Claim(
            "Adversarial training helps against FGSM at ε = 0.1.",
            (Comparison("MNIST", (Term(_SRIVATHSAV_FGSM, "FGSM", 0.1),), (Term(_SRIVATHSAV, "FGSM", 0.1),)),),
        ),
        Claim(
            "It helps against PGD at ε = 0.1.",
            (Comparison("MNIST", (Term(_SRIVATHSAV_FGSM, "PGD", 0.1),), (Term(_SRIVATHSAV, "PGD", 0.1),)),),
        ),
        Claim(
            "The gradient that its listing takes makes an attack: it costs at least half of what FGSM costs.",
            (
                Comparison(
                    "MNIST",
                    (Term(_SRIVATHSAV, "drop", 0.1, 2.0, fgsm="FGSM, output gradient"),),
                    (Term(_SRIVATHSAV, "drop", 0.1),),
                ),
            ),
        ),
        Claim(
            "Training on attacked test images, as its listing does, flatters the clean accuracy.",
            (Comparison("MNIST", (Term(LEAKED, "clean"),), (Term(_SRIVATHSAV_FGSM, "clean"),)),),
        ),
    ),
    remarks=(
        "Its listing takes the gradient of the model's output instead of its loss. The outputs of a softmax sum to one, so "
        "that this gradient is zero but for rounding: what is added is no attack. Measured above as a reading of its own.",
        "Its listing makes the images of the adversarial training from the test set, so that the model is trained on the very "
        "images it is judged by. Measured above as a reading of its own.",
        "The table and the prose of the same study disagree (46.5 and about 10 before, 60.1 and about 50 after).",
        "It names three families of defenses, adversarial training, detection and certification, and advises combining them "
        "with input preprocessing, architectural changes and ensembles.",
    ),
)

STUDIES: dict[str, Study] = {study.key: study for study in (_P1, _P2, _P3, _P4)}

# --- the open questions ----------------------------------------------------------------------------------------------------

_DISTILLED = "mnist/srivathsav_cnn-distill-0.1"
_Q1 = Question(
    key="Q1",
    title="Does adversarial training combined with defensive distillation beat adversarial training alone?",
    asked_by="P1",
    how=(
        "MNIST, the network of P4, ε = 0.1. Both go on from the same baseline for 10 epochs of clean + FGSM images; one learns "
        "the labels, the other its teacher's answers at temperature 20 (Papernot et al. 2016). Three seeds."
    ),
    subjects=(
        Subject(_SRIVATHSAV, 0.1, "baseline"),
        Subject(_SRIVATHSAV_FGSM, 0.1, "adversarial training"),
        Subject(_DISTILLED, 0.1, "adversarial training + distillation"),
    ),
    attacks=("clean", "FGSM", "PGD", "C&W"),
    claims=tuple(
        Claim(
            f"Distillation adds to adversarial training under {name}.",
            (Comparison("MNIST", (Term(_DISTILLED, name, 0.1),), (Term(_SRIVATHSAV_FGSM, name, 0.1),)),),
        )
        for name in ("FGSM", "PGD", "C&W")
    ),
    seeds=(0, 1, 2),
)
_TRAINED_WITH_FGSM = (
    (_general("mnist", 0.1), 0.1),
    (_general("mnist", 0.3), 0.3),
    (_SRIVATHSAV_FGSM, 0.1),
    (_LEE_STANDARDIZED, 0.0924),
    (_LEE_FGSM, 0.3),
    (_general("fashion-mnist", 0.1), 0.1),
    (_general("cifar10", 0.03), 0.03),
    (_DEEPER_USUAL, 0.03),
    (_DEEPER_QUARTER, 0.25),
    (_DEEPER_HALF, 0.5),
    (_general("tiny-imagenet", 0.03), 0.03),
)
_Q2 = Question(
    key="Q2",
    title="Does robustness gained against FGSM carry over to iterative attacks?",
    asked_by="P1",
    how=(
        "Every model trained with FGSM, at the ε it was trained at, under FGSM, PGD-20 and Carlini & Wagner's attack as "
        "foolbox has it. That one looks for the smallest change in L2, so that its figure counts the images that hold within "
        "an L2 budget. One seed each: the training is the costly part."
    ),
    subjects=tuple(Subject(model, epsilon, model.split("/")[0]) for model, epsilon in _TRAINED_WITH_FGSM),
    attacks=("clean", "FGSM", "PGD", "C&W"),
    claims=(
        Claim(
            "PGD leaves at least half of what FGSM leaves.",
            tuple(
                Comparison(model, (Term(model, "PGD", epsilon),), (Term(model, "FGSM", epsilon, 0.5),))
                for model, epsilon in _TRAINED_WITH_FGSM
            ),
        ),
    ),
)


def _residual(dataset: str) -> str:
    return f"{dataset}/preact_resnet18-standard"


def _lost(model: str, dataset: str, weight: float = 1.0) -> Term:
    return Term(model, "drop", _BUDGETS[dataset], weight)


_Q3 = Question(
    key="Q3",
    title="Do deeper architectures narrow the gap between simple and complex datasets?",
    asked_by="P1",
    how=(
        "The plain CNN of P1 against a PreActResNet-18 (16 channels in its first stage, 32 on CIFAR-10), both undefended, on "
        "all four datasets: the points of accuracy that FGSM takes at the dataset's ε. One seed each: the training is the "
        "costly part."
    ),
    subjects=(
        *(Subject(_general(dataset), epsilon, "plain CNN") for dataset, epsilon in _BUDGETS.items()),
        *(Subject(_residual(dataset), epsilon, "PreActResNet-18") for dataset, epsilon in _BUDGETS.items()),
    ),
    attacks=("clean", "FGSM", "PGD"),
    claims=(
        Claim(
            "The deeper network loses less to FGSM.",
            tuple(
                Comparison(_NAMES[name], (_lost(_general(name), name),), (_lost(_residual(name), name),)) for name in _BUDGETS
            ),
        ),
        Claim(
            "The gap between complex and simple datasets is narrower for it.",
            (
                Comparison(
                    "mean drop, complex minus simple",
                    tuple(_lost(_general(name), name, 0.5 if name in _COMPLEX else -0.5) for name in _BUDGETS),
                    tuple(_lost(_residual(name), name, 0.5 if name in _COMPLEX else -0.5) for name in _BUDGETS),
                ),
            ),
        ),
    ),
)

QUESTIONS: dict[str, Question] = {question.key: question for question in (_Q1, _Q2, _Q3)}
ENTRIES: dict[str, Entry] = {**STUDIES, **QUESTIONS}


# --- published curves ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedCurve:
    """Accuracies (shares in [0, 1]) that a study reports for one model, over ε as the study writes it."""

    study: str
    dataset: str
    architecture: str
    defended: bool
    epsilons: tuple[float, ...]
    accuracy: tuple[float, ...]
    readings: tuple[Reading, ...]

    def pixel_epsilons(self, reading: Reading) -> tuple[float, ...]:
        """The published ε in pixel space under a reading."""
        return tuple(epsilon * reading.factor for epsilon in self.epsilons)


_FEWEST = 4  # points that make a curve


def _curves(study: Study) -> Iterator[PublishedCurve]:
    """What a study published, in one row of its table, of a model's accuracy over several ε."""
    # Readings that differ in more than the factor put the points at the same places.
    readings = tuple({reading.factor: reading for reading in reversed(study.readings)}.values())[::-1]
    for row, model in dict.fromkeys((figure.row, figure.model) for figure in study.figures):
        points = {
            figure.epsilon: round(figure.percent / 100, 6)
            for figure in study.figures
            if (figure.row, figure.model) == (row, model) and figure.measures != "drop" and figure.percent is not None
        }
        if len(points) >= _FEWEST:
            dataset, name = model.split("/")
            architecture, defended = name.split("-")[0], not model.endswith("-standard")
            shown = f"{study.name} ({study.key})"
            yield PublishedCurve(shown, dataset, architecture, defended, tuple(points), tuple(points.values()), readings)


PUBLISHED_CURVES: tuple[PublishedCurve, ...] = tuple(curve for study in STUDIES.values() for curve in _curves(study))


def published_curves(dataset: str) -> list[PublishedCurve]:
    """The curves that studies published for a dataset; empty where there are none."""
    return [curve for curve in PUBLISHED_CURVES if curve.dataset == dataset]
