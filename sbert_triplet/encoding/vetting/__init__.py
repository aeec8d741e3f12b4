"""What a model folder may hold: data, and nothing that runs code or is read from elsewhere.

A folder of a model is somebody else's input. It is looked at before any library reads it, since
configuration files name classes, files and repositories which libraries import, open and download:

- ``modules``: the modules that ``modules.json`` names are those of sentence-transformers;
- ``settings``: no value of a configuration file asks for code, for other files or for the Hub;
- ``weights``: weights are safetensors files inside the folder whose headers can be true;
- ``folder``: every file lies inside the folder and is of a size that can be read.
"""

from __future__ import annotations

from pathlib import Path

from sbert_triplet.encoding.vetting.folder import ModelFolder
from sbert_triplet.encoding.vetting.modules import Part, parts_of
from sbert_triplet.encoding.vetting.settings import vet_settings
from sbert_triplet.encoding.vetting.weights import vet_weights

__all__ = ["vet_model"]


def vet_model(root: Path, name: str) -> None:
    """Raise ModelError where loading the folder could run code or read what lies outside of it.

    ``root``: the folder of a bi-encoder or a cross-encoder, or a snapshot in the Hugging Face cache,
    whose files may be links into the cache's store of the same repository. ``name``: what the person
    called the model. Only files that loading reads are looked at: those at the top and in the folders
    of the modules.
    """
    folder = ModelFolder(root, name)
    parts = parts_of(folder)
    if all(part.path for part in parts):
        # Read at any rate: names of the model and of its prompts, and another class's model as a whole.
        parts = [Part("", None), *parts]
    for part in parts:
        folder.vet_files(part.path)
        vet_settings(folder, part)
        vet_weights(folder, part)
