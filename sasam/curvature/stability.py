"""How near an optimizer is to the edge of stability: its step size times curvature over a limit.

On a quadratic loss with Hessian H, an optimizer that multiplies its momentum by D = diag(step
sizes) diverges along the leading eigenvector when

    lambda_max(D H) > c

    gradient descent             D = eta                          c = 2
    momentum beta                D = eta (1 - dampening)          c = 2 + 2 beta
    Nesterov's momentum beta     D = eta                          c = (2 + 2 beta) / (1 + 2 beta)
    Adam, AdamW                  D = eta P^-1                     c = (2 + 2 beta_1) / (1 - beta_1)

    P = (1 - beta_1^t) (sqrt(v_t / (1 - beta_2^t)) + eps)         c = 38 where beta_1 = 0.9

The stability ratio is lambda_max(D H) / c: full-batch training raises it to about 1 and holds it.
H is the Hessian of the loss alone: weight decay, which shifts its spectrum by lambda, is left out.
For SA-SGD and SA-SAM, eta is the step size of the last step. The gradient of SAM's line is taken at
perturbed weights, which lowers the limit (Long & Bartlett 2024, "Sharpness-aware minimization and
the edge of stability"); the ratio is to the limit of its descent step, so it stays below 1.

Sources: Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of
stability", section 2 (gradient descent, Polyak and Nesterov momentum); Cohen et al. 2022, "Adaptive
gradient methods at the edge of stability" (arXiv 2207.14484), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from sasam.curvature.eigenvalues import estimate_extremal_eigenvalues
from sasam.curvature.operators import SymmetricOperator
from sasam.optimizers import SAM, SASAM, SASGD, SharpnessAware

__all__ = [
    "PreconditionedOperator",
    "StabilityCondition",
    "StabilityRatio",
    "UnknownStabilityError",
    "estimate_stability_ratio",
    "stability_condition",
]


class UnknownStabilityError(ValueError):
    """The stability limit of an optimizer is not known; the message has the reason."""


@dataclass(frozen=True, slots=True)
class StabilityCondition:
    """Steps are stable on a quadratic loss while lambda_max(D H) is at most the limit.

    Attributes:
        step_sizes: The diagonal of D, shape (weights,), all at least 0.
        limit: c.
    """

    step_sizes: Tensor
    limit: float


@dataclass(frozen=True, slots=True)
class StabilityRatio:
    """The stability ratio of an optimizer.

    Attributes:
        value: lambda_max(D H) / c; NaN if a product was not finite.
        scaled_lambda_max: lambda_max(D H), eta times the (preconditioned) sharpness.
        limit: c.
        matvecs: Products with H.
        converged: Whether the eigenvalue is within its tolerance.
    """

    value: float
    scaled_lambda_max: float
    limit: float
    matvecs: int
    converged: bool


class PreconditionedOperator:
    """D^(1/2) A D^(1/2), which is symmetric and has the eigenvalues of D A.

    Args:
        operator: The symmetric operator A.
        diagonal: D, shape (size,), at least 0.
    """

    def __init__(self, operator: SymmetricOperator, diagonal: Tensor) -> None:
        self._operator = operator
        self._root = diagonal.to(operator.device, operator.dtype).sqrt()
        self.size, self.dtype, self.device = operator.size, operator.dtype, operator.device

    def matvec(self, vector: Tensor, /) -> Tensor:
        """Return its product with a vector of shape (size,)."""
        return self._root * self._operator.matvec(self._root * vector)


def estimate_stability_ratio(
    operator: SymmetricOperator,
    optimizer: Optimizer,
    model: nn.Module,
    *,
    tolerance: float = 1e-3,
    max_matvecs: int = 200,
    seed: int = 0,
) -> StabilityRatio:
    """Compare the step sizes of an optimizer with the curvature that they can bear.

    Args:
        operator: The Hessian of the loss at the weights of `model`, such as `HessianOperator`.
        optimizer: The optimizer of `model`, in its present state.
        model: The network.
        tolerance: Relative error of the eigenvalue, in (0, 1).
        max_matvecs: The most products with the Hessian, at least 3.
        seed: Seed of the random start.

    Raises:
        UnknownStabilityError: The limit of this optimizer is not known.
        ValueError: A number is out of its range, or the operator has another size.

    Example:
        >>> import torch
        >>> from sasam.curvature import HessianOperator, estimate_stability_ratio
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> batch = torch.tensor([[2.0]]), torch.tensor([[0.0]])  # L(w) = (2 w)^2, H = 8
        >>> hessian = HessianOperator(model, torch.nn.functional.mse_loss, [batch])
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> round(estimate_stability_ratio(hessian, optimizer, model).value, 3)  # 0.1 * 8 / 2
        0.4
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    condition = stability_condition(optimizer, parameters)
    if len(condition.step_sizes) != operator.size:
        raise ValueError(
            f"the operator has size {operator.size}, the model {len(condition.step_sizes)} "
            "trainable weights"
        )
    ends = estimate_extremal_eigenvalues(
        PreconditionedOperator(operator, condition.step_sizes),
        tolerance=tolerance,
        max_matvecs=max_matvecs,
        ends="largest",
        seed=seed,
    )
    return StabilityRatio(
        value=ends.lambda_max / condition.limit,
        scaled_lambda_max=ends.lambda_max,
        limit=condition.limit,
        matvecs=ends.matvecs,
        converged=ends.converged,
    )


def stability_condition(
    optimizer: Optimizer, parameters: Sequence[nn.Parameter]
) -> StabilityCondition:
    """Return the condition under which the steps of an optimizer are stable.

    Args:
        optimizer: The optimizer; one of SAM's line counts as its base optimizer.
        parameters: The weights, in the order of the diagonal.

    Raises:
        UnknownStabilityError: It is not known: another optimizer, groups with different momentum,
            `maximize`, no step yet (Adam), or weights that it does not train.
    """
    if isinstance(optimizer, SharpnessAware):
        optimizer = optimizer.base
    if type(optimizer) not in (SGD, Adam, AdamW, SAM, SASGD, SASAM):
        raise UnknownStabilityError(f"the stability limit of {type(optimizer).__name__} is unknown")
    group_of = {p: group for group in optimizer.param_groups for p in group["params"]}
    if any(p not in group_of for p in parameters):
        raise UnknownStabilityError("the optimizer does not train all weights")
    groups = [group_of[p] for p in parameters]
    if any(group.get("maximize", False) for group in groups):
        raise UnknownStabilityError("the optimizer maximizes the loss")
    limits = {_limit(optimizer, group) for group in groups}
    if len(limits) != 1:
        raise UnknownStabilityError("groups of weights have different momentum")
    sizes = [
        _step_sizes(optimizer, group, p).to(p.dtype).expand(p.shape).flatten()
        for p, group in zip(parameters, groups, strict=True)
    ]
    return StabilityCondition(torch.cat(sizes), limits.pop())


def _limit(optimizer: Optimizer, group: dict[str, object]) -> float:
    """The limit c of a group."""
    if isinstance(optimizer, Adam):  # AdamW is one
        beta = float(group["betas"][0])  # type: ignore[index]  # a pair
        return (2 + 2 * beta) / (1 - beta)
    beta = float(group.get("momentum", 0.0))  # type: ignore[arg-type]  # a number
    return (2 + 2 * beta) / (1 + 2 * beta if group.get("nesterov", False) else 1)


@torch.no_grad()
def _step_sizes(optimizer: Optimizer, group: dict[str, object], parameter: nn.Parameter) -> Tensor:
    """The diagonal of D at one parameter, of its shape or a scalar."""
    lr = torch.as_tensor(group["lr"], dtype=torch.float64, device=parameter.device)
    if isinstance(optimizer, SASGD | SASAM):
        lr = lr * (optimizer.step_size / float(optimizer.param_groups[0]["lr"]))
    if not isinstance(optimizer, Adam):
        momentum, dampening = group.get("momentum", 0.0), group.get("dampening", 0.0)
        return lr * (1 - float(dampening)) if momentum else lr  # type: ignore[arg-type]
    state = optimizer.state.get(parameter)
    if not state:
        raise UnknownStabilityError("Adam has not made a step yet")
    beta_1, beta_2 = group["betas"]  # type: ignore[misc]  # a pair
    step = float(state["step"])
    second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].double()
    root = (second / (1 - beta_2**step)).sqrt() + group["eps"]  # type: ignore[has-type]
    found: Tensor = lr / ((1 - math.pow(beta_1, step)) * root)  # type: ignore[has-type]
    return found
