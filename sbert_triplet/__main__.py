"""``python -m sbert_triplet``: the same as ``sbert-triplet``."""

from sbert_triplet.cli import main

if __name__ == "__main__":
    main()
