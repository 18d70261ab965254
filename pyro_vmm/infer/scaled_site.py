"""A sample site whose log-density counts more or less."""

from typing import Any

from pyro.poutine.messenger import Messenger


class ScaleSite(Messenger):
    """Multiplies the log-density of the sample site ``name`` (in model and guide alike) by ``factor``."""

    def __init__(self, name: str, factor: float) -> None:
        super().__init__()
        self.name, self.factor = name, factor

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.name:
            msg["scale"] = msg["scale"] * self.factor
