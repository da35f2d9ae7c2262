"""The signatures of a ranker, each a function of named columns with typed inputs.

| signature | inputs | outputs |
| --- | --- | --- |
| `serving_default` | raw features `[B, ...]` | a score per task, `[B]`; `fused` |
| `rank` | one user `[1, ...]`, candidates `[N, ...]` | the same, `[N]`; `order`, best first |
| `classify` | tf.Examples `[B]` | the tasks as classes, `[B, T]` |
| `regress_TASK`, `regress` | tf.Examples `[B]` | that task's score; the fused one |
| `routing` | raw features `[B, ...]` | executed experts and the tasks' gates |

`fused`, `order` and `regress` need a fusion. `classify` and `regress` cover tasks with one score per row, and
need inputs that a tf.Example can hold. `routing` needs exactly one layer with routing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from keras_smes.export.graph.compiled import with_compiled_core
from keras_smes.export.graph.inputs import Inputs, filled, is_built_ranker
from keras_smes.export.graph.tf_examples import have_examples, parse_examples
from keras_smes.export.graph.user_broadcast import run_once_a_side
from keras_smes.features.schema import check_name
from keras_smes.types import Tensor

Columns = Mapping[str, Tensor]
Scores = dict[str, Tensor]
Fusion = Callable[[Scores], Tensor]
FUSED, ORDER = "fused", "order"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A signature to write.

    Args:
        run: From a dict of columns to a dict of outputs.
        specs: Its inputs.
        method: Its method in TF Serving: `"predict"`, `"classify"` or `"regress"`.
    """

    run: Callable[[Columns], Scores]
    specs: dict[str, tf.TensorSpec]
    method: str = "predict"


def make_endpoints(
    ranker: keras.Model, inputs: Inputs, fusion: Fusion | None = None, xla: bool = False
) -> dict[str, Endpoint]:
    """Returns all signatures that the ranker supports, by name.

    Raises:
        ValueError: A task's name can't be served, or is that of another output.
    """
    tasks = tasks_of(ranker, fusion)
    specs = {name: item.spec for name, item in inputs.items()}
    scorer = with_compiled_core(ranker) if xla else ranker

    def score(columns: Columns) -> Scores:
        return _named(scorer(filled(columns, inputs, _rows(columns, inputs)), training=False), fusion)

    @tf.function(autograph=False)  # one function in the graph for all signatures
    def score_examples(examples: Columns) -> Scores:
        return score(parse_examples(examples["inputs"], inputs))

    made = {"serving_default": Endpoint(score, specs), "rank": _rank(scorer, inputs, fusion)}
    single = [task for task in tasks if tuple(ranker.output[task].shape[1:]) in ((), (1,))]
    if single and have_examples(inputs):
        made |= _of_examples(score_examples, single, fusion is not None or FUSED in ranker.output)
    if (route := routing_of(ranker)) is not None:
        made["routing"] = Endpoint(_explanation(route, inputs), specs)
    return made


def tasks_of(ranker: keras.Model, fusion: Fusion | None = None) -> list[str]:
    """Returns the names of the scores without the fused one."""
    if not isinstance(ranker.output, dict):
        raise ValueError(f"`ranker` must return a dict of named scores. Received: ranker={ranker!r}")
    taken = {ORDER, FUSED} if fusion is not None else {ORDER}
    for task in ranker.output:
        if check_name("task", task) in taken:
            raise ValueError(
                f"`{task}` is another output of the signatures. Received: tasks={list(ranker.output)}"
            )
    return [task for task in ranker.output if task != FUSED]


def _named(scores: Scores, fusion: Fusion | None) -> Scores:
    fused = {} if fusion is None else {FUSED: flat(fusion(scores))}
    return {name: tf.cast(score, tf.float32) for name, score in {**scores, **fused}.items()}


def flat(score: Tensor) -> Tensor:
    """Reshapes scores `[B]` or `[B, 1]` to `[B]`."""
    return tf.reshape(score, [-1]) if score.shape.rank == 2 and score.shape[1] == 1 else score


def _rows(columns: Columns, inputs: Inputs) -> Tensor:
    """The number of rows of a request, from an input without default.

    If all inputs have defaults, the default of an omitted one has a single row, unlike the others.
    """
    needed = [name for name in columns if inputs[name].default is None]
    if needed:
        return tf.shape(columns[needed[0]])[0]
    rows_n = tf.stack([tf.shape(column)[0] for column in columns.values()])
    return tf.where(tf.reduce_min(rows_n) == 0, 0, tf.reduce_max(rows_n))


def _rank(ranker: keras.Model, inputs: Inputs, fusion: Fusion | None) -> Endpoint:
    user = [name for name, item in inputs.items() if item.of_user]

    def rank(columns: Columns) -> Scores:
        candidates = {name: column for name, column in columns.items() if name not in user}
        rows = _rows(candidates or columns, inputs)
        columns = {**columns, **filled(candidates, inputs, rows)}
        scores = _named(run_once_a_side(ranker, columns, user, rows), fusion)
        if FUSED not in scores:
            return scores
        return {**scores, ORDER: tf.argsort(scores[FUSED], direction="DESCENDING", stable=True)}

    one = {
        name: tf.TensorSpec([1, *inputs[name].spec.shape[1:]], inputs[name].spec.dtype, name) for name in user
    }
    return Endpoint(rank, {name: one.get(name, item.spec) for name, item in inputs.items()})


def _of_examples(
    score: Callable[[Columns], Scores], tasks: Sequence[str], has_fused: bool
) -> dict[str, Endpoint]:
    specs = {"inputs": tf.TensorSpec([None], tf.string, name="inputs")}

    def classify(examples: Columns) -> Scores:
        scores = score(examples)
        scores_bt = tf.stack([flat(scores[task]) for task in tasks], axis=1)
        return {
            "classes": tf.repeat(tf.constant([tasks]), tf.shape(scores_bt)[0], axis=0),
            "scores": scores_bt,
        }

    def regress(name: str) -> Endpoint:
        return Endpoint(lambda examples: {"outputs": flat(score(examples)[name])}, specs, "regress")

    made = {"classify": Endpoint(classify, specs, "classify")}
    made |= {f"regress_{task}": regress(task) for task in tasks}
    return {**made, "regress": regress(FUSED)} if has_fused else made


def routing_of(ranker: keras.Model) -> Callable[[Columns], dict[str, Tensor]] | None:
    """Returns the function from raw columns to routing, if exactly one layer of the ranker has routing."""
    model = ranker.get_layer("core") if is_built_ranker(ranker) else ranker
    routers = [layer for layer in model.layers if hasattr(layer, "route")]
    if len(routers) != 1:
        return None
    (router,) = routers
    encoder = keras.Model(model.input, router.input)
    if model is ranker:
        return lambda columns: router.route(encoder(columns, training=False))
    preprocessor = ranker.get_layer("preprocessor")
    return lambda columns: router.route(encoder(preprocessor(columns), training=False))


def _explanation(
    route: Callable[[Columns], dict[str, Tensor]], inputs: Inputs
) -> Callable[[Columns], Scores]:
    def explain(columns: Columns) -> Scores:
        routing = route(filled(columns, inputs, _rows(columns, inputs)))
        weights_bte, expert_bm = routing["weights"], routing["executed"]
        is_expert_bm = expert_bm < weights_bte.shape[2]
        gates_btm = tf.gather(weights_bte, tf.where(is_expert_bm, expert_bm, 0), axis=2, batch_dims=1)
        return {
            "experts": tf.where(is_expert_bm, expert_bm, -1),
            "gates": tf.where(is_expert_bm[:, None], gates_btm, 0.0),
            "shared_experts": routing["shared_experts"],
        }

    return explain
