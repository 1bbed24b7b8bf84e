"""Which of timm's networks the service trains and measures, at 32 x 32 pixels and 10 classes.

    python tests/benchmarks/survey_timm.py > docs/models.md

Each network goes through the check before a sweep, then through one trial: an epoch of one SA-SAM
step on 16 images, and the curvature of its loss on 10 images with at most 6 Hessian products.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image

from workers.spec import SpecError, validate_spec
from workers.training import preflight, run_trial
from workers.trial_data import DeviceData, load_trial_data

NETWORKS: dict[str, dict[str, Any]] = {
    name: {}
    for name in (
        *("resnet18", "resnet26", "resnet50", "resnext50_32x4d", "wide_resnet50_2"),
        *("densenet121", "vgg11_bn", "mobilenetv2_050", "mobilenetv3_small_100"),
        *("efficientnet_b0", "efficientnet_lite0", "efficientnetv2_rw_t", "regnetx_002"),
        *("regnety_002", "convnext_atto", "convnext_tiny", "convnextv2_atto", "resmlp_12_224"),
        *("gmixer_12_224", "mixer_s32_224", "gmlp_ti16_224", "coat_tiny", "levit_128s"),
        *("poolformer_s12", "ghostnet_100", "mnasnet_small", "hardcorenas_a", "tinynet_e"),
        *("repvgg_a0", "nfnet_l0", "dm_nfnet_f0", "ese_vovnet19b_dw", "dla34"),
        *("hrnet_w18_small", "inception_v3", "xception41", "edgenext_xx_small", "fastvit_t8"),
        *("efficientformer_l1", "maxvit_tiny_rw_224", "swin_tiny_patch4_window7_224"),
    )
} | {
    "vit_tiny_patch16_224": {"patch_size": 4},
    "deit_tiny_patch16_224": {"patch_size": 4},
}

_HEADER = """# Networks of timm

What `python tests/benchmarks/survey_timm.py` found with timm {timm} and torch {torch} on a CPU, for
images of 3 x 32 x 32 and 10 classes: one training step of SA-SAM and a measurement of curvature,
through the check that every sweep passes before its trials start. "exact" differentiates twice;
"differences" means that torch has no second derivative of the network, which is then measured by
central differences of its gradients (`GradientDifferenceOperator`); each trial then records
`hessian_by_differences` = 1. A refused network is refused before it trains. Larger images (the data
set's `image_size`), other keywords (`model.kwargs`) or `curvature: null` may help.

| `timm:` model | kwargs | parameters | Hessian |
|---|---|---:|---|"""


def main() -> None:
    """Write the table, one row per network; each network runs in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks; all of the list by default")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(survey(arguments.alone), flush=True)
        return
    print(_HEADER.format(timm=timm.__version__, torch=torch.__version__), flush=True)
    for name in arguments.names or NETWORKS:
        command = [sys.executable, __file__, "--alone", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines() or [f"failed: {done.stderr.splitlines()[-1:]}"]
        print(lines[-1], flush=True)


def survey(name: str) -> str:
    """Return the row of one network."""
    torch.set_num_threads(1)
    kwargs = NETWORKS.get(name, {})
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        _write_images(data_dir / "images")
        spec = validate_spec(
            {
                "name": "survey",
                "dataset": {"name": "image-folder", "kwargs": {"path": "images"}},
                "model": {"name": f"timm:{name}", "kwargs": kwargs},
                "optimizers": ["sa-sam"],
                "search": {"learning_rate": [0.001], "weight_decay": [0.0]},
                "training": {"epochs": 1, "batch_size": 16, "augmentation": "none"},
                "curvature": {"images": 10, "splits": ["validation"], "max_matvecs": 3},
            }
        )
        shown = json.dumps(kwargs) if kwargs else ""
        try:
            facts = preflight(spec, data_dir=data_dir, cache_dir=data_dir / "cache")
        except SpecError as error:
            reason = " ".join("; ".join(problem.message for problem in error.problems).split())
            return f"| `{name}` | {shown} | | refused: {reason.replace('|', '/')[:240]} |"
        data = load_trial_data(
            spec.dataset, spec.ood, data_dir=data_dir, cache_dir=data_dir / "cache"
        )
        device_data = DeviceData(data, torch.device("cpu"))
        (record,) = run_trial(spec.trials[0], device_data)
        method = facts.hessian_method
        if record["outcome"] != "completed" or "hessian_trace.validation" not in record:
            method += f", but the trial {record['outcome']}"
        elif record["hessian_by_differences.validation"] != (method == "differences"):
            method += ", but the trial took the other"
        return f"| `{name}` | {shown} | {facts.parameters:,} | {method} |"


def _write_images(folder: Path) -> None:
    """Write noise of 10 classes: 2 images of each to train, 1 to validate."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 2), ("test", 1)):
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / str(label) / f"{index}.png")


if __name__ == "__main__":
    main()
