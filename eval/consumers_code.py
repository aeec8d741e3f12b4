"""How each consumer loads a folder and embeds texts: the packages it needs, and its lines.

The lines define ``embed(folder, texts, role, prompt)``, with ``role`` "query" or "document"; ``prompt`` is
empty where the model has none for it, or where the consumer has no place for one (``prompts`` False): the
caller has put it before the texts then.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Consumer:
    """``packages``: what pip installs into its environment. ``note``: of what is particular to it."""

    packages: tuple[str, ...]
    code: str
    prompts: bool = True
    note: str = ""


_LIBRARY = """
from sentence_transformers import SentenceTransformer
def embed(folder, texts, role, prompt):
    return SentenceTransformer(folder, device="cpu").encode(texts, prompt=prompt or None)
"""

CONSUMERS: dict[str, Consumer] = {
    "sentence-transformers 6.2": Consumer((), _LIBRARY),
    "sentence-transformers 5.1.2": Consumer(("sentence-transformers==5.1.2", "transformers<5"), _LIBRARY),
    "sentence-transformers 3.4.1": Consumer(("sentence-transformers==3.4.1", "transformers<5"), _LIBRARY),
    "transformers": Consumer((), "", note="the lines of the card"),
    "LangChain": Consumer(
        ("langchain-huggingface",),
        """
from langchain_huggingface import HuggingFaceEmbeddings
def embed(folder, texts, role, prompt):
    given = {"prompt": prompt} if prompt else {}
    made = HuggingFaceEmbeddings(model_name=folder, encode_kwargs=given, query_encode_kwargs=given)
    return [made.embed_query(text) for text in texts] if role == "query" else made.embed_documents(texts)
""",
    ),
    "LlamaIndex": Consumer(
        ("llama-index-embeddings-huggingface",),
        """
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
def embed(folder, texts, role, prompt):
    given = {("query" if role == "query" else "text") + "_instruction": prompt} if prompt else {}
    made = HuggingFaceEmbedding(model_name=folder, normalize=False, device="cpu", **given)
    if role == "query":
        return [made.get_query_embedding(text) for text in texts]
    return made.get_text_embedding_batch(texts)
""",
        note="normalize=False: it normalizes unless told not to",
    ),
    "Haystack": Consumer(
        ("haystack-ai", "sentence-transformers-haystack"),
        """
try:
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder as Documents, SentenceTransformersTextEmbedder as Query)
except ImportError:
    from haystack.components.embedders import (
        SentenceTransformersDocumentEmbedder as Documents, SentenceTransformersTextEmbedder as Query)
from haystack import Document
from haystack.utils import ComponentDevice
def embed(folder, texts, role, prompt):
    kind = Query if role == "query" else Documents
    made = kind(model=folder, prefix=prompt, device=ComponentDevice.from_str("cpu"))
    made.warm_up()
    if role == "query":
        return [made.run(text=text)["embedding"] for text in texts]
    return [each.embedding for each in made.run(documents=[Document(content=t) for t in texts])["documents"]]
""",
    ),
    "Chroma": Consumer(
        ("chromadb",),
        """
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
def embed(folder, texts, role, prompt):
    return SentenceTransformerEmbeddingFunction(model_name=folder, device="cpu")(texts)
""",
        prompts=False,
    ),
    "LanceDB": Consumer(
        ("lancedb",),
        """
from lancedb.embeddings import get_registry
def embed(folder, texts, role, prompt):
    made = get_registry().get("sentence-transformers").create(name=folder, device="cpu", normalize=False)
    return made.compute_source_embeddings(texts)
""",
        prompts=False,
        note="normalize=False: it normalizes unless told not to",
    ),
    "txtai": Consumer(
        ("txtai",),
        """
from txtai import Embeddings
def embed(folder, texts, role, prompt):
    return Embeddings(path=folder, method="sentence-transformers", gpu=False).batchtransform(texts)
""",
        prompts=False,
        note="it normalizes every vector",
    ),
    "KeyBERT": Consumer(
        ("keybert",),
        """
from keybert import KeyBERT
def embed(folder, texts, role, prompt):
    return KeyBERT(model=folder).model.embed(texts)
""",
        prompts=False,
    ),
    "SetFit": Consumer(
        ("setfit",),
        """
from setfit import SetFitModel
def embed(folder, texts, role, prompt):
    return SetFitModel.from_pretrained(folder).model_body.encode(texts)
""",
        prompts=False,
    ),
    "mteb": Consumer(
        ("mteb>=2.26,<3",),
        """
import mteb
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
def embed(folder, texts, role, prompt):
    made = SentenceTransformerEncoderWrapper(folder, device="cpu")
    task = mteb.get_task("SciFact").metadata
    kind = PromptType.query if role == "query" else PromptType.document
    return made.encode([{"text": texts}], task_metadata=task, hf_split="test", hf_subset="default",
                       prompt_type=kind)
""",
        note="it puts the model's own prompts before the texts by itself",
    ),
}
