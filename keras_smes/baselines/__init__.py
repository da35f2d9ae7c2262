"""Baselines: one file per paper, each a layer `[B, D] -> [B, T, out]` on h of the same encoder.

| name | layer | executed per instance | source |
| --- | --- | --- | --- |
| `shared_bottom` | `SharedBottom` | its one MLP | Caruana, Machine Learning 1997 |
| `mmoe` | `MMoE` | all experts | Ma et al., KDD 2018 |
| `ple` | `PLE` | all experts of all levels | Tang et al., RecSys 2020 |
| `home` | `HoME` | all experts of both levels | Wang et al., arXiv 2408.05430 (a reading) |
| `naive_sparse` | `NaiveSparse` | the union of the tasks' choices | Shazeer et al., ICLR 2017, once per task
| | `smes_task_balance` | `TaskBalancedSMES` | as SMES | ablation: Switch's loss per router |
| `smes` | `SMES` | the shared subset and each task's private experts | arXiv 2602.09386 |

`build_experts` builds any of them by name; `cost` counts their multiplications and matches sizes.

Two related models are not included:

- MoME (mixture of masked experts): its experts are one over-parameterised network under learned binary
  masks. According to a survey, relaxed Bernoulli draws under an L0 penalty mask neurons and weights. We found
  no public source of the equations, the penalty's weights and the schedule, which define the model.
- RankMixer (arXiv 2507.15551): it mixes tokens of features, with sparse experts inside of that mixing. It
  replaces the encoder and has no input h `[B, D]`, so it can't be compared on the same encoder. Its ReLU
  routing alone, on h, would not be RankMixer.

HoME is an interpretation of public accounts; its docstring says what is certain and what we chose.
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
