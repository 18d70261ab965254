"""What a trained model of single cells says of two groups of cells, or of each cluster and the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.data.arrays import listed
from pyro_vmm.data.cell_covariates import category_text, read_categories
from pyro_vmm.errors import UserError
from pyro_vmm.expression import GroupMeans, Mode, compare, group_means, table
from pyro_vmm.expression.markers import as_rank_genes_groups, marker_table
from pyro_vmm.expression.pseudobulk import pseudobulk
from pyro_vmm.option_checks import check_boolean, check_positive, check_share, check_whole_number
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.single_cell.facts import Facts
from pyro_vmm.single_cell.genes import AnswersOfGenes
from pyro_vmm.single_cell.scvi_names import in_our_words

if TYPE_CHECKING:
    from anndata import AnnData

CLUSTERS, REST = "cluster", "Rest"
_SEED = 0
"""Of cells and weights drawn: the same call has the same result."""


class Comparisons(AnswersOfGenes, Facts):
    """Differential expression, markers and sums for tests between donors; the facade inherits them."""

    @undisturbed()
    def differential_expression(
        self,
        adata: AnnData | None = None,
        groupby: str | None = None,
        group1: str | int | Sequence[str | int] | None = None,
        group2: str | int | None = None,
        idx1: Any = None,
        idx2: Any = None,
        mode: Mode = "change",
        delta: float = 0.25,
        batch_size: int | None = None,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str | int] | None = None,
        batchid2: Sequence[str | int] | None = None,
        fdr_target: float = 0.05,
        *,
        floor: float = 0.01,
        pseudocounts: float | None = None,
        n_samples: int = 1000,
        max_cells: int = 2000,
        **theirs: Any,
    ) -> pd.DataFrame:
        """Genes that are expressed differently in two groups of cells: a row a gene and comparison, the surest first.

        Only genes that the model was trained on are compared. What is compared is the mean expression of the groups, and its
        uncertainty is that of the mean over cells (:mod:`pyro_vmm.expression`). Cells of one donor are no replicates: for
        differences between conditions, test sums over donors (:meth:`pseudobulk`).

        Parameters
        ----------
        adata
            Cells; None for those that the model was made of.
        groupby
            Column of ``adata.obs``; None for the clusters found, called ``"0"``, ``"1"``, ...
        group1, group2
            Groups of that column, by name or number. ``group1=None`` is each of them in turn, and ``group2=None`` all other cells.
        idx1, idx2
            In place of groups: row numbers, a Boolean mask, or an expression for ``adata.obs.query``.
        mode
            ``"change"``: the log fold change is at least ``delta`` in either direction. ``"vanilla"``: the first group's
            expression is higher.
        delta
            Log fold change, base 2.
        batch_size
            As for :meth:`get_latent_representation`.
        all_stats
            Columns about the raw counts as well.
        batch_correction
            Decode the cells of both groups as of the same batches: all of the model's, or those given.
        batchid1, batchid2
            Batches of either group, by name or place, for ``batch_correction``.
        fdr_target
            Expected share of false calls among the genes called.
        floor
            Genes with fewer expected counts than this in both groups, in a cell of median size, are never called.
        pseudocounts
            Added to shares before logarithms; None for the share that ``floor`` stands for.
        n_samples
            Samples of each group's mean.
        max_cells
            Of a larger group so many cells, drawn at random, are looked at.
        **theirs
            Further arguments of scvi-tools, each taken or refused as the documentation's table of them says.

        Returns
        -------
        DataFrame
            scvi-tools' columns: ``proba_de``, ``proba_not_de``, ``bayes_factor``, ``scale1``, ``scale2``, ``pseudocounts``,
            ``delta``, ``lfc_mean``, ``lfc_median``, ``lfc_std``, ``lfc_min``, ``lfc_max``, ``raw_mean1`` and so on,
            ``is_de_fdr_0.05``, ``comparison``, ``group1``, ``group2``; and ``above_floor``. Its ``attrs`` give the ``floor`` and
            ``genes``, which states that only trained genes were compared.

        Raises
        ------
        UserError
            For groups, rows, batches or options that there are not, and for a group without cells.
        """
        in_our_words("differential_expression", theirs)
        if mode not in ("change", "vanilla"):
            raise UserError(f"mode={mode!r} is not known: choose 'change' or 'vanilla'.")
        delta = check_positive(delta, "delta")
        fdr_target = check_share(fdr_target, "fdr_target", may_be="none")
        floor = check_positive(floor, "floor")
        pseudocounts = check_positive(pseudocounts, "pseudocounts", or_none=True)
        n_samples, max_cells = check_whole_number(n_samples, "n_samples"), check_whole_number(max_cells, "max_cells")
        all_stats = check_boolean(all_stats, "all_stats")
        self._fit  # noqa: B018  # raises before training
        pairs = self._pairs(adata, groupby, group1, group2, idx1, idx2)
        batches = self._compared_as(check_boolean(batch_correction, "batch_correction"), batchid1, batchid2)
        genes, rng = np.arange(len(self.gene_names)), np.random.default_rng(_SEED)

        def means(rows: NDArray[np.int64], as_of: list[int | None]) -> GroupMeans:
            return group_means(
                self._evaluation_by(batch_size),
                self._cells(adata, rows),
                genes=genes,
                batches=as_of,
                num_draws=n_samples,
                most_cells=max_cells,
                rng=rng,
            )

        frames = []
        for name1, rows1, name2, rows2 in pairs:
            first, second = means(rows1, batches[0]), means(rows2, batches[1])
            asked: dict[str, Any] = {"mode": mode, "delta": delta, "fdr_target": fdr_target}
            found = compare(first, second, floor=floor, pseudocount=pseudocounts, **asked)
            frame = table(found, first, second, self.gene_names, all_stats=all_stats, **asked)
            frames.append(frame.assign(comparison=f"{name1} vs {name2}", group1=name1, group2=name2))
        result = pd.concat(frames)
        result.attrs = {
            "genes": f"only the {len(genes):,} genes that the model was trained on were compared",
            "floor": float(floor),
        }
        return result

    @undisturbed()
    def markers(
        self,
        adata: AnnData | None = None,
        groupby: str | None = None,
        *,
        delta: float = 0.25,
        floor: float = 0.01,
        key_added: str | None = None,
        max_cells: int = 2000,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Genes that tell each cluster from all other cells and from the cluster nearest to it.

        Parameters
        ----------
        adata, groupby, floor, max_cells, batch_size
            As for :meth:`differential_expression`.
        delta
            Log fold change, base 2, by which a marker is higher than in the other cells, and than in the nearest cluster.
        key_added
            Write what ``scanpy.tl.rank_genes_groups`` writes into this entry of ``adata.uns``, so that
            ``scanpy.pl.rank_genes_groups_dotplot`` and the like show it; and, without ``groupby``, the clusters into the column
            ``"cluster"`` of ``adata.obs``.

        Returns
        -------
        DataFrame
            A row for each gene of each cluster, the best first: ``group``, ``nearest``, ``score``, ``lfc`` (the smaller of the
            two median log fold changes), ``proba`` (the smaller probability that it is at least ``delta``), ``above_floor``.

        Raises
        ------
        UserError
            As for :meth:`differential_expression`, and for fewer than two groups.
        """
        delta, floor = check_positive(delta, "delta"), check_positive(floor, "floor")
        max_cells = check_whole_number(max_cells, "max_cells")
        codes, names = self._groups(adata, groupby)
        if len(names) < 2:
            raise UserError("There is one group, and markers tell groups apart: give groupby with two or more.")
        latents = self.get_latent_representation(adata, batch_size=batch_size)
        centres = np.stack([latents[codes == group].mean(0) for group in range(len(names))])
        apart = np.linalg.norm(centres[:, None] - centres, axis=-1) + np.diag(np.full(len(names), np.inf))
        genes, rng = np.arange(len(self.gene_names)), np.random.default_rng(_SEED)

        def means(rows: NDArray[np.bool_]) -> GroupMeans:
            cells = self._cells(adata, np.flatnonzero(rows))
            return group_means(self._evaluation_by(batch_size), cells, genes=genes, most_cells=max_cells, rng=rng)

        of_groups = [means(codes == group) for group in range(len(names))]
        tables = {
            name: marker_table(
                of_groups[group],
                [means(codes != group), of_groups[int(apart[group].argmin())]],
                self.gene_names,
                delta=delta,
                floor=floor,
            )
            for group, name in enumerate(names)
        }
        if key_added is not None:
            cells = self._may_be_written(adata)
            if groupby is None:
                cells.obs[CLUSTERS] = pd.Categorical([names[code] for code in codes], list(names))
            cells.uns[key_added] = as_rank_genes_groups(tables, groupby or CLUSTERS)
        nearest = {name: names[int(apart[group].argmin())] for group, name in enumerate(names)}
        return pd.concat([each.assign(group=name, nearest=nearest[name]) for name, each in tables.items()])

    @undisturbed()
    def pseudobulk(self, sample_key: str, groupby: str | None = None, adata: AnnData | None = None) -> AnnData:
        """Counts summed over the cells of each sample in each cluster: one row a sample and cluster, for PyDESeq2 and the like.

        Parameters
        ----------
        sample_key
            Column of ``adata.obs`` with each cell's sample (donor), the unit that conditions are compared over.
        groupby, adata
            As for :meth:`differential_expression`.

        Returns
        -------
        AnnData
            Whole numbers where the counts are; ``obs`` has sample, cluster, ``n_cells`` and every column that is constant within
            each sample.

        Raises
        ------
        UserError
            For columns that there are not.
        """
        cells = self.adata if adata is None else adata
        samples = read_categories(cells.obs, sample_key, role="sample_key")
        groups = self._groups(adata, groupby)
        names = (sample_key, groupby or CLUSTERS)
        return pseudobulk(self._cells(adata, None), samples, groups, self.gene_names, cells.obs, names)

    def _groups(self, adata: AnnData | None, groupby: str | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Codes ``[N]`` and names of the groups of a column, or of the clusters that have cells."""
        if groupby is not None:
            return read_categories((self.adata if adata is None else adata).obs, groupby, role="groupby")
        found, codes = np.unique(self.predict(adata), return_inverse=True)
        return codes.astype(np.int64), tuple(map(str, found))

    def _pairs(
        self,
        adata: AnnData | None,
        groupby: str | None,
        group1: str | int | Sequence[str | int] | None,
        group2: str | int | None,
        idx1: Any,
        idx2: Any,
    ) -> list[tuple[str, NDArray[np.int64], str, NDArray[np.int64]]]:
        """Names and rows of the two groups of each comparison."""
        if idx1 is not None or idx2 is not None:
            if idx1 is None or groupby is not None or group1 is not None or group2 is not None:
                raise UserError(
                    "idx1 and idx2 take the place of groupby, group1 and group2: give the ones or the others."
                )
            rows1 = self._rows(adata, idx1, "idx1")
            number = len(self.cells.cell_names) if adata is None else adata.n_obs
            rows2 = np.setdiff1d(np.arange(number), rows1) if idx2 is None else self._rows(adata, idx2, "idx2")
            return [_of_cells("group 1", rows1, REST if idx2 is None else "group 2", rows2)]
        codes, names = self._groups(adata, groupby)
        place = {name: code for code, name in enumerate(names)}
        firsts = list(names) if group1 is None else _group_names(group1, place)
        second = None if group2 is None else _group_names([group2], place)[0]
        pairs = []
        for name in firsts:
            if name == second:
                continue
            rows = np.flatnonzero(codes == place[name])
            others = codes != place[name] if second is None else codes == place[second]
            pairs.append(_of_cells(name, rows, REST if second is None else second, np.flatnonzero(others)))
        if not pairs:
            raise UserError("group1 and group2 are the same group: give two.")
        return pairs

    def _rows(self, adata: AnnData | None, index: Any, name: str) -> NDArray[np.int64]:
        cells = self.adata if isinstance(index, str) and adata is None else adata
        number = len(self.cells.cell_names) if cells is None else cells.n_obs
        if isinstance(index, str):
            assert cells is not None
            index = cells.obs_names.isin(cells.obs.query(index).index)
        rows = np.asarray(index)
        if rows.dtype == bool and len(rows) == number:
            return np.flatnonzero(rows)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or ((rows < 0) | (rows >= number)).any():
            raise UserError(
                f"{name} is no mask of {number:,} cells and no list of their row numbers: give one of these."
            )
        return rows.astype(np.int64)

    def _compared_as(
        self, correction: bool, batchid1: Sequence[str | int] | None, batchid2: Sequence[str | int] | None
    ) -> tuple[list[int | None], list[int | None]]:
        """Batches that the cells of either group are decoded as."""
        if not correction:
            if batchid1 is not None or batchid2 is not None:
                raise UserError("batchid1 and batchid2 are batches to correct for: give batch_correction=True, too.")
            return [None], [None]
        everywhere = list(range(len(self.batch_categories)))
        first, second = (self._batches(everywhere if given is None else given) for given in (batchid1, batchid2))
        return first, second

    def _may_be_written(self, adata: AnnData | None) -> AnnData:
        cells = self.adata if adata is None else adata
        if cells.is_view:
            raise UserError("adata is a view of another AnnData and cannot take notes: copy it, adata = adata.copy().")
        return cells


def _group_names(wanted: Any, known: Collection[str]) -> list[str]:
    """Groups asked for, one or several; clusters and categories may be given as numbers, as ``predict`` gives them."""
    several = isinstance(wanted, Iterable) and not isinstance(wanted, str)
    names = [category_text(each) for each in (wanted if several else [wanted])]
    for name in names:
        if name not in known:
            raise UserError(f"There is no group {name!r}: choose from {listed(list(known))}.")
    return names


def _of_cells(
    name1: str, rows1: NDArray[np.int64], name2: str, rows2: NDArray[np.int64]
) -> tuple[str, NDArray[np.int64], str, NDArray[np.int64]]:
    for name, rows in ((name1, rows1), (name2, rows2)):
        if not len(rows):
            raise UserError(f"{name} has no cells: choose a group that has some.")
    return name1, rows1, name2, rows2
