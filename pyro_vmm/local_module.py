"""A ``PyroModule`` whose parameters belong to it alone."""

from typing import Any

import pyro
from pyro.nn import PyroModule


class LocalPyroModule(PyroModule):
    """A ``PyroModule`` that keeps its parameters out of Pyro's global store.

    Calling an ordinary ``PyroModule`` copies its parameters into one process-wide store under their names; a second
    module with the same names then silently reads the first one's values. Here the same ``pyro.param`` statements are
    made (``poutine.trace`` and ``render_model`` see them under the names of ``named_parameters()``, with Pyro's
    ``$$$`` after the name of a part that is a plain torch module), but each instance owns its values. Pyro's switch
    for this, ``module_local_params``, is global: it is set only while an instance is built or called.

    When not to use: with ``pyro.infer.SVI``, which reads the global store. Use
    :class:`pyro_vmm.infer.EmpiricalBayesSVI`, or a ``torch.optim`` optimiser on ``Trace_ELBO()(model, guide)``.
    """

    def __init__(self, name: str = "") -> None:
        with pyro.settings.context(module_local_params=True):
            super().__init__(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward`` with this instance's own parameters."""
        with pyro.settings.context(module_local_params=True):
            return super().__call__(*args, **kwargs)
