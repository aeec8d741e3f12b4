"""What was used of whom: the papers of a run's methods, told from its recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sbert_triplet.reporting.record import mapping
from sbert_triplet.reporting.sections.weight_line import is_between


@dataclass(frozen=True)
class Paper:
    """A paper by its BibTeX ``key``; ``identifier`` is an arXiv number, or a DOI where it holds a slash."""

    key: str
    authors: str
    title: str
    year: int
    identifier: str = ""
    venue: str = ""

    def bibtex(self) -> str:
        """The entry."""
        kind = "article" if self.venue or not self.identifier else "misc"
        fields = {"author": self.authors, "title": f"{{{self.title}}}", "year": str(self.year)}
        if "/" in self.identifier:
            fields["doi"] = self.identifier
        elif self.identifier:
            fields |= {"eprint": self.identifier, "archivePrefix": "arXiv"}
        if self.venue:
            fields["journal"] = self.venue
        inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@{kind}{{{self.key},\n{inside}\n}}"


SBERT = Paper(
    "reimers2019sbert",
    "Reimers, Nils and Gurevych, Iryna",
    "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
    2019,
    "1908.10084",
)
_HERMANS = Paper(
    "hermans2017defense",
    "Hermans, Alexander and Beyer, Lucas and Leibe, Bastian",
    "In Defense of the Triplet Loss for Person Re-Identification",
    2017,
    "1703.07737",
)
_FACENET = Paper(
    "schroff2015facenet",
    "Schroff, Florian and Kalenichenko, Dmitry and Philbin, James",
    "FaceNet: A Unified Embedding for Face Recognition and Clustering",
    2015,
    "1503.03832",
)
_EASY = Paper(
    "xuan2020easy",
    "Xuan, Hong and Stylianou, Abby and Pless, Robert",
    "Improved Embeddings with Easy Positive Triplet Mining",
    2020,
    "1904.04370",
)
_SAMPLING = Paper(
    "wu2017sampling",
    "Wu, Chao-Yuan and Manmatha, R. and Smola, Alexander J. and Krähenbühl, Philipp",
    "Sampling Matters in Deep Embedding Learning",
    2017,
    "1706.07567",
)
_INFONCE = Paper(
    "oord2018cpc",
    "van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol",
    "Representation Learning with Contrastive Predictive Coding",
    2018,
    "1807.03748",
)
_SMART_REPLY = Paper(
    "henderson2017efficient",
    "Henderson, Matthew and Al-Rfou, Rami and Strope, Brian and Sung, Yun-hsuan and others",
    "Efficient Natural Language Response Suggestion for Smart Reply",
    2017,
    "1705.00652",
)
_CONTRASTIVE = Paper(
    "hadsell2006dimensionality",
    "Hadsell, Raia and Chopra, Sumit and LeCun, Yann",
    "Dimensionality Reduction by Learning an Invariant Mapping",
    2006,
    "10.1109/CVPR.2006.100",
)
OF_LOSSES: dict[str, tuple[Paper, ...]] = {
    "triplet": (_FACENET,),
    "margin_based": (_SAMPLING,),
    "hoffer_ailon": (
        Paper(
            "hoffer2014deep",
            "Hoffer, Elad and Ailon, Nir",
            "Deep Metric Learning Using Triplet Network",
            2014,
            "1412.6622",
        ),
    ),
    "multiple_negatives_ranking": (_SMART_REPLY, _INFONCE),
    "symmetric_ranking": (
        Paper(
            "radford2021clip",
            "Radford, Alec and Kim, Jong Wook and Hallacy, Chris and others",
            "Learning Transferable Visual Models From Natural Language Supervision",
            2021,
            "2103.00020",
        ),
    ),
    "nt_xent": (
        Paper(
            "chen2020simclr",
            "Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey",
            "A Simple Framework for Contrastive Learning of Visual Representations",
            2020,
            "2002.05709",
        ),
    ),
    "simcse": (
        Paper(
            "gao2021simcse",
            "Gao, Tianyu and Yao, Xingcheng and Chen, Danqi",
            "SimCSE: Simple Contrastive Learning of Sentence Embeddings",
            2021,
            "2104.08821",
        ),
    ),
    "moco": (
        Paper(
            "he2020moco",
            "He, Kaiming and Fan, Haoqi and Wu, Yuxin and Xie, Saining and Girshick, Ross",
            "Momentum Contrast for Unsupervised Visual Representation Learning",
            2020,
            "1911.05722",
        ),
    ),
    "supervised_contrastive": (
        Paper(
            "khosla2020supcon",
            "Khosla, Prannay and Teterwak, Piotr and Wang, Chen and Sarna, Aaron and others",
            "Supervised Contrastive Learning",
            2020,
            "2004.11362",
        ),
    ),
    "guided_ranking": (
        Paper(
            "solatorio2024gistembed",
            "Solatorio, Aivin V.",
            "GISTEmbed: Guided In-sample Selection of Training Negatives for Text Embedding Fine-tuning",
            2024,
            "2402.16829",
        ),
    ),
    "contrastive": (_CONTRASTIVE,),
    "online_contrastive": (_CONTRASTIVE,),
    "softmax_classification": (),
    "cosine_regression": (),
    "cosent": (
        Paper(
            "su2022cosent",
            "Su, Jianlin",
            "CoSENT: A more efficient sentence vector scheme than Sentence-BERT",
            2022,
            venue="https://kexue.fm/archives/8847",
        ),
    ),
    "ladder": (
        Paper(
            "zhou2020ladder",
            "Zhou, Mo and Niu, Zhenxing and Wang, Le and Gao, Zhanning and Zhang, Qilin and Hua, Gang",
            "Ladder Loss for Coherent Visual-Semantic Embedding",
            2020,
            "1911.07528",
        ),
    ),
    "relative_comparisons": (
        Paper(
            "schultz2003learning",
            "Schultz, Matthew and Joachims, Thorsten",
            "Learning a Distance Metric from Relative Comparisons",
            2003,
            venue="Advances in Neural Information Processing Systems 16",
        ),
    ),
    "oasis": (
        Paper(
            "chechik2010oasis",
            "Chechik, Gal and Sharma, Varun and Shalit, Uri and Bengio, Samy",
            "Large Scale Online Learning of Image Similarity Through Ranking",
            2010,
            venue="Journal of Machine Learning Research 11",
        ),
    ),
}
"""By the name of the loss; those of Sentence-BERT itself have no entry beside it."""
_OF_MINERS = {
    "hard": _HERMANS,
    "all": _HERMANS,
    "semi_hard": _FACENET,
    "easy_positive": _EASY,
    "distance_weighted": _SAMPLING,
}
MATRYOSHKA = Paper(
    "kusupati2022matryoshka",
    "Kusupati, Aditya and Bhatt, Gantavya and Rege, Aniket and Wallingford, Matthew and others",
    "Matryoshka Representation Learning",
    2022,
    "2205.13147",
)
_WISE_FT = Paper(
    "wortsman2022wiseft",
    "Wortsman, Mitchell and Ilharco, Gabriel and Kim, Jong Wook and Li, Mike and others",
    "Robust fine-tuning of zero-shot models",
    2022,
    "2109.01903",
)
_CACHE = Paper(
    "gao2021cache",
    "Gao, Luyu and Zhang, Yunyi and Han, Jiawei and Callan, Jamie",
    "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    2021,
    "2101.06983",
)
_NV_RETRIEVER = Paper(
    "moreira2024nvretriever",
    "de Souza P. Moreira, Gabriel and Osmulski, Radek and Xu, Mengyao and Ak, Ronay and others",
    "NV-Retriever: Improving text embedding models with effective hard-negative mining",
    2024,
    "2407.15831",
)
_ANCE = Paper(
    "xiong2021ance",
    "Xiong, Lee and Xiong, Chenyan and Li, Ye and Tang, Kwok-Fung and others",
    "Approximate Nearest Neighbor Negative Contrastive Learning for Dense Text Retrieval",
    2021,
    "2007.00808",
)
_CURRICULA = Paper(
    "hacohen2019power",
    "Hacohen, Guy and Weinshall, Daphna",
    "On The Power of Curriculum Learning in Training Deep Networks",
    2019,
    "1904.03626",
)


def papers(recipe: Mapping[str, Any], report: Mapping[str, Any]) -> list[Paper]:
    """The papers of everything that the ``recipe`` (as resolved) uses, each once, Sentence-BERT's first."""
    return list(dict.fromkeys([SBERT, *_of_losses(recipe), *_of_the_rest(recipe, report)]))


def _of_losses(recipe: Mapping[str, Any]) -> Iterator[Paper]:
    several = recipe.get("losses") or [recipe.get("loss")]
    for entry in several if isinstance(several, list) else ():
        inner = mapping(entry).get("loss", entry)
        loss = mapping(inner)
        name = str(loss.get("name", inner if isinstance(inner, str) else ""))
        miner = _OF_MINERS.get(str(loss.get("miner")))
        # What a triplet loss is after depends on how its triplets are chosen.
        yield from (miner,) if miner is not None and name == "triplet" else OF_LOSSES.get(name, ())
        if loss.get("matryoshka"):
            yield MATRYOSHKA


def _of_the_rest(recipe: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[Paper]:
    train, mine = mapping(recipe.get("train")), mapping(recipe.get("mine"))
    if isinstance(train.get("chunk_tokens"), int) and train["chunk_tokens"] > 0:
        yield _CACHE
    if mine.get("negatives") and mine.get("relative_margin") is not None:
        yield _NV_RETRIEVER
    if mine.get("negatives") and mine.get("refresh"):
        yield _ANCE
    if mapping(recipe.get("curriculum")).get("score"):
        yield _CURRICULA
    if is_between(mapping(report.get("weight_line"))):
        yield _WISE_FT
