"""In which arithmetic a processor is quick."""

from __future__ import annotations

import torch


def has_bf16(device: torch.device) -> bool:
    """True if the processor computes in bf16 natively (without it, bf16 on a CPU is slower than fp32)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
