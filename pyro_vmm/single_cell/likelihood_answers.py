"""What a trained model of single cells says of the counts themselves: how well it explains them, and by which parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.modalities.count_parameters import library_sizes, likelihood_parameters
from pyro_vmm.option_checks import check_boolean, check_whole_number
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.single_cell.answers import AnswersOfCells
from pyro_vmm.single_cell.scvi_names import in_our_words

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths


class ReconstructionError(float):
    """A number that can be asked for by name, as scvi-tools' dictionary of one: ``error["reconstruction_loss"]``."""

    def __getitem__(self, name: str) -> float:
        if name != "reconstruction_loss":
            raise KeyError(name)
        return float(self)


class AnswersOfLikelihood(AnswersOfCells):
    """ELBO, marginal likelihood and parameters of the counts' distribution; the facade inherits them."""

    @undisturbed()
    def get_elbo(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        batch_size: int | None = None,
        *,
        return_mean: bool = True,
        **theirs: Any,
    ) -> Any:
        """Mean ELBO in nats a cell (higher is better), from one posterior sample each.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        return_mean
            Return the mean, a number, rather than the ELBO of each cell, ``[n_obs]``. So everywhere below.
        """
        in_our_words("get_elbo", theirs)
        if check_boolean(return_mean, "return_mean"):
            return self._evaluation_by(batch_size).elbo(self._some_cells(adata, indices)).elbo
        return self._log_ratios(adata, indices, batch_size)[0][:, 0]

    @undisturbed()
    def get_reconstruction_error(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        batch_size: int | None = None,
        *,
        return_mean: bool = True,
        **theirs: Any,
    ) -> Any:
        """Mean of ``-E_q[log p(x | z)]`` in nats a cell, from one posterior sample each.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        return_mean
            As for :meth:`get_elbo`. Without it a dictionary, ``{"reconstruction_loss": [n_obs]}``, as in scvi-tools; the mean
            can be asked for by that name, too.
        """
        in_our_words("get_reconstruction_error", theirs)
        if check_boolean(return_mean, "return_mean"):
            elbo = self._evaluation_by(batch_size).elbo(self._some_cells(adata, indices))
            return ReconstructionError(-elbo.reconstruction)
        return {"reconstruction_loss": -self._log_ratios(adata, indices, batch_size)[1][:, 0]}

    @undisturbed()
    def get_marginal_ll(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        n_mc_samples: int = 100,
        batch_size: int | None = None,
        return_mean: bool = True,
        **theirs: Any,
    ) -> Any:
        """Mean importance-weighted ``log p(x)`` in nats a cell, from ``n_mc_samples`` posterior samples each.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        n_mc_samples
            Posterior samples of each cell.
        return_mean
            As for :meth:`get_elbo`.
        """
        in_our_words("get_marginal_ll", theirs)
        return_mean, n_mc_samples = (
            check_boolean(return_mean, "return_mean"),
            check_whole_number(n_mc_samples, "n_mc_samples"),
        )
        ratios = self._log_ratios(adata, indices, batch_size, n_mc_samples)[0]
        log_evidence = np.logaddexp.reduce(ratios, 1) - np.log(n_mc_samples)
        return float(log_evidence.mean()) if return_mean else log_evidence

    @undisturbed()
    def get_likelihood_parameters(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        n_samples: int = 1,
        give_mean: bool = False,
        batch_size: int | None = None,
        **theirs: Any,
    ) -> dict[str, NDArray[np.float32]]:
        """Parameters of the distribution of the counts at posterior samples of ``z``.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        n_samples
            Posterior samples.
        give_mean
            Average over the samples, which are then the same in every call.

        Returns
        -------
        dict
            ``"mean"`` (before dropout), ``"dispersions"`` (inverse dispersions, not of Poisson counts) and ``"dropout"``
            (probabilities, of zero-inflated counts alone): ``[n_obs, genes]`` each, ``[n_samples, n_obs, genes]`` for
            several samples without ``give_mean``.

        Raises
        ------
        UserError
            As everywhere; and for a likelihood of your own, which gives a distribution of your own.
        """
        in_our_words("get_likelihood_parameters", theirs)
        n_samples = check_whole_number(1 if n_samples is None else n_samples, "n_samples")
        give_mean = check_boolean(give_mean, "give_mean")
        found = likelihood_parameters(
            self._evaluation_by(batch_size),
            self._some_cells(adata, indices),
            num_samples=n_samples,
            own_noise=give_mean,
        )
        if give_mean or n_samples == 1:
            return {name: values.mean(1) for name, values in found.items()}
        return {name: np.swapaxes(values, 0, 1) for name, values in found.items()}

    @undisturbed()
    def get_latent_library_size(
        self,
        adata: AnnData | Paths | None = None,
        indices: Any = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        **theirs: Any,
    ) -> NDArray[np.float32]:
        """Library sizes, ``[n_obs, 1]``: observed ones as they are, of inferred ones the posterior's mean.

        Parameters
        ----------
        adata, indices, batch_size, **theirs
            As for :meth:`get_latent_representation`.
        give_mean
            Mean rather than a posterior sample, where library sizes are inferred.
        """
        in_our_words("get_latent_library_size", theirs)
        mean = check_boolean(give_mean, "give_mean")
        return library_sizes(self._evaluation_by(batch_size), self._some_cells(adata, indices), mean=mean)

    def _log_ratios(
        self, adata: AnnData | Paths | None, indices: Any, batch_size: int | None, num_samples: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._evaluation_by(batch_size).log_ratios(self._some_cells(adata, indices), num_samples=num_samples)
