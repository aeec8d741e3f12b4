"""The server: embeddings in OpenAI's shape, search, and a page that shows two models side by side.

Way of a request: ``connections`` (time, headers, connections per address), ``guard`` (host, key, size of the
body), ``app`` (routes), ``batching`` (one thread that embeds what waits, by token budget).
"""
