"""The tables: which columns hold what, in a table of ours and in an application's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from sbert_triplet.search.filters import BOUNDS, Condition, OneOf
from sbert_triplet.search.store import About, StoreError
from sbert_triplet.search.stores.kept import without_nul
from sbert_triplet.search.stores.pgvector.connection import Address

GENERATIONS, DIGESTS = "sbert_triplet_generations", "sbert_triplet_digests"
"""Tables: what generations there are, and the digests of what an application's rows were embedded of."""
TYPES = {"fp32": "vector", "fp16": "halfvec", "binary": "halfvec"}
OPERATORS = {"cosine": "<=>", "dot": "<#>", "euclidean": "<->", "manhattan": "<+>"}
CLASSES = {"cosine": "cosine", "dot": "ip", "euclidean": "l2", "manhattan": "l1"}
LARGEST = {"vector": 2000, "halfvec": 4000}
"""Dimensions that pgvector makes a graph of; beyond them every passage is compared."""
_SIGNS = dict(zip(BOUNDS, (">", ">=", "<", "<="), strict=True))


def named(name: str) -> sql.Identifier:
    """``table`` or ``schema.table``."""
    return sql.Identifier(*name.split("."))


@dataclass(frozen=True)
class Shape:
    """Expressions over one table. ``adopted``: it is an application's own, one row a document."""

    table: str
    id: str
    embedding: str
    number: sql.Composable
    first: sql.Composable
    last: sql.Composable
    text: sql.Composable
    metadata: sql.Composable
    digest: sql.Composable
    adopted: bool
    id_type: str = "text"

    @classmethod
    def own(cls, table: str) -> Shape:
        """Of a table that ``create`` made."""
        return cls(
            table,
            "id",
            "embedding",
            number=sql.Identifier("number"),
            first=sql.Identifier("first"),
            last=sql.Identifier("last"),
            text=sql.Identifier("text"),
            metadata=sql.Identifier("metadata"),
            digest=sql.Identifier("digest"),
            adopted=False,
        )

    @classmethod
    def adopting(cls, cursor: Any, address: Address, embedding: str) -> Shape:
        """Of an application's table. Raises StoreError where it or a column is missing."""
        cursor.execute("select to_regclass(%s)", (named(address.table).as_string(cursor),))
        if cursor.fetchone()[0] is None:
            raise StoreError(f"{address.shown}: there is no table {address.table}")
        cursor.execute(
            "select attname, format_type(atttypid, atttypmod), atttypid::regtype::text from pg_attribute "
            "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
            (named(address.table).as_string(cursor),),
        )
        columns = {name: (kind, plain) for name, kind, plain in cursor.fetchall()}
        assert address.id is not None
        for wanted in (address.id, address.text):
            if wanted is not None and wanted not in columns:
                raise StoreError(
                    f"{address.shown}: {address.table} has no column {wanted}; it has {', '.join(columns)}"
                )
        others = [
            name
            for name, (_, plain) in columns.items()
            if name not in (address.id, address.text) and plain not in ("vector", "halfvec", "bit")
        ]
        pairs = [part for name in others for part in (sql.Literal(name), sql.Identifier(name))]
        text = sql.Identifier(address.text) if address.text else sql.Literal("")
        return cls(
            address.table,
            address.id,
            embedding,
            number=sql.SQL("0"),
            first=sql.SQL("0"),
            last=sql.SQL("length({})").format(text),
            text=text,
            metadata=sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs)),
            digest=sql.Literal(""),
            adopted=True,
            id_type=columns[address.id][0],
        )

    def selected(self) -> sql.Composed:
        """The columns of a record: id, number, first, last, text, metadata, digest."""
        parts = [self.number, self.first, self.last, self.text, self.metadata, self.digest]
        id = sql.SQL("{}::text").format(sql.Identifier(self.id))
        return sql.SQL(", ").join([id, *parts])


def create_table(table: str, about: About) -> sql.Composed:
    """A table of ours."""
    return sql.SQL(
        "create table {} (id text not null, number integer not null, first integer not null, "
        "last integer not null, text text not null, metadata jsonb not null, digest text not null, "
        "embedding {} not null, primary key (id, number))"
    ).format(named(table), vector_type(about))


def vector_type(about: About) -> sql.SQL:
    """``vector(D)`` or ``halfvec(D)``."""
    return sql.SQL(f"{TYPES[about.precision]}({int(about.dimensions)})")


def graph_on(shape: Shape, about: About) -> sql.Composed:
    """The statement that makes the graph: over the embeddings, or over their signs."""
    column = sql.Identifier(shape.embedding)
    if about.precision == "binary":
        what = sql.SQL(f"(binary_quantize({{}})::bit({int(about.dimensions)})) bit_hamming_ops").format(
            column
        )
    else:
        what = sql.SQL(f"{{}} {TYPES[about.precision]}_{CLASSES[about.similarity]}_ops").format(column)
    return sql.SQL("create index on {} using hnsw ({})").format(named(shape.table), what)


def nearest(
    shape: Shape, about: About, conditions: Sequence[Condition]
) -> tuple[sql.Composed, dict[str, Any]]:
    """The statement for a ``query``: its ``k`` nearest of all, or of so many ``candidates``, by distance."""
    where, values = meeting(shape, conditions)
    column, kind = sql.Identifier(shape.embedding), TYPES[about.precision]
    width, among = int(about.dimensions), named(shape.table)
    distance = sql.SQL(f"{{}} {OPERATORS[about.similarity]} %(query)s::{kind}({width})").format(column)
    if about.precision != "binary":
        query = sql.SQL("select {}, {} from {} where {} order by {} limit %(k)s")
        return query.format(shape.selected(), distance, among, where, distance), values
    query = sql.SQL(
        "select {}, {} from (select * from {} where {} "
        f"order by binary_quantize({{}})::bit({width}) <~> binary_quantize(%(query)s::{kind}({width})) "
        "limit %(candidates)s) as near order by {} limit %(k)s"
    )
    return query.format(shape.selected(), distance, among, where, column, distance), values


def meeting(shape: Shape, conditions: Sequence[Condition]) -> tuple[sql.Composable, dict[str, Any]]:
    """What stands after ``where``: rows with an embedding that meet all conditions; and its named values."""
    clauses: list[sql.Composable] = [sql.SQL("{} is not null").format(sql.Identifier(shape.embedding))]
    values: dict[str, Any] = {}

    def given(value: Any) -> sql.Placeholder:
        name = f"value{len(values)}"
        values[name] = value
        return sql.Placeholder(name)

    clauses += [_clause(shape.metadata, condition, given) for condition in conditions]
    return sql.SQL(" and ").join(clauses), values


def _clause(
    metadata: sql.Composable, condition: Condition, given: Callable[[Any], sql.Placeholder]
) -> sql.Composable:
    key = without_nul(condition.key)
    if isinstance(condition, OneOf):
        each = [
            sql.SQL("{} @> {}").format(metadata, given(Jsonb({key: plain(value)})))
            for value in condition.values
        ]
        return sql.SQL("({})").format(sql.SQL(" or ").join(each) if each else sql.SQL("false"))
    one = sql.SQL("{} -> {}").format(metadata, given(key))
    parts: list[sql.Composable] = [sql.SQL("jsonb_typeof({}) = 'number'").format(one)]
    for name, bound in condition.bounds().items():
        parts.append(sql.SQL(f"({{}}) {_SIGNS[name]} {{}}").format(one, given(Jsonb(bound))))
    return sql.SQL("({})").format(sql.SQL(" and ").join(parts))


def plain(value: Any) -> Any:
    """A value of metadata as jsonb can hold it."""
    return without_nul(value) if isinstance(value, str) else value
