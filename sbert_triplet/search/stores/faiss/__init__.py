"""The embedded store: a folder with a database of passages, files of embeddings and a graph of faiss."""
