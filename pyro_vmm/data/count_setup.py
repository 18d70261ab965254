"""Where in an AnnData the counts and the covariates are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pyro_vmm.data.arrays import listed
from pyro_vmm.errors import UserError


@dataclass(frozen=True)
class CountSetup:
    """Where in an AnnData the counts and the covariates are.

    Attributes
    ----------
    layer
        Layer of the counts; None for ``adata.X`` and ``"raw"`` for ``adata.raw``.
    batch_key
        Column of ``adata.obs`` with each cell's batch, or None for a single batch.
    categorical_covariate_keys, continuous_covariate_keys
        Columns of ``adata.obs`` with other covariates; lists are accepted, and None for none.
    size_factor_key
        Column of ``adata.obs`` with known, positive size factors, or None.

    Raises
    ------
    UserError
        If a name is not text, or a column is named twice.
    """

    layer: str | None = None
    batch_key: str | None = None
    categorical_covariate_keys: Sequence[str] | None = ()
    continuous_covariate_keys: Sequence[str] | None = ()
    size_factor_key: str | None = None

    def __post_init__(self) -> None:
        for option in ("categorical_covariate_keys", "continuous_covariate_keys"):
            keys = getattr(self, option)
            if isinstance(keys, str):
                raise UserError(f"must be a list of columns, not one name: give [{keys!r}].", option=option)
            if isinstance(keys, set | frozenset) or not (keys is None or isinstance(keys, Iterable)):
                raise UserError(f"is {keys!r}: give a list of columns, or None.", option=option)
            object.__setattr__(self, option, tuple(() if keys is None else keys))
        for option in ("layer", "batch_key", "size_factor_key"):
            value = getattr(self, option)
            if value is not None and not isinstance(value, str):
                raise UserError(f"must be a name or None, not {value!r}: give it as text.", option=option)
        covariates = [*self.categorical_keys, *self.continuous_keys]
        for key in covariates:
            if not isinstance(key, str):
                raise UserError(f"A covariate is named by {key!r}, which is not text: give the name of a column.")
        columns = [*covariates, *(key for key in (self.batch_key, self.size_factor_key) if key is not None)]
        for key in columns:
            if columns.count(key) > 1:
                raise UserError(f"The column {key!r} is named {columns.count(key)} times: give it one role.")

    @property
    def categorical_keys(self) -> tuple[str, ...]:
        """``categorical_covariate_keys``, as a tuple."""
        return tuple(self.categorical_covariate_keys or ())

    @property
    def continuous_keys(self) -> tuple[str, ...]:
        """``continuous_covariate_keys``, as a tuple."""
        return tuple(self.continuous_covariate_keys or ())

    @property
    def source(self) -> str:
        """What messages call the counts: the expression that finds them in ``adata``, unless a layer is named raw."""
        if self.layer is None:
            return "adata.X"
        return "adata.raw.X" if self.layer == "raw" else f"adata.layers[{self.layer!r}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain values by attribute, ready for JSON."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CountSetup":
        """Read back what :meth:`to_dict` gave.

        Raises
        ------
        UserError
            If ``values`` holds anything else.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise UserError(f"A setup of counts has no entry {listed(unknown)}: remove it.")
        return cls(**values)
