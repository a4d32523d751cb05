"""The attacks: right by hand and beside two other libraries, exactly within their budget, and without a trace in the model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import eagerpy
import foolbox
import pytest
import torch
import torchattacks
from torch import Tensor, nn

from advcore import attacks
from advcore.attacks import APGD, FAB, FGSM, PGD, AutoAttack, DeepFool, SignNoise, Square, TargetedAPGD, UniformNoise
from advcore.attacks.pgd import random_start
from advcore.data import LabeledImages
from advcore.errors import AttackError
from advcore.models import checkpoints
from tests.makers import SHIPPED_DIGITS, fresh, linear

EPSILONS = [8 / 255, 0.1, 0.3, 1.0, 1e-9, 2**-24, 2**-25, 1 / 3, 0.7, 0.999999]
ATTACKS = [
    FGSM(),
    FGSM(targeted=True),
    PGD(steps=3),
    PGD(steps=2, restarts=2, targeted=True),
    PGD(steps=4, random_start=False, step_size=0.5),
    UniformNoise(),
    SignNoise(),
]
STRONG = [
    APGD(steps=3),
    TargetedAPGD(steps=2, targets=2),
    FAB(steps=3, targets=2),
    Square(queries=5),
    AutoAttack(steps=2, targets=2, queries=3),
    DeepFool(norm="linf", steps=4),
]


def name_of(attack: attacks.Attack) -> str:
    return attacks.title(attack) + (" targeted" if attack.sign < 0 else "")


def smooth(seed: int = 0, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> nn.Module:
    """A random network without kinks: rounding cannot send two implementations on different ways."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(shape[0], 8, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(8 * shape[1] * shape[2], classes)
        ).eval()


def batch(count: int = 16, shape: tuple[int, int, int] = (1, 8, 8)) -> tuple[Tensor, Tensor]:
    """Random images and labels, from another seed than any attack's: noise must not follow the pixels."""
    generator = torch.Generator().manual_seed(1234)
    return torch.rand(count, *shape, generator=generator), torch.randint(0, 10, (count,), generator=generator)


@pytest.fixture(params=SHIPPED_DIGITS)
def shipped(request: pytest.FixtureRequest) -> nn.Module:
    return checkpoints.find(request.param).model()


def test_a_standard_and_an_adversarially_trained_digits_model_are_shipped() -> None:
    assert "digits/digits_cnn-standard" in SHIPPED_DIGITS
    assert any("-fgsm-" in name for name in SHIPPED_DIGITS)


# --- by hand on a linear model -------------------------------------------------------------------------------------------

# Two pixels, two classes: class 1 wins where 3·b > 2·a. Losing class 0 means lowering a and raising b.
TWO = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
PIXELS = torch.tensor([[0.6, 0.3]]).view(1, 1, 1, 2)


def test_fgsm_by_hand() -> None:
    model, label = linear(TWO), torch.tensor([0])
    away = FGSM().perturb(model, PIXELS, label, 0.1)
    assert away.flatten().tolist() == pytest.approx([0.5, 0.4])
    toward = FGSM(targeted=True).perturb(model, PIXELS, label, 0.1)
    assert toward.flatten().tolist() == pytest.approx([0.7, 0.2])
    assert FGSM().perturb(model, PIXELS, label, 0.5).flatten().tolist() == pytest.approx([0.1, 0.8])
    assert FGSM().perturb(model, PIXELS, label, 0.9).flatten().tolist() == pytest.approx([0.0, 1.0])  # cut to [0, 1]
    assert FGSM().direction(model, PIXELS, label).flatten().tolist() == [-1, 1]
    assert FGSM(targeted=True).direction(model, PIXELS, label).flatten().tolist() == [1, -1]


def test_pixels_that_do_not_matter_are_left_alone() -> None:
    model = linear(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert FGSM().perturb(model, PIXELS, torch.tensor([0]), 0.2).flatten().tolist() == pytest.approx([0.4, 0.3])


def test_pgd_by_hand() -> None:
    model, label = linear(TWO), torch.tensor([0])
    steps = PGD(steps=2, step_size=0.03, random_start=False).perturb(model, PIXELS, label, 0.1)
    assert steps.flatten().tolist() == pytest.approx([0.54, 0.36])
    projected = PGD(steps=10, step_size=0.03, random_start=False).perturb(model, PIXELS, label, 0.1)
    assert projected.flatten().tolist() == pytest.approx([0.5, 0.4])
    # On a linear model every start ends in the same corner, which the step size left out can reach.
    assert PGD(steps=5).perturb(model, PIXELS, label, 0.1).flatten().tolist() == pytest.approx([0.5, 0.4])


def test_pgd_of_one_full_step_is_fgsm() -> None:
    (images, labels), model = batch(), smooth()
    one = PGD(steps=1, step_size=0.1, random_start=False).perturb(model, images, labels, 0.1)
    assert torch.allclose(one, FGSM().perturb(model, images, labels, 0.1), atol=1e-6)


def test_the_step_left_out_is_two_and_a_half_epsilon_over_steps() -> None:
    (images, labels), model = batch(), smooth()
    given = PGD(steps=5, step_size=2.5 * 0.1 / 5).perturb(model, images, labels, 0.1)
    assert torch.equal(given, PGD(steps=5).perturb(model, images, labels, 0.1))


def test_the_gradient_is_that_of_the_summed_cross_entropy() -> None:
    model, label = linear(TWO), torch.tensor([0])
    share = torch.tensor([1.2, 0.9]).softmax(0)
    expected = TWO.T @ (share - torch.tensor([1.0, 0.0]))
    gradient = attacks.input_gradient(model, PIXELS, label)
    assert gradient.flatten().tolist() == pytest.approx(expected.tolist())
    twice = attacks.input_gradient(model, PIXELS.repeat(2, 1, 1, 1), label.repeat(2))
    assert torch.allclose(twice[1:], gradient)  # another image in the batch changes nothing


# --- beside torchattacks and foolbox -------------------------------------------------------------------------------------

RANDOM_MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[int, int, int]]]] = {
    "smooth": lambda: (smooth(), (1, 8, 8)),
    "digits_cnn": lambda: (fresh("digits_cnn", (1, 8, 8)), (1, 8, 8)),
    "srivathsav_cnn": lambda: (fresh("srivathsav_cnn", (1, 28, 28)), (1, 28, 28)),
    "general_cnn": lambda: (fresh("general_cnn", (3, 32, 32)), (3, 32, 32)),
    "preact_resnet18": lambda: (fresh("preact_resnet18", (3, 32, 32), width=8), (3, 32, 32)),
}


def foolbox_model(model: nn.Module) -> foolbox.PyTorchModel:
    return foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")


def same(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for rounding, of which ours keeps a margin of 2⁻²⁴ to stay within ε."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-7)


# A power of two, so that torchattacks' mean over the batch is our sum, scaled exactly.
BATCH = 16


@pytest.mark.parametrize("kind", RANDOM_MODELS)
@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
def test_fgsm_on_random_models_is_theirs(kind: str, targeted: bool) -> None:
    model, shape = RANDOM_MODELS[kind]()
    images, labels = batch(BATCH, shape)
    for epsilon in (2 / 255, 0.1, 0.5):
        ours = FGSM(targeted=targeted).perturb(model, images, labels, epsilon)
        same(ours, torchattacks_says(torchattacks.FGSM(model, eps=epsilon), images, labels, targeted))
        # foolbox has no targeted FGSM; one step of its PGD is the same.
        one_step = foolbox.attacks.LinfPGD(rel_stepsize=1, steps=1, random_start=False)
        theirs = one_step if targeted else foolbox.attacks.LinfFastGradientAttack()
        same(ours, foolbox_says(theirs, model, images, labels, epsilon, targeted))


def test_fgsm_on_the_shipped_models_is_theirs(shipped: nn.Module, digits: LabeledImages) -> None:
    few = digits[:256]
    images, labels = few.pixels(), few.labels
    for epsilon in (0.05, 0.2):
        ours = FGSM().perturb(shipped, images, labels, epsilon)
        same(ours, torchattacks_says(torchattacks.FGSM(shipped, eps=epsilon), images, labels, False))
        same(ours, foolbox_says(foolbox.attacks.LinfFastGradientAttack(), shipped, images, labels, epsilon, False))


@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
def test_pgd_with_the_same_steps_is_theirs(targeted: bool) -> None:
    model, (images, labels) = smooth(), batch(BATCH)
    epsilon, step, steps = 0.1, 0.02, 10
    ours = PGD(steps=steps, step_size=step, random_start=False, targeted=targeted).perturb(model, images, labels, epsilon)
    theirs = torchattacks.PGD(model, eps=epsilon, alpha=step, steps=steps, random_start=False)
    same(ours, torchattacks_says(theirs, images, labels, targeted))
    theirs = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=False)
    same(ours, foolbox_says(theirs, model, images, labels, epsilon, targeted))


@pytest.mark.parametrize("seed", [0, 7])
def test_pgd_from_the_same_random_start_is_theirs(seed: int) -> None:
    model, (images, labels) = smooth(), batch(BATCH)
    attack = PGD(steps=10, step_size=0.02, seed=seed)
    ours = attack.perturb(model, images, labels, 0.1)
    start = random_start(attacks.Budget(images, 0.1), torch.arange(BATCH), seed, 0)

    class FromThere(foolbox.attacks.LinfPGD):
        """foolbox's PGD, from our random start."""

        def get_random_start(self, x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:
            return eagerpy.astensor(start)

    theirs = FromThere(abs_stepsize=0.02, steps=10, random_start=True)
    same(ours, foolbox_says(theirs, model, images, labels, 0.1, False))
    assert not torch.allclose(ours, PGD(steps=10, step_size=0.02, seed=seed + 1).perturb(model, images, labels, 0.1))


def test_pgd_with_momentum_is_theirs() -> None:
    model, (images, labels) = smooth(), batch(BATCH)
    ours = PGD(steps=10, step_size=0.02, random_start=False, momentum=0.9).perturb(model, images, labels, 0.1)
    theirs = torchattacks.MIFGSM(model, eps=0.1, alpha=0.02, steps=10, decay=0.9)
    same(ours, torchattacks_says(theirs, images, labels, False))


def test_pgd_on_the_shipped_models_is_theirs(shipped: nn.Module, digits: LabeledImages) -> None:
    few = digits[:64]
    images, labels = few.pixels(), few.labels
    ours = PGD(steps=10, step_size=0.02, random_start=False).perturb(shipped, images, labels, 0.1)
    theirs = torchattacks.PGD(shipped, eps=0.1, alpha=0.02, steps=10, random_start=False)(images, labels)
    # At a kink of a ReLU a rounding error may turn one step of one pixel around.
    assert ((ours - theirs).abs() < 3e-7).float().mean() > 0.999
    assert torch.equal(attacks.predict(shipped, ours), attacks.predict(shipped, theirs))


def torchattacks_says(attack: torchattacks.attack.Attack, images: Tensor, labels: Tensor, targeted: bool) -> Tensor:
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    return attack(images, labels)


def foolbox_says(
    attack: foolbox.attacks.base.Attack, model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, targeted: bool
) -> Tensor:
    criterion = (foolbox.criteria.TargetedMisclassification if targeted else foolbox.criteria.Misclassification)(labels)
    return attack.run(foolbox_model(model), images, criterion, epsilon=epsilon)


# --- budgets ---------------------------------------------------------------------------------------------------------------


def awkward_images() -> Tensor:
    """Pixels where sums round: the ends, grey levels, the smallest and the largest numbers below 1, and random ones."""
    special = [
        0.0,
        1.0,
        1e-45,
        1e-30,
        2**-24,
        1 - 2**-24,
        0.5,
        0.5 - 2**-25,
        1 / 3,
        0.1,
        *(level / 255 for level in range(0, 256, 5)),
    ]
    values = torch.tensor((special + [1.0] * 64)[:64])
    return torch.cat([values.view(1, 1, 8, 8), values.flip(0).view(1, 1, 8, 8), batch(6)[0]])


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_budget_holds_exactly(attack: attacks.Attack, epsilon: float) -> None:
    images, labels = awkward_images(), torch.arange(8)
    for seed in range(3):
        attacked = attack.perturb(smooth(seed), images, labels, epsilon)
        assert attacked.dtype == torch.float32
        # float64 holds the difference of two float32 numbers exactly enough: rounding keeps the order.
        assert (attacked.double() - images.double()).abs().max().item() <= epsilon
        assert attacked.min().item() >= 0
        assert attacked.max().item() <= 1


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_the_budget_is_used(attack: attacks.Attack) -> None:
    images, labels = batch()
    change = (attack.perturb(smooth(), images, labels, 0.1) - images).abs()
    assert change.max().item() > 0.099


def test_clip_by_hand() -> None:
    images, direction = torch.tensor([0.0, 0.5, 0.9, 1.0]), torch.tensor([-1.0, 0.5, 1.0, -1.0])
    assert attacks.clip(images, direction, 0.2).tolist() == pytest.approx([0.0, 0.6, 1.0, 0.8])
    assert attacks.clip(images, direction, 0.0).tolist() == images.tolist()


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
def test_epsilon_zero_returns_the_images(attack: attacks.Attack) -> None:
    images, labels = awkward_images(), torch.arange(8)
    attacked = attack.perturb(smooth(), images, labels, 0)
    assert torch.equal(attacked, images)
    assert attacked.data_ptr() != images.data_ptr()  # the caller may write into it


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
@pytest.mark.parametrize("epsilon", [-0.1, 1.01, 8.0, float("nan"), float("inf")])
def test_an_epsilon_outside_pixel_space_is_refused(attack: attacks.Attack, epsilon: float) -> None:
    images, labels = batch(2)
    with pytest.raises(AttackError, match="lies between 0 and 1"):
        attack.perturb(smooth(), images, labels, epsilon)
    with pytest.raises(AttackError, match="lies between 0 and 1"):
        list(attack.sweep(smooth(), images, labels, [0.1, epsilon]))


# --- labels, targets, restarts, seeds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3)], ids=name_of)
def test_labels_left_out_are_the_models_own_answer(attack: attacks.Attack) -> None:
    model, (images, _) = smooth(), batch()
    own = attacks.predict(model, images)
    assert torch.equal(attack.perturb(model, images, None, 0.1), attack.perturb(model, images, own, 0.1))


@pytest.mark.parametrize("attack", [FGSM(targeted=True), PGD(targeted=True)], ids=name_of)
def test_a_target_comes_nearer_and_must_be_named(attack: attacks.Attack) -> None:
    model, (images, targets) = smooth(), batch(64)

    def share(pixels: Tensor) -> Tensor:
        return attacks.probabilities(model, pixels)[torch.arange(64), targets]

    untouched, near, nearer = (share(attack.perturb(model, images, targets, epsilon)) for epsilon in (0, 0.02, 0.1))
    assert (near > untouched).all()
    assert (nearer > near).all()
    with pytest.raises(AttackError, match="wanted classes"):
        attack.perturb(model, images, None, 0.1)


def test_a_stronger_attack_raises_the_loss(shipped: nn.Module, digits: LabeledImages) -> None:
    few = digits[:128]
    images, labels = few.pixels(), few.labels

    def loss(attack: attacks.Attack) -> float:
        return nn.functional.cross_entropy(shipped(attack.perturb(shipped, images, labels, 0.1)), labels).item()

    assert loss(UniformNoise()) < loss(FGSM()) < loss(PGD(steps=20))


@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
def test_restarts_keep_the_worst(targeted: bool) -> None:
    """One step from five starts: the image kept must do as much harm as the best of the five, and be one of them."""
    model, (images, labels) = fresh("digits_cnn", (1, 8, 8)), batch(32)
    attack = PGD(steps=1, step_size=0.01, restarts=5, targeted=targeted, seed=3)
    kept = attack.perturb(model, images, labels, 0.2)
    starts = [random_start(attacks.Budget(images, 0.2), torch.arange(32), 3, restart) for restart in range(5)]
    step = attack.sign * 0.01
    runs = torch.stack(
        [
            attacks.ascend(lambda pixels: attacks.input_gradient(model, pixels, labels), images, 0.2, step, 1, start - images)
            for start in starts
        ]
    )
    losses = torch.stack([nn.functional.cross_entropy(model(run), labels, reduction="none") for run in runs])
    right = torch.stack([model(run).argmax(1) == labels for run in runs])
    done, farther = (right, -losses) if targeted else (~right, losses)
    # The first that reached its aim, or else the one that went farthest.
    best = torch.where(done.any(0), done.byte().argmax(0), farther.argmax(0))
    assert len(best.unique()) > 1
    kept_loss = nn.functional.cross_entropy(model(kept), labels, reduction="none")
    assert torch.allclose(kept_loss, losses[best, torch.arange(32)], atol=0.1)
    assert ((kept.unsqueeze(0) - runs).abs() < 1e-6).flatten(2).all(2).any(0).all()
    one_done, kept_done = done[0], (model(kept).argmax(1) == labels) == targeted
    assert (kept_done >= one_done).all()
    assert torch.equal(kept_done, done.any(0))


def test_success_is_the_answer_and_not_the_loss() -> None:
    """Shares of .34, .33, .33 have the larger loss than .45, .55, 0, but only the second is wrong."""
    shares = torch.tensor([[0.34, 0.33, 0.33], [0.45, 0.55, 1e-6]])
    labels = torch.tensor([0, 0])
    logits = shares.log()
    assert PGD().succeeded(logits, labels).tolist() == [False, True]
    assert PGD(targeted=True).succeeded(logits, labels).tolist() == [True, False]


def test_more_restarts_never_fool_less(shipped: nn.Module, digits: LabeledImages) -> None:
    few = digits[:128]
    fooled = [
        attacks.predict(shipped, PGD(steps=5, restarts=restarts).perturb(shipped, few.pixels(), few.labels, 0.1)) != few.labels
        for restarts in (1, 3)
    ]
    assert (fooled[1] >= fooled[0]).all()


@pytest.mark.parametrize("kind", [PGD, UniformNoise])
def test_a_seed_gives_the_same_images_again(kind: type[attacks.Attack]) -> None:
    model, (images, labels) = smooth(), batch()
    torch.manual_seed(1)
    first = kind(seed=5).perturb(model, images, labels, 0.1)
    torch.rand(100)
    again = kind(seed=5).perturb(model, images, labels, 0.1)
    assert torch.equal(first, again)
    assert not torch.equal(first, kind(seed=6).perturb(model, images, labels, 0.1))


def test_attacks_leave_the_global_random_numbers_alone() -> None:
    model, (images, labels) = smooth(), batch()
    torch.manual_seed(1)
    undisturbed = torch.rand(3)
    torch.manual_seed(1)
    for attack in ATTACKS + STRONG:
        attack.perturb(model, images, labels, 0.1)
    assert torch.equal(torch.rand(3), undisturbed)


def test_noise_is_uniform_over_its_budget_and_needs_no_labels() -> None:
    images = torch.full((64, 1, 8, 8), 0.5)
    noise = UniformNoise().perturb(smooth(), images, None, 0.25) - images
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.var().item() == pytest.approx(0.25**2 / 3, rel=0.05)
    assert noise.min().item() == pytest.approx(-0.25, abs=0.002)
    assert noise.max().item() == pytest.approx(0.25, abs=0.002)


def test_noise_of_the_same_size_changes_every_value_by_epsilon() -> None:
    images, indices = torch.full((64, 1, 8, 8), 0.5), torch.arange(64)
    signs = (SignNoise().perturb(smooth(), images, None, 0.25) - images) / 0.25
    assert torch.allclose(signs.abs(), torch.ones_like(images), atol=1e-6)
    assert signs.mean().item() == pytest.approx(0, abs=0.05)
    alone = SignNoise().perturb(smooth(), images[9:10], None, 0.25, indices=indices[9:10])
    assert torch.equal((alone - images[:1]) / 0.25, signs[9:10])


def test_a_sweep_of_noise_scales_one_draw() -> None:
    images = torch.full((2, 1, 8, 8), 0.5)
    small, large = UniformNoise().sweep(smooth(), images, None, [0.1, 0.2])
    assert torch.allclose((small - images) * 2, large - images, atol=1e-6)


# --- sweeps -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
def test_a_sweep_gives_what_perturb_gives(attack: attacks.Attack) -> None:
    model, (images, labels) = smooth(), batch()
    grid = [0.0, 0.3, 0.1, 0.1]
    swept = list(attack.sweep(model, images, labels, grid))
    assert len(swept) == 4
    for epsilon, attacked in zip(grid, swept, strict=True):
        assert torch.equal(attacked, attack.perturb(model, images, labels, epsilon))


class Counting(nn.Module):
    """Counts how often a model is run, and how often a gradient comes back through it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += 1
        logits = self.model(images)
        if logits.requires_grad:
            logits.register_hook(self._came_back)
        return logits

    def _came_back(self, _: Tensor) -> None:
        self.backwards += 1


@pytest.mark.parametrize(
    ("attack", "grid", "backwards"),
    [
        (FGSM(), [index / 64 for index in range(65)], 1),
        (FGSM(targeted=True), [0.1, 0.2], 1),
        (FGSM(), [0.0], 0),
        (PGD(steps=3), [0.0, 0.1, 0.2], 3),  # several ε side by side
        (PGD(steps=3, restarts=2), [1e-6], 6),
        (PGD(steps=3, restarts=2), [0.5], 3),  # the first start has fooled it on all
        (UniformNoise(), [0.1, 0.2], 0),
    ],
)
def test_gradients_are_counted(attack: attacks.Attack, grid: list[float], backwards: int) -> None:
    model, (images, _) = Counting(smooth()).eval(), batch()
    assert len(list(attack.sweep(model, images, attacks.predict(model, images), grid))) == len(grid)
    assert model.backwards == backwards


# --- no trace in the model -------------------------------------------------------------------------------------------------


def traces(model: nn.Module) -> dict[str, object]:
    """All that an attack could leave behind."""
    return {
        "modes": {name: module.training for name, module in model.named_modules()},
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "grads": {name: None if value.grad is None else value.grad.clone() for name, value in model.named_parameters()},
        "flags": {name: value.requires_grad for name, value in model.named_parameters()},
        "hooks": [len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules()],
    }


def assert_same_traces(before: dict[str, object], after: dict[str, object]) -> None:
    for name in ("modes", "flags", "hooks"):
        assert before[name] == after[name], name
    for name in ("values", "grads"):
        assert before[name].keys() == after[name].keys()
        for key, value in before[name].items():
            other = after[name][key]
            assert other is None if value is None else torch.equal(value, other), key


def in_training() -> nn.Module:
    """A network in the middle of a training: some layers in train mode, some gradients there, some weights frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(4)),
            nn.Flatten(),
            nn.Linear(144, 10),
        )
    model.train()
    model[3][1].eval()
    model[1].running_mean.fill_(0.3)
    model[0].weight.grad = torch.full_like(model[0].weight, 2.0)
    model[5].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
@pytest.mark.parametrize("given", [True, False], ids=["labels", "own answer"])
def test_a_model_comes_out_as_it_went_in(attack: attacks.Attack, given: bool) -> None:
    model, (images, labels) = in_training(), batch()
    before = traces(model)
    if given or attack.sign > 0:
        attack.perturb(model, images, labels if given else None, 0.1)
        list(attack.sweep(model, images, labels if given else None, [0, 0.1]))
    attacks.predict(model, images)
    attacks.probabilities(model, images)
    assert_same_traces(before, traces(model))


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=2)], ids=name_of)
def test_a_model_in_training_is_attacked_as_in_use(attack: attacks.Attack) -> None:
    model, (images, labels) = in_training(), batch()
    in_use = copy.deepcopy(model).eval()
    assert torch.equal(attack.perturb(model, images, labels, 0.1), attack.perturb(in_use, images, labels, 0.1))


def test_a_sweep_left_early_or_failing_gives_the_mode_back() -> None:
    model, (images, labels) = in_training(), batch()
    before = traces(model)
    sweep = FGSM().sweep(model, images, labels, [0.1, 0.2])
    next(sweep)
    sweep.close()
    assert_same_traces(before, traces(model))
    with pytest.raises(RuntimeError):
        FGSM().perturb(model, torch.rand(2, 1, 5, 5), labels[:2], 0.1)
    assert_same_traces(before, traces(model))


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
def test_the_images_are_left_alone_and_the_result_stands_by_itself(attack: attacks.Attack) -> None:
    model, (images, labels) = smooth(), batch()
    images.requires_grad_()
    kept = images.detach().clone()
    for epsilon in (0.0, 0.1):
        attacked = attack.perturb(model, images, labels, epsilon)
        assert not attacked.requires_grad
        attacked.fill_(7)
    assert torch.equal(images.detach(), kept)
    assert images.grad is None


@pytest.mark.parametrize("attack", ATTACKS + STRONG, ids=name_of)
def test_gradients_are_taken_where_the_caller_switched_them_off(attack: attacks.Attack) -> None:
    model, (images, labels) = smooth().requires_grad_(False), batch()
    with torch.no_grad():
        attacked = attack.perturb(model, images, labels, 0.1)
    assert torch.equal(attacked, attack.perturb(smooth(), images, labels, 0.1))


# --- memory ------------------------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """A device that holds `most` images at a time."""

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most, self.largest = model, most, 0

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.largest = max(self.largest, len(images))
        return self.model(images)


@pytest.mark.parametrize("most", [1, 3, 7, 16])
@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3), PGD(steps=3, restarts=2), UniformNoise(), *STRONG], ids=name_of)
def test_a_batch_that_does_not_fit_is_split(attack: attacks.Attack, most: int) -> None:
    model, (images, labels) = Small(linear(torch.randn(10, 64)), most), batch(16)
    attacked = attack.perturb(model, images, labels, 0.1)
    assert torch.equal(attacked, attack.perturb(model.model, images, labels, 0.1))
    assert torch.equal(attacks.predict(model, images), attacks.predict(model.model, images))
    assert torch.allclose(attacks.probabilities(model, images), attacks.probabilities(model.model, images))
    assert 0 < model.largest <= most


def test_one_image_that_does_not_fit_is_an_error() -> None:
    images, labels = batch(4)
    with pytest.raises(torch.OutOfMemoryError):
        FGSM().perturb(Small(smooth(), 0), images, labels, 0.1)


# --- names -----------------------------------------------------------------------------------------------------------------


def test_attacks_by_name_take_the_options_they_have() -> None:
    options = {"steps": 7, "restarts": 2, "seed": 3, "targeted": False}
    assert attacks.attack_named("fgsm", **options) == FGSM()
    assert attacks.attack_named("pgd", **options) == PGD(steps=7, restarts=2, seed=3)
    assert attacks.attack_named("noise", **options) == UniformNoise(seed=3)
    assert attacks.attack_named("fgsm", targeted=True) == FGSM(targeted=True)


def test_titles_say_what_a_figure_was_measured_with() -> None:
    titles = [attacks.title(attack) for attack in (FGSM(), PGD(), PGD(steps=50, restarts=10), UniformNoise())]
    assert titles == ["FGSM", "PGD-20", "PGD-50-10", "random noise"]


def test_noise_cannot_be_targeted() -> None:
    with pytest.raises(AttackError, match="cannot be targeted"):
        attacks.attack_named("noise", targeted=True)


@pytest.mark.parametrize("name", ["", "FGSM", "C&W", "../fgsm"])
def test_an_unknown_attack_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(AttackError, match=f"choose one of {', '.join(attacks.offered())}"):
        attacks.attack_named(name)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"restarts": 0}, {"step_size": 0.0}, {"step_size": -1.0}, {"step_size": float("nan")}]
)
def test_a_pgd_that_goes_nowhere_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(AttackError, match="PGD"):
        PGD(**options)  # type: ignore[arg-type]


def test_attacks_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FGSM().targeted = True  # type: ignore[misc]
