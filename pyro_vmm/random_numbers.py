"""Whose random numbers torch's global generators give, and for how long."""

from types import TracebackType

import torch
from torch import Tensor

from pyro_vmm.process_lock import PROCESS_LOCK

CPU = torch.device("cpu")


class RandomNumbers:
    """Inside ``with``, draws come from torch's global generators as they are, and from this thread alone.

    Parameters
    ----------
    device
        Where draws are made, next to those on the CPU.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self.device = device

    def __enter__(self) -> None:
        PROCESS_LOCK.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        PROCESS_LOCK.__exit__(kind, error, trace)

    def state(self) -> dict[str, Tensor]:
        """States of the generators by the kind of their device, ``"cpu"`` and perhaps ``"cuda"``."""
        return {kind: generator.get_state() for kind, generator in self._generators().items()}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave; a device that it does not name goes on as it is."""
        for kind, generator in self._generators().items():
            if kind in state:
                generator.set_state(state[kind].cpu())

    def _generators(self) -> dict[str, torch.Generator]:
        """Those of the CPU and of the one CUDA device in use: ``torch.manual_seed`` would seed every device there is."""
        generators = {"cpu": torch.default_generator}
        if self.device.type == "cuda":
            torch.cuda.init()
            index = torch.cuda.current_device() if self.device.index is None else self.device.index
            generators["cuda"] = torch.cuda.default_generators[index]
        return generators


class OwnRandomNumbers(RandomNumbers):
    """Inside ``with``, draws come from a seed of one's own; torch's global generators are afterwards as they were.

    Entered again, it goes on from where it was left. No other generator than the CPU's and the device's is touched.

    Parameters
    ----------
    seed
        Decides every draw.
    device
        As for :class:`RandomNumbers`.
    """

    def __init__(self, seed: int, device: torch.device = CPU) -> None:
        super().__init__(device)
        self._seed = seed
        self._own: dict[str, Tensor] | None = None
        self._others: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        super().__enter__()
        try:
            self._others = super().state()
            if self._own is None:
                for generator in self._generators().values():
                    generator.manual_seed(self._seed)
            else:
                super().set_state(self._own)
        except BaseException as error:
            super().__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._own = super().state()
            super().set_state(self._others)
        finally:
            super().__exit__(kind, error, trace)

    def state(self) -> dict[str, Tensor]:
        """As :meth:`RandomNumbers.state`, outside of ``with``."""
        if self._own is None:
            with self:
                pass
        assert self._own is not None
        return self._own

    def set_state(self, state: dict[str, Tensor]) -> None:
        """As :meth:`RandomNumbers.set_state`, outside of ``with``."""
        self._own = self.state() | {kind: values for kind, values in state.items() if kind in self.state()}
