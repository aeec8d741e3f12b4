"""postgresql://...: the generations of an index in a database.

Of a table of ours the current generation bears the name that the URL gives, the others NAME__NUMBER. Of an
application's own table they are columns, the current one with the name that the URL gives. To switch is to
rename, in one transaction, so that the application's SQL goes on working.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg import sql

from sbert_triplet.search.store import About, Collection, StoreError
from sbert_triplet.search.stores.kept import refuse_precision
from sbert_triplet.search.stores.pgvector.collection import PgCollection
from sbert_triplet.search.stores.pgvector.connection import Address, Connection
from sbert_triplet.search.stores.pgvector.shape import (
    DIGESTS,
    GENERATIONS,
    OPERATORS,
    Shape,
    create_table,
    named,
    vector_type,
)

_PRECISIONS = ("fp32", "fp16", "binary")


class PgStore:
    """The generations of one table."""

    precisions = _PRECISIONS

    def __init__(self, address: Address) -> None:
        self._address, self._connection = address, Connection(address)
        self.url = address.shown

    def generations(self) -> list[str]:
        return [str(number) for number, *_ in self._known()]

    def current(self) -> str | None:
        return next((str(number) for number, current, _ in self._known() if current), None)

    def create(self, about: About) -> str:
        refuse_precision(self.url, about, self.precisions, tuple(OPERATORS))
        with self._connection.transaction() as cursor:
            self._prepare(cursor)
            cursor.execute(f"lock table {GENERATIONS} in exclusive mode")
            known = self._known(cursor)
            number, first = max((one for one, *_ in known), default=0) + 1, not known
            self._make(cursor, about, number, first)
            cursor.execute(
                f"insert into {GENERATIONS} values (%s, %s, %s, %s)",
                (self._address.table, number, first, json.dumps(about.as_json())),
            )
        return str(number)

    def open(self, generation: str) -> Collection:
        known = {str(number): about for number, _, about in self._known()}
        if generation not in known:
            raise StoreError(f"{self.url}: there is no generation {generation!r}")
        about = About.of_json(known[generation])

        def shape_now(cursor: Any) -> Shape:
            current = {number: current for number, current, _ in self._known(cursor)}
            if int(generation) not in current:
                raise StoreError(f"{self.url}: generation {generation} was dropped meanwhile; open it again")
            return self._shape(cursor, self._name(int(generation), current[int(generation)]))

        return PgCollection(self._connection, shape_now, about, generation)

    def switch(self, generation: str) -> None:
        with self._connection.transaction() as cursor:
            cursor.execute(f"lock table {GENERATIONS} in exclusive mode")
            known = self._known(cursor)
            if int(generation) not in [number for number, *_ in known]:
                raise StoreError(f"{self.url}: there is no generation {generation!r}")
            before = next(number for number, current, _ in known if current)
            if before == int(generation):
                return
            self._rename(cursor, self._name(before, True), self._name(before, False))
            self._rename(cursor, self._name(int(generation), False), self._name(int(generation), True))
            cursor.execute(
                f"update {GENERATIONS} set current = (generation = %s) where name = %s",
                (int(generation), self._address.table),
            )

    def drop(self, generation: str) -> None:
        if generation == self.current():
            raise StoreError(f"{self.url}: generation {generation} is current; switch to another one first")
        number, table = int(generation), self._address.table
        with self._connection.transaction() as cursor:
            name = self._name(number, False)
            if self._address.id is None:
                cursor.execute(sql.SQL("drop table {}").format(named(name)))
            else:
                cursor.execute(
                    sql.SQL("alter table {} drop column {}").format(named(table), sql.Identifier(name))
                )
            for kept in (GENERATIONS, DIGESTS):
                cursor.execute(f"delete from {kept} where name = %s and generation = %s", (table, number))

    def close(self) -> None:
        self._connection.close()

    def _known(self, cursor: Any = None) -> list[tuple[int, bool, dict[str, Any]]]:
        """Number, whether it is current, and what it says of itself, in order."""
        if cursor is None:
            with self._connection.transaction() as one:
                return self._known(one)
        cursor.execute("select to_regclass(%s)", (GENERATIONS,))
        if cursor.fetchone()[0] is None:
            return []
        cursor.execute(
            f"select generation, current, about from {GENERATIONS} where name = %s order by generation",
            (self._address.table,),
        )
        return list(cursor.fetchall())

    def _prepare(self, cursor: Any) -> None:
        cursor.execute("create extension if not exists vector")
        cursor.execute(
            f"create table if not exists {GENERATIONS} (name text, generation integer, "
            "current boolean not null, about jsonb not null, primary key (name, generation))"
        )
        cursor.execute(
            f"create table if not exists {DIGESTS} (name text, generation integer, id text, "
            "digest text not null, primary key (name, generation, id))"
        )

    def _make(self, cursor: Any, about: About, number: int, first: bool) -> None:
        name = self._name(number, first)
        if self._address.id is None:
            cursor.execute("select to_regclass(%s)", (named(name).as_string(cursor),))
            if cursor.fetchone()[0] is not None:
                raise StoreError(
                    f"{self.url}: there is a table {name} that is no index; name another one with "
                    "?table=NAME, or columns of it with &id=COLUMN&text=COLUMN&embedding=COLUMN, to have "
                    "embeddings put into it"
                )
            cursor.execute(create_table(name, about))
            return
        self._shape(cursor, name)
        table, column = named(self._address.table), sql.Identifier(name)
        cursor.execute(sql.SQL("alter table {} add column {} {}").format(table, column, vector_type(about)))

    def _name(self, number: int, current: bool) -> str:
        """Of the table, or of the column in an application's own."""
        name = self._address.table if self._address.id is None else self._address.embedding
        return name if current else f"{name}__{number}"

    def _shape(self, cursor: Any, name: str) -> Shape:
        if self._address.id is None:
            return Shape.own(name)
        return Shape.adopting(cursor, self._address, name)

    def _rename(self, cursor: Any, old: str, new: str) -> None:
        if self._address.id is None:
            to = sql.Identifier(new.split(".")[-1])
            cursor.execute(sql.SQL("alter table {} rename to {}").format(named(old), to))
            return
        cursor.execute(
            sql.SQL("alter table {} rename column {} to {}").format(
                named(self._address.table), sql.Identifier(old), sql.Identifier(new)
            )
        )


def opened(url: str) -> PgStore:
    """The store of a URL. Raises StoreError where the server does not answer."""
    return PgStore(Address.of(url))
