"""In the style of scvi-tools' differential expression on worm data, up to the comparison: training watched, and its curves."""

import numpy as np
import scanpy as sc
import scvi

adata = sc.read_h5ad("cells.h5ad")
adata.layers["counts"] = adata.X.copy()
sc.pp.normalize_total(adata, target_sum=10e4)
sc.pp.log1p(adata)
adata.raw = adata
sc.pp.highly_variable_genes(adata, n_top_genes=500, subset=True)
adata = adata[adata.layers["counts"].sum(1) > 0].copy()

scvi.model.SCVI.setup_anndata(adata, layer="counts", labels_key="cell_type")
model = scvi.model.SCVI(adata, gene_likelihood="nb")
model.train(
    check_val_every_n_epoch=1,
    max_epochs=3,
    early_stopping=True,
    early_stopping_patience=20,
    early_stopping_monitor="elbo_validation",
)
curves = model.history["elbo_train"]
curves["elbo_validation"] = model.history["elbo_validation"]
assert np.isfinite(curves.to_numpy(dtype=float)).all()
for name in ("reconstruction_loss_train", "reconstruction_loss_validation", "kl_local_train", "kl_local_validation"):
    assert len(model.history[name]) == len(curves)
assert model.is_trained

adata.obsm["X_scVI"] = model.get_latent_representation()
sc.pp.neighbors(adata, use_rep="X_scVI", n_neighbors=20)
sc.tl.umap(adata, min_dist=0.2)
pairs = model.get_normalized_expression(n_samples=5, return_mean=False, indices=list(range(20)))
assert pairs.shape == (5, 20, adata.n_vars)
one_population = model.get_normalized_expression(
    n_samples_overall=100, weights="uniform", return_numpy=True, library_size="latent"
)
assert one_population.shape == (100, adata.n_vars)
