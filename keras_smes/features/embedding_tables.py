"""Embedding tables: the features of each table, and validation of shared tables."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from keras_smes.features.categories import Category, Embedded
from keras_smes.features.feature import Feature


def tables(features: Iterable[Feature]) -> dict[str, list[Feature]]:
    """Returns the embedding tables by name, each with its features in order."""
    members: dict[str, list[Feature]] = {}
    for feature in features:
        if feature.table_name is not None:
            members.setdefault(feature.table_name, []).append(feature)
    return members


def check_tables(features: Iterable[Feature]) -> None:
    """Rejects features that share a table by mistake, or disagree on its rows."""
    for table, members in tables(features).items():
        if len(members) == 1:
            continue
        names = [feature.name for feature in members]
        unaware = [feature.name for feature in members if getattr(feature, "table", None) is None]
        if unaware:
            raise ValueError(
                f"`table` must not be the name of a feature outside of the table. "
                f"Received: table={table!r}, features={names}, without table={unaware}"
            )
        if differing := _differing([f.item for f in members if isinstance(f, Embedded)]):
            raise ValueError(
                f"Features of one table must agree on {', '.join(differing)}. "
                f"Received: table={table!r}, features={names}"
            )


def _differing(items: list[Category]) -> list[str]:
    rows = [_rows(item) for item in items]
    return [field for field in rows[0] if any(row.get(field) != rows[0][field] for row in rows)]


def _rows(item: Category) -> dict[str, Any]:
    """Fields that determine the row of a value."""
    fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    for aside in ("name", "side", "default"):
        del fields[aside]
    return {"kind": item.kind, **fields}
