"""Baselines: one paper a file, each a layer `[B, D] -> [B, T, out]` on h of the same encoder.

| name | layer | runs, of an instance | source |
| --- | --- | --- | --- |
| `shared_bottom` | `SharedBottom` | its one MLP | Caruana, Machine Learning 1997 |
| `mmoe` | `MMoE` | all experts | Ma et al., KDD 2018 |
| `ple` | `PLE` | all experts of all levels | Tang et al., RecSys 2020 |
| `home` | `HoME` | all experts of both levels | Wang et al., arXiv 2408.05430, KDD 2025 |
| `naive_sparse` | `NaiveSparse` | the union of the tasks' picks | Shazeer et al., ICLR 2017, once a task |
| `smes_task_balance` | `TaskBalancedSMES` | as SMES | ablation: Switch's loss for each router alone |
| `smes` | `SMES` | the shared subset and the tasks' own picks | arXiv 2602.09386 |

`build_experts` builds any of them by name; `cost` counts what each executes, and sizes one like another.

Two neighbours are not here, because what is public doesn't make them a layer of this shape:

- MoME (mixture of masked experts, SIGIR 2024): its experts are one over-parameterised network under binary
  masks. How the masks are trained (scores, thresholds, gradient estimator, schedule) decides what the
  model is, and no open text or code that we found defines it. A guess would not be a baseline.
- RankMixer (arXiv 2507.15551): defined well enough, but it mixes tokens of features and puts sparse
  experts inside that mixing. It takes the place of the encoder and has no h `[B, D]` to start from, so that
  "on the same encoder" has no meaning for it. Its ReLU routing alone, on h, would not be RankMixer.

HoME leaves details open; its docstring marks what is chosen here.
"""

from keras_smes.baselines.home import HoME
from keras_smes.baselines.mmoe import MMoE
from keras_smes.baselines.naive_sparse import NaiveSparse
from keras_smes.baselines.ple import PLE
from keras_smes.baselines.registry import MODELS, build_experts, model_options
from keras_smes.baselines.shared_bottom import SharedBottom
from keras_smes.baselines.task_balance import TaskBalancedSMES, TaskBalanceRegularizer

__all__ = [
    "MODELS",
    "PLE",
    "HoME",
    "MMoE",
    "NaiveSparse",
    "SharedBottom",
    "TaskBalanceRegularizer",
    "TaskBalancedSMES",
    "build_experts",
    "model_options",
]
