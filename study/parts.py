"""The parts of the study: a specification each, and what to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FIGURES", "IMAGES_VARIABLE", "PARTS", "RECORDS", "REPORT", "Part"]

_ROOT = Path(__file__).parents[1]
_SPECIFICATIONS = Path(__file__).with_name("specifications")

RECORDS = _ROOT / "docs" / "reproduction"
"""Folder of the records."""
FIGURES = _ROOT / "docs" / "images"
"""Folder of the figures."""
REPORT = _ROOT / "docs" / "reproduction.md"
IMAGES_VARIABLE = "SASAM_STUDY_DATA"
"""Names an ``.npz`` with ``train_x``, ``train_y``, ``test_x``, ``test_y`` of CIFAR-10."""


@dataclass(frozen=True, slots=True)
class Part:
    """One sweep of the study.

    Attributes:
        name: Of its specification and its record.
        title: In tables.
        tests_claims: Whether it has the five optimizers of the paper.
        needs_images: Whether it needs the file that ``SASAM_STUDY_DATA`` names.
        figures: Figures of the sweep that the report shows.
        folder: Of its specification.
    """

    name: str
    title: str
    tests_claims: bool = True
    needs_images: bool = False
    figures: tuple[str, ...] = ()
    folder: Path = _SPECIFICATIONS

    @property
    def specification(self) -> Path:
        """The file of its specification."""
        return self.folder / f"{self.name}.yaml"

    @property
    def figure_files(self) -> dict[str, str]:
        """Name of the file of each figure."""
        return {figure: f"study-{self.name}-{figure}.svg" for figure in self.figures}


PARTS = (
    Part("digits", "small CNN, digits", figures=("lr-curves", "trace-heatmap")),
    Part("vgg", "slim VGG-11, CIFAR-10 subset", needs_images=True, figures=("lr-curves",)),
    Part("vit", "slim ViT, CIFAR-10 subset", needs_images=True, figures=("lr-curves",)),
    Part("digits-variants", "variants, small CNN, digits", tests_claims=False),
)
