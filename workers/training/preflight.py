"""Preflight: checks before any trial starts whether a sweep's trials can run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sasam.curvature import HessianMethod
from workers.datasets import DatasetError
from workers.models import build_model, count_parameters, uses_channels_last
from workers.optimizers import build_optimizer
from workers.spec import SpecError, SpecProblem, SweepSpec, TrialConfig
from workers.spec.axes import read_axis
from workers.spec.configuration import thaw_value
from workers.spec.loading import path_text
from workers.training.code_check import require_importable
from workers.training.facts import PreflightFacts
from workers.training.memory import (
    TooLargeError,
    TrialMemory,
    available_bytes,
    estimate_memory,
    gibibytes,
    host_bytes,
    measure_memory,
)
from workers.training.optimizer_checks import check_optimizers
from workers.training.rehearsal import rehearse
from workers.training.trial import autocast_dtype
from workers.trial_data import TrialData, load_trial_data

__all__ = ["preflight"]

log = logging.getLogger(__name__)


def preflight(
    spec: SweepSpec,
    *,
    data_dir: Path,
    cache_dir: Path,
    largest_node_bytes: Callable[[], float] | None = None,
) -> PreflightFacts:
    """Load the data, build every network and every optimizer, and rehearse a trial of each network.

    Missing corrupted images are generated here, once, instead of by the first trials. A network is
    built only if its estimated memory is available. A TPE search is checked by the trials at the
    ends of its axes. An optimizer that is not built in makes two steps and is resumed, see
    `check_conformance`.

    Args:
        spec: The sweep.
        data_dir: Folder with the data sets.
        cache_dir: Folder for subsets and generated images.
        largest_node_bytes: Returns the memory of the cluster's largest node, in bytes; called if
            this machine has too little. None if trials run on this machine.

    Returns:
        Facts about the sweep; notes on the data are also logged as warnings.

    Raises:
        SpecError: The trials cannot run, with the key in the specification and the remedy.
    """
    require_importable(spec)
    trials = spec.trials or spec.corners
    data = _load_data(spec, trials, data_dir=data_dir, cache_dir=cache_dir)
    problems = [*_batch_problems(spec, trials, data)]
    most = max(data.values(), key=lambda found: len(found.train))
    networks = [
        _check_network(spec, of_network, most, problems, largest_node_bytes)
        for of_network in _by_model(trials)
    ]
    if problems:
        raise SpecError(problems)
    largest = max(networks, key=lambda network: network.memory.total)
    methods = {network.hessian_method for network in networks}
    return PreflightFacts(
        hessian_method="differences" if "differences" in methods else methods.pop(),
        parameters=max(network.parameters for network in networks),
        train_images=len(most.train),
        validation_images=len(most.validation),
        ood_images=sum(map(len, most.ood_sets)),
        classes=most.num_classes,
        data_fingerprint=most.fingerprint,
        data_notes=most.notes,
        trial_memory_bytes=largest.memory.total + most.size_bytes,
        optimizers=check_optimizers(spec.optimizers, trials, _build(trials[0], most), most),
    )


def _load_data(
    spec: SweepSpec, trials: Sequence[TrialConfig], *, data_dir: Path, cache_dir: Path
) -> dict[int | None, TrialData]:
    """The data of the trials by ``dataset.train_size``.

    Raises:
        SpecError: Data are missing or damaged, or are fewer images than requested.
    """
    found: dict[int | None, TrialData] = {}
    problems = []
    for trial in {trial.dataset.train_size: trial for trial in trials}.values():
        folders = {"data_dir": data_dir, "cache_dir": cache_dir}
        try:
            data = load_trial_data(trial.dataset, trial.ood, **folders, files=spec.files)
        except DatasetError as absolute:
            # Submitters see the message, but not the machine's paths.
            error = absolute.within(data_dir)
            message = f"{error.problem}; {error.remedy}"
            problem = _problem(spec, trial, error.key, message, spec.dataset.name)
            if problem.path == error.key:
                raise SpecError([problem]) from absolute
            problems.append(problem)
        else:
            found[trial.dataset.train_size] = data
    if problems:
        raise SpecError(problems)
    for note in next(iter(found.values())).notes:
        log.warning("data set %s: %s", spec.dataset.name, note)
    return found


def _problem(
    spec: SweepSpec, trial: TrialConfig, setting: str, message: str, otherwise: object
) -> SpecProblem:
    """A problem of a setting of a trial, at the value of its axis if it is one.

    Args:
        spec: The sweep.
        trial: The trial.
        setting: Dotted path of the setting.
        message: What is wrong and what is allowed.
        otherwise: The value in the message if the setting is no axis.
    """
    if setting not in spec.space(trial.optimizer_label).places:
        return SpecProblem(setting, message, str(otherwise))
    value = read_axis(trial, setting)
    path = path_text(spec.place(trial.optimizer_label, setting, value))
    return SpecProblem(path, message, str(thaw_value(value)))


def _batch_problems(
    spec: SweepSpec, trials: Sequence[TrialConfig], data: Mapping[int | None, TrialData]
) -> Iterator[SpecProblem]:
    """Compare each batch size with the number of training images."""
    known = {(trial.training.batch_size, trial.dataset.train_size): trial for trial in trials}
    for (batch_size, train_size), trial in known.items():
        images = len(data[train_size].train)
        if batch_size > images:
            message = (
                f"at most the {images} training images; make batches smaller or "
                "dataset.train_size larger"
            )
            yield _problem(spec, trial, "training.batch_size", message, batch_size)


@dataclass(frozen=True, slots=True)
class _Network:
    """What the check of a network found."""

    parameters: int
    hessian_method: HessianMethod | None
    memory: TrialMemory


def _by_model(trials: Sequence[TrialConfig]) -> Collection[Sequence[TrialConfig]]:
    """The trials grouped by network."""
    groups: dict[str, list[TrialConfig]] = {}
    texts: dict[int, str] = {}  # trials share their sections
    for trial in trials:
        text = texts.setdefault(id(trial.model), trial.model.model_dump_json())
        groups.setdefault(text, []).append(trial)
    return groups.values()


def _check_network(
    spec: SweepSpec,
    trials: Sequence[TrialConfig],
    data: TrialData,
    problems: list[SpecProblem],
    largest_node_bytes: Callable[[], float] | None,
) -> _Network:
    """Build a network if its estimated memory is available, rehearse it, build its optimizers.

    Args:
        spec: The sweep.
        trials: The trials of the network.
        data: The images, whose shape is used.
        problems: Problems so far, to which those of optimizers and memory are added.
        largest_node_bytes: As for `preflight`.

    Raises:
        SpecError: The network cannot be built, trained or measured.
    """
    try:
        estimate = estimate_memory(trials, data.inputs, value_bytes=_activation_bytes)
    except TooLargeError as error:
        problem = _model_problem(spec, trials[0], f"the network is too large: {error}")
        raise SpecError([*problems, problem]) from error
    if estimate is not None:
        lacking = [*_memory_problems(spec, estimate, largest_node_bytes)]
        if lacking:
            raise SpecError([*problems, *lacking])
    try:
        model = _build(trials[0], data)
        memory = _measure(trials, model, data)
        hessian_method = rehearse(
            model,
            data,
            channels_last=uses_channels_last(trials[0].training, model, torch.device("cpu")),
            measures_curvature=spec.curvature is not None,
        )
    except ValueError as error:
        raise SpecError([*problems, _model_problem(spec, trials[0], str(error))]) from error
    problems += [
        *_optimizer_problems(spec, trials, model),
        *_memory_problems(spec, memory, largest_node_bytes),
    ]
    return _Network(count_parameters(model), hessian_method, memory)


def _build(trial: TrialConfig, data: TrialData) -> nn.Module:
    """Build the network of a trial."""
    return build_model(trial.model, files=trial.files, **data.inputs.network_arguments)


def _model_problem(spec: SweepSpec, trial: TrialConfig, message: str) -> SpecProblem:
    """A problem of a network, at the value of its axis if one alone decides it."""
    label = trial.optimizer_label
    axes = [axis for axis in spec.axes(label) if axis.startswith("model.")]
    if len(axes) == 1:
        return _problem(spec, trial, axes[0], message, spec.model.name)
    values = "".join(f", {axis} {trial.values_of([axis])[axis]}" for axis in axes)
    return SpecProblem("model", message, f"{spec.model.name}{values}")


def _optimizer_problems(
    spec: SweepSpec, trials: Sequence[TrialConfig], model: nn.Module
) -> Iterator[SpecProblem]:
    """Build every optimizer of the trials; yield the first problem."""
    known = {
        (id(trial.optimizer), trial.learning_rate, trial.weight_decay): trial for trial in trials
    }  # trials share their sections
    for trial in known.values():
        try:
            build_optimizer(trial, model)
        except ValueError as error:
            position = spec.labels.index(trial.optimizer_label)
            yield SpecProblem(f"optimizers[{position}]", str(error), trial.optimizer.name)
            return


def _memory_problems(
    spec: SweepSpec, memory: TrialMemory, largest_node_bytes: Callable[[], float] | None
) -> Iterator[SpecProblem]:
    """Compare a trial's memory with the machine's, before the operating system kills the trial."""
    available: float = available_bytes(spec.resources)
    if memory.total > available and largest_node_bytes is not None:
        available = max(available, largest_node_bytes())
    if memory.weights > host_bytes():  # the network is built on the host first
        available = min(available, host_bytes())
    if memory.total <= available:
        return
    trial = memory.trial
    message = (
        f"a trial needs at least {memory}, available are {gibibytes(available)}; make batches or "
        "the network smaller"
    )
    if memory.activations > memory.total - memory.activations:
        batch_size = trial.training.batch_size
        yield _problem(spec, trial, "training.batch_size", message, batch_size)
    else:
        yield _model_problem(spec, trial, message)


def _activation_bytes(trial: TrialConfig) -> int:
    """Bytes of one value of an activation in training."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = autocast_dtype(trial.training.precision, device)
    return torch.float32.itemsize if dtype is None else dtype.itemsize


def _measure(trials: Sequence[TrialConfig], model: nn.Module, data: TrialData) -> TrialMemory:
    """Measure the memory of trials with a forward pass over two examples of zeros.

    Raises:
        ValueError: The network cannot take the images, or does not have one output per class.
    """
    inputs = data.inputs
    outputs: list[Any] = []
    hook = model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    try:
        zeros = inputs.zeros(2)
        memory = measure_memory(trials, model.train(), zeros, value_bytes=_activation_bytes)
    except Exception as error:  # the network may be of any library
        what = f"{inputs.noun} of {inputs.size}"
        raise ValueError(f"the network cannot take {what}: {error}") from error
    finally:
        hook.remove()
    logits = outputs[-1]
    if not isinstance(logits, Tensor) or logits.shape != inputs.logits_shape(2):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the network returns {got} in training for 2 {inputs.noun} of"
            f" {inputs.num_classes} classes"
        )
    return memory
