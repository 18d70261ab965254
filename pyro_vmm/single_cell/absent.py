"""What scvi-tools' model has and this one has not: each asks for something else in one sentence."""

from __future__ import annotations

from typing import Any, NoReturn

from pyro_vmm.errors import UserError


class AbsentError(UserError, AttributeError):
    """A method or attribute of scvi-tools that has no place here; ``hasattr`` says False of it."""


class Absent:
    """A name that raises :class:`AbsentError` wherever it is looked up.

    Parameters
    ----------
    instead
        What to use, as a message says it.
    """

    def __init__(self, instead: str) -> None:
        self.instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> NoReturn:
        raise AbsentError(f"SingleCellVMM has no {self.name}: {self.instead}.")


NO_REGISTRY = "model.setup, model.categories and model.gene_names say where data are and what was learned of them"
NO_MANAGER = "the note of setup_anndata lies in adata.uns['pyro_vmm_setup'], and model.setup has it"
NO_MINIFYING = "keep the embedding alone, adata.obsm['X_vmm'], and save the model without its cells"
NO_RUN = "give every model a folder of its own, model.save(directory)"


class NotHere:
    """The names, last of the facade's bases: a method of one of these names anywhere else takes its place."""

    adata_manager = Absent(NO_MANAGER)
    convert_legacy_save = Absent("models of scvi-tools cannot be read, fit again")
    data_registry = Absent(NO_REGISTRY)
    deregister_manager = Absent(NO_MANAGER)
    get_anndata_manager = Absent(NO_MANAGER)
    get_batch_representation = Absent("batches are one-hot and have no embedding")
    get_from_registry = Absent(NO_REGISTRY)
    get_importance_weights = Absent("get_normalized_expression takes weights='importance' with n_samples_overall")
    get_normalized_function_name = Absent("the function is get_normalized_expression")
    get_setup_arg = Absent(NO_REGISTRY)
    get_state_registry = Absent(NO_REGISTRY)
    get_var_names = Absent("the genes are model.gene_names")
    load_query_data = Absent(
        "call prepare_query_anndata, and ask the fitted model of the new cells with predict and batch_free=True"
    )
    load_registry = Absent("load the model and look at model.setup")
    minify_adata = Absent(NO_MINIFYING)
    prepare_query_mudata = Absent("the model is of an AnnData, give one of its genes")
    register_manager = Absent(NO_MANAGER)
    registry = Absent(NO_REGISTRY)
    run_id = Absent(NO_RUN)
    run_name = Absent(NO_RUN)
    transfer_fields = Absent("cells are read where setup_anndata found those fitted, give them as adata")
    update_setup_method_args = Absent("call setup_anndata again, and make a model anew")
    view_registry = Absent("view_anndata_setup() prints what was set up")
    view_setup_args = Absent("load the model and print model.setup")
    view_setup_method_args = Absent("view_anndata_setup() prints what was set up")
