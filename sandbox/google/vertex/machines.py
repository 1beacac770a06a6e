"""Which machines, and which accelerators on them, Vertex AI has for predictions and for custom jobs.

Sources: "Configure compute resources for inference" (machine types, built-in GPUs, valid numbers of GPUs for each
machine type), "Configure compute resources for serverless training" (machine types), "Serve Gemma open models using
TPUs" (TPUs are only available in us-west1), and the reference of MachineSpec (which count of built-in GPUs may be
asked for). Which region has which GPU is in a table that was not to be had, and is not checked. The refusals' texts are
ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Sizes = Mapping[str, str]


def _names(sizes: Sizes) -> frozenset[str]:
    return frozenset(f"{family}-{size}" for family, given in sizes.items() for size in given.split())


_ACCELERATED: Sizes = {
    "a2-highgpu": "1g 2g 4g 8g",
    "a2-megagpu": "16g",
    "a2-ultragpu": "1g 2g 4g 8g",
    "a3-highgpu": "1g 2g 4g 8g",
    "a3-ultragpu": "8g",
    "a4-highgpu": "8g",
    "a4x-highgpu": "4g",
    "g2-standard": "4 8 12 16 24 32 48 96",
    "g4-standard": "48 96 192 384",
    "ct5lp-hightpu": "1t 4t 8t",
}
PREDICTION = _names(
    {
        **_ACCELERATED,
        "a3-edgegpu": "8g",
        "e2-standard": "2 4 8 16 32",
        "e2-highmem": "2 4 8 16",
        "e2-highcpu": "2 4 8 16 32",
        "n1-standard": "2 4 8 16 32",
        "n1-highmem": "2 4 8 16 32",
        "n1-highcpu": "4 8 16 32",
        "n2-standard": "2 4 8 16 32 48 64 80 96 128",
        "n2-highmem": "2 4 8 16 32 48 64 80 96 128",
        "n2-highcpu": "2 4 8 16 32 48 64 80 96",
        "n2d-standard": "2 4 8 16 32 48 64 80 96 128 224",
        "n2d-highmem": "2 4 8 16 32 48 64 80 96",
        "n2d-highcpu": "2 4 8 16 32 48 64 80 96 128 224",
        "c2-standard": "4 8 16 30 60",
        "c2d-standard": "2 4 8 16 32 56 112",
        "c2d-highcpu": "2 4 8 16 32 56 112",
        "c2d-highmem": "2 4 8 16 32 56 112",
        "c3-highcpu": "4 8 22 44 88 176",
    }
)
TRAINING = _names(
    {
        **_ACCELERATED,
        "a3-megagpu": "8g",
        "e2-standard": "4 8 16 32",
        "e2-highmem": "2 4 8 16",
        "e2-highcpu": "16 32",
        "n4-standard": "2 4 8 16 32 48 64 80",
        "n4-highmem": "2 4 8 16 32 48 64 80",
        "n4-highcpu": "2 4 8 16 32 48 64 80",
        "n2-standard": "4 8 16 32 48 64 80",
        "n2-highmem": "2 4 8 16 32 48 64 80",
        "n2-highcpu": "16 32 48 64 80",
        "n1-standard": "4 8 16 32 64 96",
        "n1-highmem": "2 4 8 16 32 64 96",
        "n1-highcpu": "16 32 64 96",
        "c2-standard": "4 8 16 30 60",
        "m1-ultramem": "40 80 160",
        "m1-megamem": "96",
    }
) | {"cloud-tpu"}

# By the machine's family: what is built in, and how many of it by size.
_BUILT_IN: dict[str, tuple[str, Mapping[str, int]]] = {
    "a2-highgpu": ("NVIDIA_TESLA_A100", {"1g": 1, "2g": 2, "4g": 4, "8g": 8}),
    "a2-megagpu": ("NVIDIA_TESLA_A100", {"16g": 16}),
    "a2-ultragpu": ("NVIDIA_A100_80GB", {"1g": 1, "2g": 2, "4g": 4, "8g": 8}),
    "a3-highgpu": ("NVIDIA_H100_80GB", {"1g": 1, "2g": 2, "4g": 4, "8g": 8}),
    "a3-edgegpu": ("NVIDIA_H100_80GB", {"8g": 8}),
    "a3-megagpu": ("NVIDIA_H100_MEGA_80GB", {"8g": 8}),
    "a3-ultragpu": ("NVIDIA_H200_141GB", {"8g": 8}),
    "a4-highgpu": ("NVIDIA_B200", {"8g": 8}),
    "a4x-highgpu": ("NVIDIA_GB200", {"4g": 4}),
    "g2-standard": ("NVIDIA_L4", {"4": 1, "8": 1, "12": 1, "16": 1, "24": 2, "32": 1, "48": 4, "96": 8}),
    "g4-standard": ("NVIDIA_RTX_PRO_6000", {"48": 1, "96": 2, "192": 4, "384": 8}),
}
# Of the N1 machines by their number of processors; V100 has rules of its own.
_OPTIONAL = {"NVIDIA_TESLA_P100", "NVIDIA_TESLA_P4", "NVIDIA_TESLA_T4"}


def _optional(accelerator: str, processors: int) -> tuple[int, ...]:
    if accelerator == "NVIDIA_TESLA_V100":
        return (4, 8) if processors >= 32 else (2, 4, 8) if processors == 16 else (1, 2, 4, 8)
    if accelerator in _OPTIONAL:
        return (2, 4) if processors >= 32 else (1, 2, 4)
    return ()


def problems(spec: Mapping[str, Any], at: str, location: str, *, training: bool = False) -> list[tuple[str, str]]:
    """What of a MachineSpec cannot be had in a location, with the fields it is about."""
    machine = str(spec.get("machineType", ""))
    if machine not in (TRAINING if training else PREDICTION):
        use = "custom training" if training else "prediction"
        return [(f"{at}.machine_type", f'Machine type "{machine}" is not supported for {use}.')]
    family, _, size = machine.rpartition("-")
    if family == "ct5lp-hightpu" and location != "us-west1":
        text = f'Machine type "{machine}" is not available in {location}: TPUs are only available in us-west1.'
        return [(f"{at}.machine_type", text)]
    accelerator, count = str(spec.get("acceleratorType", "")), int(spec.get("acceleratorCount", 0))
    if accelerator in ("", "ACCELERATOR_TYPE_UNSPECIFIED"):
        if count:
            return [(f"{at}.accelerator_count", "It needs an accelerator_type.")]
        return []
    if family in _BUILT_IN:
        built_in, sizes = _BUILT_IN[family]
        if accelerator != built_in:
            text = f'Machine type "{machine}" has {built_in}, not {accelerator}.'
            return [(f"{at}.accelerator_type", text)]
        valid: tuple[int, ...] = tuple(range(1, sizes[size] + 1))
    else:
        valid = _optional(accelerator, int(size)) if family.startswith("n1-") else ()
        if not valid:
            text = f'Accelerator "{accelerator}" is not supported on machine type "{machine}".'
            return [(f"{at}.accelerator_type", text)]
    if count not in valid:
        text = (
            f'{count} of {accelerator} are not supported on machine type "{machine}": {", ".join(map(str, valid))} are.'
        )
        return [(f"{at}.accelerator_count", text)]
    return []
