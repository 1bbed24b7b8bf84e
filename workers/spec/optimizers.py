"""The optimizers that a specification can name.

A plain name stands for an optimizer with its defaults: ``sam`` is ``{name: sam}``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from workers.spec.library_signatures import FAMILIES
from workers.spec.sharpness_aware import ASAM, GSAM, SAM, SAMON, FriendlySAM, LookSAM
from workers.spec.stepping_optimizers import (
    MSGD,
    SASAM,
    SASGD,
    SOAP,
    Adam,
    AdamW,
    FamilyOptimizer,
    Lion,
    Muon,
    NAdamW,
    OptimizerSection,
    PluginOptimizer,
    Prodigy,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    name_of,
)

__all__ = ["VARIANTS", "OptimizerSpec"]

VARIANTS: dict[str, type[OptimizerSection]] = {
    "sa-sam": SASAM,
    "sam": SAM,
    "sa-sgd": SASGD,
    "msgd": MSGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadamw": NAdamW,
    "muon": Muon,
    "lion": Lion,
    "soap": SOAP,
    "schedule-free-adamw": ScheduleFreeAdamW,
    "schedule-free-sgd": ScheduleFreeSGD,
    "prodigy": Prodigy,
    "asam": ASAM,
    "gsam": GSAM,
    "friendly-sam": FriendlySAM,
    "looksam": LookSAM,
    "sam-on": SAMON,
    "family": FamilyOptimizer,
    "plugin": PluginOptimizer,
}
"""Section of each built-in optimizer by name, of families, and of all others."""


def _variant(value: object) -> str:
    """Key in ``VARIANTS`` of an entry of the list."""
    name = name_of(value)
    if not isinstance(name, str):
        return "plugin"
    if name.partition(":")[0] in FAMILIES and ":" in name:
        return "family"
    return name if name in VARIANTS and name not in ("family", "plugin") else "plugin"


OptimizerSpec = Annotated[
    Annotated[SASAM, Tag("sa-sam")]
    | Annotated[SAM, Tag("sam")]
    | Annotated[SASGD, Tag("sa-sgd")]
    | Annotated[MSGD, Tag("msgd")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[NAdamW, Tag("nadamw")]
    | Annotated[Muon, Tag("muon")]
    | Annotated[Lion, Tag("lion")]
    | Annotated[SOAP, Tag("soap")]
    | Annotated[ScheduleFreeAdamW, Tag("schedule-free-adamw")]
    | Annotated[ScheduleFreeSGD, Tag("schedule-free-sgd")]
    | Annotated[Prodigy, Tag("prodigy")]
    | Annotated[ASAM, Tag("asam")]
    | Annotated[GSAM, Tag("gsam")]
    | Annotated[FriendlySAM, Tag("friendly-sam")]
    | Annotated[LookSAM, Tag("looksam")]
    | Annotated[SAMON, Tag("sam-on")]
    | Annotated[FamilyOptimizer, Tag("family")]
    | Annotated[PluginOptimizer, Tag("plugin")],
    Discriminator(_variant),
]
