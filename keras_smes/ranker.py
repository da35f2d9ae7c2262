"""Rankers: schema, encoder, experts and towers as one Keras functional model."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.features.column_model import ColumnModel
from keras_smes.features.encoder import encode, preprocessed_inputs, preprocessor, raw_inputs
from keras_smes.features.schema import FeatureSchema
from keras_smes.layers.batch_normalization import GlobalBatchNormalization
from keras_smes.layers.task_scores import TaskScores
from keras_smes.layers.task_tower import TaskTower
from keras_smes.tasks import Task, as_tasks

FUSED = "fused"


def build_ranker(
    schema: FeatureSchema,
    tasks: Sequence[Task | str],
    experts: keras.layers.Layer,
    encoder_units: Sequence[int] = (128,),
    tower_units: Sequence[int] = (32,),
    crosses: int = 0,
    cross_dim: int | None = None,
    fusion: keras.layers.Layer | None = None,
    *,
    batch_norm: bool = False,
) -> keras.Model:
    """Builds a multi-task ranker around a layer of experts.

    ```
    raw features -> preprocessor -> core: embeddings -> encoder -> h -> experts -> one tower per task
                 -> logits -> scores, fused
    ```

    Args:
        schema: A fitted `FeatureSchema`: the raw features.
        tasks: Tasks, or names of binary ones, in the order of the experts' outputs.
        experts: A layer `[B, D] -> [B, T, out]`: `SMES`, or a baseline such as `MMoE`.
        encoder_units: Widths of the encoder's MLP. Defaults to `(128,)`.
        tower_units: Widths of each tower's hidden layers, where the task has no `units` of its own.
            Defaults to `(32,)`.
        crosses: Depth of the encoder's cross network; above 0 it needs the extra `ranking`. Defaults to `0`.
        cross_dim: Rank of the crosses' matrices. Defaults to `None`, full.
        fusion: A layer from the dict of scores to one, `[B]`, such as `ScoreFusion`, which the ranker
            returns as `"fused"`. Defaults to `None`, no fusion.
        batch_norm: Boolean, whether h is batch-normalised, see `GlobalBatchNormalization`. Defaults to
            `False`.

    Returns:
        A functional model from a dict of raw columns to a dict of scores, float32 `[B]` per task. Three of
        its layers can be used separately and share their weights with it: `"preprocessor"`, which can also
        run in an input pipeline; `"core"`, from the preprocessor's outputs to each task's logits, which
        training compiles and fits; and `"scores"`, a `TaskScores`, which holds the tasks.

    Raises:
        ValueError: Two tasks have one name, `experts` has another number of tasks, or a feature has the name
            of a layer: `experts`, `fusion` or the `tower_TASK` of a task.

    Example:

    >>> features = (IntegerCategory("user_id", vocabulary=(7, 9)), Number("age", mean=30.0, std=9.0))
    >>> schema = FeatureSchema(features)
    >>> smes = SMES(num_tasks=2, num_experts=8, num_shared=1, num_private=1, expert_units=(32, 16))
    >>> ranker = build_ranker(schema, ["click", BinaryTask("buy", condition="click")], smes)
    >>> scores = ranker({"user_id": np.array([7, 8]), "age": np.array([25.0, 31.0])})
    >>> scores["click"].shape
    (2,)
    """
    tasks = as_tasks(tasks)
    inputs, raw = preprocessed_inputs(schema), raw_inputs(schema)
    _check_layer_names("tasks", [tower_name(task.name) for task in tasks], inputs)
    _check_layer_names("experts", [experts.name], inputs)
    if fusion is not None:
        _check_layer_names("fusion", [fusion.name], raw)
    h_bd = encode(schema, inputs, encoder_units, crosses, cross_dim)
    if batch_norm:
        h_bd = GlobalBatchNormalization(name="batch_norm")(h_bd)
    mixed_bto = experts(h_bd)
    if mixed_bto.shape[1] != len(tasks):
        raise ValueError(
            f"`experts` must return one vector per task, {len(tasks)} of them. "
            f"Received: outputs of shape {tuple(mixed_bto.shape)}"
        )
    # One unstack: the gradient of a slice is as large as the whole tensor.
    mixed_tbo = ops.unstack(mixed_bto, len(tasks), axis=1)
    logits = {task.name: _tower(task, tower_units)(own) for task, own in zip(tasks, mixed_tbo, strict=True)}
    core = keras.Model(inputs, logits, name="core")
    scores = TaskScores(tasks, name="scores")(core(preprocessor(schema)(raw)))
    fused = {} if fusion is None else {FUSED: fusion(scores)}
    return ColumnModel(raw, {**scores, **fused}, name="ranker")


def _tower(task: Task, units: Sequence[int]) -> TaskTower:
    own = units if task.units is None else task.units
    return TaskTower(own, task.width, name=tower_name(task.name))


def tower_name(task: str) -> str:
    """Returns the name of a task's tower among the layers of `"core"`."""
    return f"tower_{task}"


def _check_layer_names(argument: str, layers: Sequence[str], inputs: Mapping[str, Any]) -> None:
    """Rejects layers whose name is also a feature's; the schema can't know the layers' names."""
    if taken := sorted(set(layers) & set(inputs)):
        raise ValueError(f"`{argument}` must not have the name of a feature. Received: {taken}")
