from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sasam import SAM, SASAM, SASGD

OPTIMIZERS = [SAM, SASGD, SASAM]
PASSES = {SAM: 2, SASGD: 2, SASAM: 3}
EVERY_PASS = [(cls, index) for cls, passes in PASSES.items() for index in range(passes)]


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


def assert_same(tensors, others):
    for a, b in zip(tensors, others, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cls", OPTIMIZERS)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_buffers_after_steps_are_those_of_the_clean_passes(cls, momentum, problem):
    problem.model[1].momentum = momentum
    clean = copy.deepcopy(problem.model)
    optimizer = cls(problem.model.parameters(), lr=0.05, model=problem.model)
    for t in range(4):
        clean.load_state_dict(dict(problem.model.named_parameters()), strict=False)
        problem.loss(clean, t)
        optimizer.step(problem.closure(t))
        assert_same(problem.model.buffers(), clean.buffers())
    assert problem.model[1].num_batches_tracked == 4


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_random_layers_draw_the_same_masks_in_all_passes_of_a_step(cls):
    torch.manual_seed(1)
    w = nn.Parameter(torch.ones(64))
    masks = []

    def closure():
        w.grad = None
        mask = F.dropout(torch.ones(64), 0.5)
        masks.append(mask)
        loss = (mask * w * w).sum()
        loss.backward()
        return loss

    optimizer = cls([w], lr=0.01)
    optimizer.step(closure)
    masks.clear()
    torch.manual_seed(2)
    optimizer.step(closure)
    optimizer.step(closure)
    torch.manual_seed(2)
    expected = [F.dropout(torch.ones(64), 0.5) for _ in range(2)]
    passes = PASSES[cls]
    assert_same(masks, [expected[0]] * passes + [expected[1]] * passes)


@pytest.mark.parametrize(("cls", "failing"), EVERY_PASS)
def test_closure_that_raises_leaves_weights_and_state(cls, failing, problem):
    optimizer = cls(problem.model.parameters(), lr=0.05, model=problem.model)
    optimizer.step(problem.closure(0))
    before, state = weights_of(problem.model), copy.deepcopy(optimizer.state_dict())
    calls = iter(range(3))

    def closure():
        if next(calls) == failing:
            raise InterruptedError
        return problem.closure(1)()

    with pytest.raises(InterruptedError):
        optimizer.step(closure)
    assert_same(weights_of(problem.model), before)
    after = optimizer.state_dict()
    for group in (*after["param_groups"], *state["param_groups"]):
        group.pop("gradient_evaluations", None)
    assert after["param_groups"] == state["param_groups"]
    for key, values in state["state"].items():
        assert_same(after["state"][key].values(), values.values())


@pytest.mark.parametrize(("cls", "failing"), EVERY_PASS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradient_not_finite_in_any_pass_skips_and_keeps_everything(cls, failing, bad, problem):
    options = {"momentum": 0.9} if cls is SAM else {}
    optimizer = cls(problem.model.parameters(), lr=0.05, **options)
    for t in range(2):
        optimizer.step(problem.closure(t))
    before, state = weights_of(problem.model), copy.deepcopy(optimizer.state_dict()["state"])
    rule = (optimizer.step_size, optimizer.perturbation_radius, optimizer.smoothness)
    calls = iter(range(3))

    def closure():
        loss = problem.closure(2)()
        if next(calls) == failing:
            problem.model[0].bias.grad[3] = bad
        return loss

    optimizer.step(closure)
    assert optimizer.skipped_steps == 1
    assert_same(weights_of(problem.model), before)
    assert (optimizer.step_size, optimizer.perturbation_radius, optimizer.smoothness) == rule
    for key, values in state.items():
        assert_same(optimizer.state_dict()["state"][key].values(), values.values())
    optimizer.step(problem.closure(3))
    assert optimizer.skipped_steps == 1
    assert not torch.equal(problem.model[0].weight, before[0])


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_parameters_without_gradient_or_frozen_stay(cls):
    used, unused, frozen = (nn.Parameter(torch.ones(3)) for _ in range(3))
    frozen.requires_grad_(False)
    optimizer = cls([{"params": [unused, frozen]}, {"params": [used]}], lr=0.1, weight_decay=0.1)

    def closure():
        used.grad = None
        loss = (used * used).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert unused.tolist() == frozen.tolist() == [1.0, 1.0, 1.0]
    assert (used < 1.0).all()


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_parameter_used_only_now_and_then_keeps_its_previous_point(cls):
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = cls([a, b], lr=0.01)
    for t in range(6):

        def closure(t=t):
            optimizer.zero_grad()
            loss = (a * a).sum() + ((b * b).sum() if t % 2 else 0.0)
            loss.backward()
            return loss

        before = b.detach().clone()
        optimizer.step(closure)
        assert torch.equal(b, before) == (t % 2 == 0)
    if cls is not SAM:
        assert optimizer.smoothness == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("cls", [SASGD, SASAM])
def test_parameter_trained_again_has_not_moved(cls):
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = cls([a, b], lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = (a * a).sum() + 3 * (b * b).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    b.requires_grad_(False)
    optimizer.step(closure)
    b.requires_grad_(True)
    optimizer.step(closure)
    assert optimizer.smoothness == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_gradients_zeroed_in_place_give_the_same_steps(cls, problem):
    other = copy.deepcopy(problem)
    first, second = (cls(p.model.parameters(), lr=0.05) for p in (problem, other))

    def in_place(t):
        def closure():
            second.zero_grad(set_to_none=False)
            loss = other.loss(other.model, t)
            loss.backward()
            return loss

        return closure

    for t in range(4):
        first.step(problem.closure(t))
        second.step(in_place(t))
    assert_same(problem.model.parameters(), other.model.parameters())


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_channels_last_and_empty_parameters_are_stepped(cls):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    plain = nn.Conv2d(3, 4, 3)
    plain.load_state_dict(conv.state_dict())
    images = torch.randn(2, 3, 6, 6)
    for model in (conv, plain):
        params = [*model.parameters(), nn.Parameter(torch.empty(0))]
        optimizer = cls(params, lr=0.01)

        def closure(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = model(images).square().mean()
            loss.backward()
            # A gradient whose layout is not its weight's.
            model.weight.grad = model.weight.grad.contiguous()
            return loss

        for _ in range(3):
            optimizer.step(closure)
    torch.testing.assert_close(conv.weight, plain.weight.to(memory_format=torch.channels_last))


@pytest.mark.slow
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_compiled_model_takes_the_same_steps(cls, problem):
    other = copy.deepcopy(problem)
    compiled = torch.compile(other.model, backend="aot_eager")
    first = cls(problem.model.parameters(), lr=0.05, model=problem.model)
    second = cls(other.model.parameters(), lr=0.05, model=compiled)

    def closure():
        second.zero_grad()
        loss = F.cross_entropy(compiled(other.inputs[0]), other.labels[0])
        loss.backward()
        return loss

    for _ in range(3):
        first.step(problem.closure(0))
        second.step(closure)
    for a, b in zip(
        problem.model.state_dict().values(), other.model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(a, b)


class _Statistics(nn.Module):
    """Buffers of every kind that a forward pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("assigned", torch.zeros(6, dtype=torch.float64))
        self.register_buffer("in_place", torch.ones((), dtype=torch.float32), persistent=False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("absent", None)

    def forward(self, inputs):
        self.assigned = 0.9 * self.assigned + 0.1 * inputs.detach().mean(0)
        self.in_place.mul_(inputs.detach().mean())
        self.calls += 1
        return inputs - self.assigned


class _Grows(nn.Module):
    """Its buffer takes the shape of what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", None)

    def forward(self, inputs):
        kept = [] if self.seen is None else [self.seen]
        self.seen = torch.cat([*kept, inputs.detach().mean().reshape(1)])
        return inputs


def _model_with_buffers(momentum=0.1):
    torch.manual_seed(0)
    model = nn.Sequential(
        _Statistics(),
        nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)),
        nn.utils.spectral_norm(nn.Linear(8, 8)),
        nn.BatchNorm1d(8, momentum=momentum),
        nn.Dropout(0.5),
        nn.Linear(8, 3),
    )
    return model.double()


def _buffers_of(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def _same_bits(buffers, others):
    assert buffers.keys() == others.keys()
    for name, buffer in buffers.items():
        assert torch.equal(buffer, others[name]), name


def _step(optimizer, model, inputs, labels, spoil=lambda index, model: None):
    calls = iter(range(3))

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        spoil(next(calls), model)
        return loss

    return optimizer.step(closure)


@pytest.mark.parametrize("cls", OPTIMIZERS)
@pytest.mark.parametrize("steps_before", [0, 2])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_of_nan_leaves_every_buffer_as_it_was_found(cls, steps_before, momentum, problem):
    model = _model_with_buffers(momentum)
    optimizer = cls(model.parameters(), lr=0.05, model=model)
    for t in range(steps_before):
        _step(optimizer, model, problem.inputs[t], problem.labels[t])
    before = _buffers_of(model)
    _step(optimizer, model, torch.full_like(problem.inputs[5], torch.nan), problem.labels[5])
    assert optimizer.skipped_steps == 1
    _same_bits(_buffers_of(model), before)
    _step(optimizer, model, problem.inputs[6], problem.labels[6])
    assert optimizer.skipped_steps == 1
    assert model[0].calls == steps_before + 1
    assert all(buffer.isfinite().all() for buffer in model.buffers())


@pytest.mark.parametrize(("cls", "failing"), EVERY_PASS)
def test_step_skipped_for_any_pass_leaves_every_buffer_and_moves_the_masks_on(
    cls, failing, problem
):
    model = _model_with_buffers()
    optimizer = cls(model.parameters(), lr=0.05, model=model)
    for t in range(2):
        _step(optimizer, model, problem.inputs[t], problem.labels[t])
    before, random_state = _buffers_of(model), torch.get_rng_state()

    def spoil(index, model):
        if index == failing:
            model[5].bias.grad[1] = torch.inf

    _step(optimizer, model, problem.inputs[2], problem.labels[2], spoil)
    assert optimizer.skipped_steps == 1
    _same_bits(_buffers_of(model), before)
    after = torch.get_rng_state()
    torch.set_rng_state(random_state)
    model(problem.inputs[2])
    assert torch.equal(torch.get_rng_state(), after)  # as the first pass left it


@pytest.mark.parametrize(("cls", "failing"), EVERY_PASS)
def test_closure_that_raises_leaves_every_buffer_as_it_was_found(cls, failing, problem):
    model = _model_with_buffers()
    optimizer = cls(model.parameters(), lr=0.05, model=model)
    _step(optimizer, model, problem.inputs[0], problem.labels[0])
    before = _buffers_of(model)

    def spoil(index, model):
        if index == failing:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _step(optimizer, model, problem.inputs[1], problem.labels[1], spoil)
    _same_bits(_buffers_of(model), before)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_buffer_that_a_pass_assigns_or_reshapes_counts_once_a_step(cls, problem):
    model = nn.Sequential(_Grows(), _Statistics(), nn.Linear(6, 3)).double()
    optimizer = cls(model.parameters(), lr=0.05, model=model)
    for t in range(3):
        _step(optimizer, model, problem.inputs[t], problem.labels[t])
    means = [inputs.mean() for inputs in problem.inputs[:3]]
    torch.testing.assert_close(model[0].seen, torch.stack(means))
    assert model[1].calls == 3
    expected = torch.zeros(6, dtype=torch.float64)
    for inputs in problem.inputs[:3]:
        expected = 0.9 * expected + 0.1 * inputs.mean(0)
    torch.testing.assert_close(model[1].assigned, expected)
    _step(optimizer, model, torch.full_like(problem.inputs[3], torch.nan), problem.labels[3])
    assert len(model[0].seen) == 3


def test_skip_on_the_device_keeps_the_bits_of_what_was_not_a_number():
    model = nn.BatchNorm1d(2)
    model.running_mean.copy_(torch.tensor([torch.nan, -0.0]))
    optimizer = SAM(model.parameters(), lr=0.05, model=model)
    bits = model.running_mean.view(torch.int32).clone()
    _step(optimizer, model, torch.full((4, 2), torch.nan), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(model.running_mean.view(torch.int32), bits)
