"""A ranker: schema, encoder, experts and towers as one Keras functional model."""

from collections.abc import Sequence

import keras

from keras_smes.features.encoder import encode, preprocessed_inputs, preprocessor, raw_inputs
from keras_smes.features.schema import FeatureSchema, check_name
from keras_smes.layers.task_tower import TaskTower


def build_ranker(
    schema: FeatureSchema,
    tasks: Sequence[str],
    experts: keras.layers.Layer,
    encoder_units: Sequence[int] = (128,),
    tower_units: Sequence[int] = (32,),
) -> keras.Model:
    """Builds a multi-task ranker around a layer of experts.

    ```
    raw features -> preprocessor -> core: embeddings -> encoder -> h -> experts -> one tower a task
    ```

    Args:
        schema: A fitted `FeatureSchema`: the raw features.
        tasks: Names of the tasks, in the order of the experts' outputs.
        experts: A layer `[B, D] -> [B, T, out]`: `SMES`, or a baseline such as `MMoE`.
        encoder_units: Widths of the encoder's MLP. Defaults to `(128,)`.
        tower_units: Widths of each tower's hidden layers. Defaults to `(32,)`.

    Returns:
        A functional model from a dict of raw columns `[B]` to a dict of scores, float32 `[B]` a
        task. Its layer `"preprocessor"` can run in an input pipeline instead, and its layer
        `"core"` be trained alone on what that puts out: they share their weights with the whole.

    Raises:
        ValueError: A task's name can't be served, is used twice, or `experts` has another number of
            tasks.

    Example:

    >>> features = (IntegerCategory("user_id", vocabulary=(7, 9)), Number("age", mean=30.0, std=9.0))
    >>> schema = FeatureSchema(features)
    >>> smes = SMES(num_tasks=2, num_experts=8, num_shared=1, num_private=1, expert_units=(32, 16))
    >>> ranker = build_ranker(schema, ["click", "like"], smes)
    >>> scores = ranker({"user_id": np.array([7, 8]), "age": np.array([25.0, 31.0])})
    >>> scores["click"].shape
    (2,)
    """
    for task in tasks:
        check_name("tasks", task)
    if len(set(tasks)) != len(tasks):
        raise ValueError(f"`tasks` must be named once each. Received: tasks={list(tasks)}")
    inputs = preprocessed_inputs(schema)
    mixed_bto = experts(encode(schema, inputs, encoder_units))
    if mixed_bto.shape[1] != len(tasks):
        raise ValueError(
            f"`experts` must put out one vector a task, {len(tasks)} of them. "
            f"Received: outputs of shape {tuple(mixed_bto.shape)}"
        )
    scores = {
        task: TaskTower(tower_units, name=f"tower_{task}")(mixed_bto[:, t]) for t, task in enumerate(tasks)
    }
    core = keras.Model(inputs, scores, name="core")
    raw = raw_inputs(schema)
    return keras.Model(raw, core(preprocessor(schema)(raw)), name="ranker")
