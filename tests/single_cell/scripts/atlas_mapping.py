"""In the style of scvi-tools' reference mapping, up to the query: the reference with the options of its architecture surgery."""

import scanpy as sc
import scvi

adata = sc.read_h5ad("cells.h5ad")
adata.layers["counts"] = adata.X.copy()
sc.pp.normalize_total(adata, target_sum=1e4)
sc.pp.log1p(adata)
sc.pp.highly_variable_genes(adata, n_top_genes=500, batch_key="lane", subset=True)
adata = adata[adata.layers["counts"].sum(1) > 0].copy()
reference = adata[adata.obs["batch"] != adata.obs["batch"].iloc[0]].copy()

scvi.model.SCVI.setup_anndata(reference, batch_key="lane", layer="counts")
arches_params = {
    "use_layer_norm": "both",
    "use_batch_norm": "none",
    "encode_covariates": True,
    "dropout_rate": 0.2,
    "n_layers": 2,
}
model = scvi.model.SCVI(reference, **arches_params)
model.train(max_epochs=3, check_val_every_n_epoch=10, plan_kwargs={"weight_decay": 0.0})
model.save("model", prefix="reference_", overwrite=True)
model = scvi.model.SCVI.load("model", adata=reference, prefix="reference_")
reference.obsm["X_scVI"] = model.get_latent_representation()
sc.pp.neighbors(reference, use_rep="X_scVI")
sc.tl.leiden(reference)
