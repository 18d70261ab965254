"""Settings of the process that users change, and that a fit must not depend on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import nn

from pyro_vmm.process_lock import PROCESS_LOCK

P = ParamSpec("P")
Modules = TypeVar("Modules", bound=tuple[nn.Module, ...])


@contextmanager
def gradients_on() -> Iterator[None]:
    """Record gradients inside the block, whatever ``torch.set_grad_enabled`` and ``torch.inference_mode`` say outside."""
    if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def usual_settings() -> Iterator[None]:
    """Inside the block, settings that belong to a thread are as after a fresh start.

    Gradients are on, tensors are made on the CPU, autocast is off, and NumPy does not raise. A decorator, too.
    """
    with ExitStack() as stack:
        stack.enter_context(gradients_on())
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"))
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside the block, settings are the usual ones, and no other thread replaces a fit. A decorator of queries, too.

    A query looks at a fit in several places: at its networks, at its clusters, at the scale of features.
    """
    with PROCESS_LOCK, usual_settings():
        yield


@contextmanager
def single_precision() -> Iterator[None]:
    """Make new tensors float32 inside the block; the default type belongs to the process, so other threads wait."""
    with PROCESS_LOCK:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def built_in_single_precision(build: Callable[P, Modules]) -> Callable[P, Modules]:
    """Decorate what builds modules: they are float32 whatever the default type; a user's own, made in another, are cast."""

    @wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> Modules:
        usual = torch.get_default_dtype()
        with single_precision():
            modules = build(*args, **kwargs)
        if usual is not torch.float32:
            for module in modules:
                module.float()
        return modules

    return built
