"""The data audit: what is wrong or doubtful about rows before anything is trained on them."""

from sbert_triplet.evaluation.audit.findings import Audit, Finding
from sbert_triplet.evaluation.audit.plan import Margin
from sbert_triplet.evaluation.audit.prompts import Prompts, known_prompts
from sbert_triplet.evaluation.audit.repeats import equal_rows
from sbert_triplet.evaluation.audit.run import audit_examples

__all__ = ["Audit", "Finding", "Margin", "Prompts", "audit_examples", "equal_rows", "known_prompts"]
