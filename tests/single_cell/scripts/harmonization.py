"""In the style of scvi-tools' atlas-level integration of batches: an embedding, its clusters, and the abundance of samples."""

import scanpy as sc
import scvi

adata = sc.read_h5ad("cells.h5ad")
adata.layers["counts"] = adata.X.copy()
adata.raw = adata
sc.pp.normalize_total(adata)
sc.pp.log1p(adata)
sc.pp.highly_variable_genes(adata, n_top_genes=500, batch_key="batch", subset=True)
adata = adata[adata.layers["counts"].sum(1) > 0].copy()

scvi.model.SCVI.setup_anndata(adata, layer="counts", batch_key="batch", labels_key="cell_type")
model = scvi.model.SCVI(adata, n_layers=2, n_latent=30, gene_likelihood="nb")
model.train(
    max_epochs=3,
    accelerator="cpu",
    devices=1,
    train_size=0.8,
    validation_size=0.2,
    plan_kwargs={"lr": 1e-3, "weight_decay": 1e-6, "n_epochs_kl_warmup": 1},
    enable_progress_bar=False,
)
assert len(model.train_indices) + len(model.validation_indices) == adata.n_obs
adata.obsm["X_scVI"] = model.get_latent_representation()
assert adata.obsm["X_scVI"].shape == (adata.n_obs, 30)

sc.pp.neighbors(adata, use_rep="X_scVI")
sc.tl.leiden(adata)

model.differential_abundance(adata, sample_key="lane", num_cells_posterior=50)
assert adata.obsm["da_log_probs"].shape == (adata.n_obs, adata.obs["lane"].nunique())
posterior = model.get_aggregated_posterior(dof=None)
model.to_device("cpu")
print(model.device, model.summary_string)
