"""A ``PyroModule`` whose parameters belong to it alone."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import pyro
from pyro.nn import PyroModule
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.trace_messenger import TraceMessenger
from torch import nn

from pyro_vmm.process_lock import PROCESS_LOCK

_Method = TypeVar("_Method", bound=Callable[..., Any])


class LocalPyroModule(PyroModule):
    """A ``PyroModule`` that keeps its parameters out of Pyro's global store.

    Calling an ordinary ``PyroModule`` copies its parameters into one process-wide store under their names; a second
    module with the same names then silently reads the first one's values. Here the same ``pyro.param`` statements are
    made (``poutine.trace`` and ``render_model`` see them under the names of ``named_parameters()``, with Pyro's
    ``$$$`` after the name of a part that is a plain torch module), but each instance owns its values. Pyro's switch
    for this, ``module_local_params``, is global: it is set only while an instance is built or called.

    ``pyro.infer.SVI`` trains such modules: what it finds in its trace are their own parameters. Its ``pyro.optim``
    optimisers learn their names, as ``named_parameters()`` has them, so that ``optim_args`` may be a function of the name.
    """

    def __init__(self, name: str = "") -> None:
        with PROCESS_LOCK, pyro.settings.context(module_local_params=True):
            super().__init__(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward`` with this instance's own parameters."""
        with self.own_parameters():
            return super().__call__(*args, **kwargs)

    @contextmanager
    def own_parameters(self) -> Iterator[None]:
        """Make ``pyro.param`` statements of this instance's parameters inside the block."""
        # Both the handlers and the setting are the process'.
        with PROCESS_LOCK:
            if any(isinstance(handler, UnstatedParameters) for handler in _PYRO_STACK):
                yield
                return
            context = self._pyro_context
            # Entered under the global setting, so that Pyro does not empty the global store in the meantime, which may hold
            # the parameters of the user's own guide.
            with pyro.settings.context(module_local_params=False):
                context.__enter__()
            try:
                self._introduce_parameters()
                with pyro.settings.context(module_local_params=True):
                    yield
            finally:
                with pyro.settings.context(module_local_params=False):
                    context.__exit__(None, None, None)

    def _introduce_parameters(self) -> None:
        """Give parameters what Pyro asks of those in a trace: the attribute ``unconstrained``, and a name if it trains them."""
        if not _PYRO_STACK:
            return
        trains = any(isinstance(handler, TraceMessenger) and handler.param_only for handler in _PYRO_STACK)
        names = pyro.get_param_store()._param_to_name
        for name, parameter in self.named_parameters():
            if getattr(parameter, "unconstrained", None) is None:
                parameter.unconstrained = Unconstrained(parameter)
            if trains:
                names.setdefault(parameter, name)


def with_own_parameters(method: _Method) -> _Method:
    """Decorate a method so that it makes the ``pyro.param`` statements that a call of the module makes."""

    @wraps(method)
    def stated(self: LocalPyroModule, *args: Any, **kwargs: Any) -> Any:
        with self.own_parameters():
            return method(self, *args, **kwargs)

    return cast(_Method, stated)


class UnstatedParameters(Messenger):
    """Inside it methods make no ``pyro.param`` statements, which cost more than a small network does.

    For a training loop that has the parameters at hand.
    """


class Unconstrained(weakref.ref[nn.Parameter]):
    """The weak reference that Pyro expects at a parameter; it is left out where the parameter is pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()
