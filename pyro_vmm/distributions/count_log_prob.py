"""Log-probabilities of sparse counts: most of the work is done only where a count is not zero.

A distribution of counts describes itself by a :class:`CountFormula`. :func:`count_log_prob` takes a cheap pass over
all entries which is right at the common zeros, redoes the others in double precision, and hands autograd the
derivatives found on the way. Where numba is installed, a compiled kernel does the same in a third of the time.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pyro_vmm.shapes import Float, Real

CompiledPass = Callable[[Tensor, Sequence[Tensor], Sequence[Tensor]], Tensor | None]
"""As :func:`~pyro_vmm.distributions.compiled_pass.compiled_negative_binomial`."""

ValueAndPartials = tuple[Tensor, tuple[Tensor, ...]]
"""A log-probability and its derivative with respect to each parameter; no derivatives where none were asked for."""

# Elements worked on at once by each thread of a CPU, to bound the memory of some twenty temporaries: few in the cheap pass,
# whose pages might else be handed back to the operating system; more of the special ones, whose many operations are short.
_PIECE, _SPECIAL_PIECE = 2**16, 2**18


class CountFormula(Protocol):
    """The mathematics of one distribution of counts; all arguments are floating tensors of one common 1-d shape."""

    @property
    def compiled(self) -> CompiledPass | None:
        """A compiled pass over all entries, where there is one; it may decline, or leave some entries to the methods below."""
        ...

    def at_common_zero(self, *parameters: Tensor, with_partials: bool) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Log-probability of the count zero, its partial derivatives, and (not zero) where not to trust them.

        Called once on everything, so it should be cheap; in the parameters' own dtype (float32 or float64). The
        tensors it returns are written into.
        """
        ...

    def at_doubtful_zero(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """Log-probability of the count zero and its partial derivatives, for any parameters."""
        ...

    def at_one(self, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """Log-probability of the count one and its partial derivatives."""
        ...

    def above_one(self, count: Tensor, *parameters: Tensor, with_partials: bool) -> ValueAndPartials:
        """Log-probability of other counts and its partial derivatives."""
        ...

    def differentiable_partials(self, count: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """Partial derivatives at any count, in operations which autograd can differentiate again."""
        ...


def count_log_prob(
    formula: CountFormula, value: Real[Tensor, "*#shape"], *parameters: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """Log-probability of counts, differentiable in the parameters (twice and more), not in the counts.

    Parameters
    ----------
    formula
        The distribution's mathematics.
    value
        Counts, of any numeric dtype, any shape broadcastable with the parameters'.
    *parameters
        Floating tensors of broadcastable shapes.

    Returns
    -------
    Tensor
        The broadcast shape; dtype as torch promotes the parameters' and a floating value's.
    """
    dtype = parameters[0].dtype
    for tensor in (value, *parameters[1:]):
        if tensor.is_floating_point():
            dtype = torch.promote_types(dtype, tensor.dtype)
    value, *expanded = torch.broadcast_tensors(value, *parameters)
    with_partials = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in expanded)
    # Also without gradients: torch.jit.trace calls a Function anew, but would freeze which counts are not zero here.
    result: Tensor = _CountLogProb.apply(formula, dtype, with_partials, value, *expanded)[0]
    return result


def _double(device: torch.device) -> torch.dtype:
    """Double precision, except on Apple's GPUs, which have none."""
    return torch.float32 if device.type == "mps" else torch.float64


def _evaluate(
    formula: CountFormula, dtype: torch.dtype, value: Tensor, parameters: list[Tensor], *, with_partials: bool
) -> tuple[Tensor, ...]:
    """Log-probability, then its partial derivatives if asked for; all of value's shape and of the given dtype."""
    results = [value.new_empty(value.numel(), dtype=dtype) for _ in range(1 + len(parameters) * with_partials)]
    left = formula.compiled(value, parameters, results) if formula.compiled else None
    if left is None or len(left):
        sources = [value.reshape(-1), *(parameter.reshape(-1) for parameter in parameters)]
        left = _all_as_common_zeros(formula, sources, results) if left is None else left
        for index in _pieces(left, _SPECIAL_PIECE):
            _at_special_counts(formula, sources, results, index)
    return tuple(result.view(value.shape) for result in results)


def _all_as_common_zeros(formula: CountFormula, sources: list[Tensor], results: list[Tensor]) -> Tensor:
    """Write everywhere what is right at common zeros; returns the indices at which it is not."""
    special = torch.empty_like(sources[0], dtype=torch.bool)
    for tensors in zip(*(_pieces(tensor, _PIECE) for tensor in (special, *sources, *results)), strict=True):
        mask, counts, *rest = tensors
        _as_common_zeros(formula, counts, rest[: len(sources) - 1], rest[len(sources) - 1 :], mask)
    return _where(special)


def _as_common_zeros(
    formula: CountFormula, counts: Tensor, parameters: list[Tensor], results: list[Tensor], special: Tensor
) -> None:
    """Write log-probability and partial derivatives at zero into ``results``, and where they are not right into ``special``."""
    dtype = results[0].dtype
    common_dtype = dtype if dtype == torch.float64 else torch.float32
    log_prob, partials, doubtful = formula.at_common_zero(
        *(parameter.to(common_dtype) for parameter in parameters), with_partials=len(results) > 1
    )
    for result, found in zip(results, (log_prob, *partials), strict=True):
        result.copy_(found)
    # Each made Boolean first: operations that mix dtypes take several times as long.
    torch.logical_or(doubtful.bool(), counts.bool(), out=special)


def _at_special_counts(formula: CountFormula, sources: list[Tensor], results: list[Tensor], special: Tensor) -> None:
    """Write log-probability and partial derivatives at the indices ``special`` of ``sources``, counts and parameters."""
    counts, *parameters = sources
    working = _double(counts.device)
    special_counts = counts.index_select(0, special)
    is_one, is_zero = special_counts == 1, special_counts == 0
    for case, chosen in (
        (formula.at_one, is_one),
        (formula.at_doubtful_zero, is_zero),
        (formula.above_one, ~(is_one | is_zero)),
    ):
        index = special.index_select(0, _where(chosen))
        if not len(index):
            continue
        needed = sources if case == formula.above_one else parameters
        log_prob, partials = case(
            *(source.index_select(0, index).to(working) for source in needed), with_partials=len(results) > 1
        )
        for result, found in zip(results, (log_prob, *partials), strict=True):
            result.scatter_(0, index, found.to(result.dtype))


def _where(mask: Tensor) -> Tensor:
    """Indices at which a 1-d mask is true; on a CPU NumPy finds them in a quarter of torch's time."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(-1)


def _pieces(entries: Tensor, size: int) -> list[Tensor]:
    """Cut a 1-d tensor: ``size`` elements per thread on a CPU, else everything at once."""
    size = size * torch.get_num_threads() if entries.device.type == "cpu" else max(len(entries), 1)
    # Not Tensor.split, whose views may not be written into where torch.jit.trace has gradients on.
    return [entries[start : start + size] for start in range(0, len(entries), size)]


class _CountLogProb(torch.autograd.Function):
    """The log-probability with its derivatives, found together: they share nearly all of the work."""

    @staticmethod
    def forward(
        formula: CountFormula, dtype: torch.dtype, with_partials: bool, value: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        return _evaluate(formula, dtype, value, list(parameters), with_partials=with_partials)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        formula, _, _, value, *parameters = inputs
        _, *partials = output
        ctx.formula = formula
        ctx.number_of_parameters = len(parameters)
        ctx.mark_non_differentiable(*partials)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(value, *parameters, *partials)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *of_partials: None) -> tuple[Tensor | None, ...]:
        if grad_output is None:
            return (None,) * (4 + ctx.number_of_parameters)
        value, *saved = ctx.saved_tensors
        parameters, partials = saved[: ctx.number_of_parameters], saved[ctx.number_of_parameters :]
        if torch.is_grad_enabled() or not partials:
            # With create_graph=True (for a Hessian, say) the saved partials would do no good: they carry no graph.
            working = _double(value.device)
            partials = ctx.formula.differentiable_partials(
                value.to(working), *(parameter.to(working) for parameter in parameters)
            )
            partials = [partial.to(grad_output.dtype) for partial in partials]
        gradients = [
            grad_output * partial if needed else None
            for partial, needed in zip(partials, ctx.needs_input_grad[4:], strict=True)
        ]
        return None, None, None, None, *gradients

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        formula: CountFormula,
        dtype: torch.dtype,
        with_partials: bool,
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """All of ``torch.func.vmap``'s batch at once: every operation is elementwise."""
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(tensors, in_dims[3:], strict=True)
        ]
        results = _CountLogProb.apply(formula, dtype, with_partials, *stacked)
        return results, (0,) * len(results)
