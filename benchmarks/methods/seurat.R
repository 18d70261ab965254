# Seurat v3's integration by anchors: counts.mtx (genes x cells) and batches.txt of a folder to embedding.txt (cells x dimensions).
suppressMessages({library(Seurat); library(Matrix)})
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]; dimensions <- as.integer(arguments[2]); set.seed(as.integer(arguments[3]))

counts <- as(readMM(file.path(folder, "counts.mtx")), "CsparseMatrix")
dimnames(counts) <- list(paste0("gene", seq_len(nrow(counts))), paste0("cell", seq_len(ncol(counts))))
batches <- readLines(file.path(folder, "batches.txt"))
cells <- CreateSeuratObject(counts, meta.data = data.frame(batch = batches, row.names = colnames(counts)))
genes <- rownames(cells)

if (length(unique(batches)) > 1) {
  parts <- lapply(SplitObject(cells, split.by = "batch"), NormalizeData, verbose = FALSE)
  parts <- lapply(parts, function(part) { VariableFeatures(part) <- genes; part })
  # The default of 200 neighbours is more than the cells of a small batch.
  neighbours <- min(200, min(table(batches)) - 1)
  anchors <- FindIntegrationAnchors(parts, anchor.features = genes, dims = 1:dimensions, k.filter = neighbours, verbose = FALSE)
  cells <- IntegrateData(anchors, dims = 1:dimensions, k.weight = min(100, min(table(batches)) - 1), verbose = FALSE)
} else {
  cells <- NormalizeData(cells, verbose = FALSE)
}
cells <- ScaleData(cells, features = genes, verbose = FALSE)
cells <- RunPCA(cells, features = genes, npcs = dimensions, verbose = FALSE)
embedding <- Embeddings(cells, "pca")[colnames(counts), ]
write.table(embedding, file.path(folder, "embedding.txt"), row.names = FALSE, col.names = FALSE)
