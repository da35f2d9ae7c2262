"""Export to a SavedModel: writes, audits, verifies, warms up, describes, and only then publishes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_smes.export.audit import audit
from keras_smes.export.graph.endpoints import Fusion
from keras_smes.export.graph.inputs import named_model, served_inputs
from keras_smes.export.graph.signature_defs import read_signatures
from keras_smes.export.graph.signatures import write_saved_model
from keras_smes.export.graph.table_lookups import Arrays, with_tables
from keras_smes.export.model_card import describe_signatures, ranker_facts, write_card
from keras_smes.export.publish import publish
from keras_smes.export.verification.parity_cases import make_parity_cases, make_parity_cases_without_optional
from keras_smes.export.verification.verify import Proof, verify
from keras_smes.export.warmup import Filters, write_warmup
from keras_smes.features.schema import FeatureSchema
from keras_smes.validation import check_counts

if TYPE_CHECKING:
    from keras_smes.data import FeatureTables

BATCH_SIZES = (1, 8, 64)


@dataclasses.dataclass(frozen=True)
class Exported:
    """A published version.

    Args:
        folder: The version's directory.
        signatures: Names of its signatures.
        proof: Result of the verification.
        warmup_records: Number of records in its warm-up file.
    """

    folder: Path
    signatures: list[str]
    proof: Proof
    warmup_records: int


def export_version(
    ranker: keras.Model,
    model_folder: str | Path,
    schema: FeatureSchema | None = None,
    fusion: Fusion | None = None,
    *,
    version: int | None = None,
    signatures: Sequence[str] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    output_filters: Filters | None = None,
    xla: bool = False,
    runtime: str | Path | None = None,
    facts: Mapping[str, Any] | None = None,
    batching: bool = False,
    before: Callable[[], object] | None = None,
    tables: "FeatureTables | None" = None,
) -> Exported:
    """Publishes a ranker as a version for TF Serving, after verifying that it scores as Keras does.

    Args:
        ranker: A functional or sequential model, such as one of `build_ranker`; see `write_saved_model`.
        model_folder: Folder of the model, which holds one directory per version.
        schema: The ranker's `FeatureSchema`; see `write_saved_model`. Defaults to `None`.
        fusion: From the scores by task to one score `[B]`. Defaults to `None`.
        version: Number of the version. Defaults to `None`, one more than the highest.
        signatures: Names of the signatures to write. Defaults to `None`, all of them.
        batch_sizes: The server's allowed batch sizes, which are verified and warmed up. Defaults to
            `(1, 8, 64)`.
        output_filters: Output filters of clients, by signature; see `write_warmup`. Defaults to each output
            by itself.
        xla: Whether XLA compiles the ranker's core, for servers with XLA enabled. Defaults to `False`.
        runtime: Folder of another installed `tensorflow` to verify on. Defaults to `None`.
        facts: Further entries of the model card. Defaults to none.
        batching: Whether the server batches requests. Such a server rejects `rank`, whose inputs have
            different numbers of rows, also in a warm-up file, which then leaves it out. Defaults to `False`.
        before: Called after verification and before publication, which an exception prevents. Defaults to
            `None`.
        tables: `FeatureTables` to put into the graph of a ranker of `build_ranker`: requests then hold their
            keys instead of their features. Defaults to `None`.

    Returns:
        An `Exported`.

    Raises:
        ValueError: The model, a name or the graph can't be served, or an output differs from Keras.
        FileExistsError: The version exists already.
    """
    sizes = check_counts("batch_sizes", list(batch_sizes))
    ranker = named_model(ranker)
    described = ranker_facts(ranker, fusion)
    keys: Sequence[Arrays] = ()
    if tables is not None:
        whole = with_tables(ranker, schema, tables)
        ranker, schema, keys = whole.ranker, whole.schema, whole.keys
        described["feature_tables"] = whole.description
    inputs = served_inputs(ranker, schema)
    seen: dict[str, Any] = {}

    def write(folder: Path) -> None:
        write_saved_model(ranker, folder, schema, fusion, signatures, xla)
        audit(folder, xla)
        written = list(read_signatures(folder))
        cases = make_parity_cases(ranker, inputs, written, sizes, fusion, keys)
        without = make_parity_cases_without_optional(ranker, inputs, written, sizes[-1], fusion, keys)
        proof = verify(folder, [*cases, *without], xla, runtime)
        warmed = [q for q in cases if not (batching and q.signature == "rank")]
        records = write_warmup(folder, warmed, output_filters)
        seen.update(signatures=written, proof=proof, warmup_records=records)
        known = {"xla": xla, "batch_sizes": sizes, "proof": dataclasses.asdict(proof)}
        write_card(folder, inputs, describe_signatures(folder), {**described, **known, **(facts or {})})
        if before is not None:
            before()

    return Exported(publish(write, model_folder, version), **seen)
