"""Semantic search: an index of documents by a model's embeddings, kept in a store that a URL names.

Legend: Q queries, N passages, D dimensions. A document is cut into one or more passages; each passage has
an embedding, and a document is found by its best one.
"""
