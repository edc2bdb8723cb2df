"""Versions and the kind of hardware. Besides the settings, the bits of a run depend on them."""

import torch

from al_lightning.version import __version__


def versions(device: torch.device) -> dict[str, str]:
    """Returns the versions and the hardware of rounds on a device, by name."""
    cpu = torch.backends.cpu.get_cpu_capability()  # the vector instructions that torch's kernels use
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {cpu}"
    return {"al-lightning": __version__, "torch": torch.__version__, "hardware": hardware}
