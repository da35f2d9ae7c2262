"""Baselines: one paper a file, each a layer `[B, D] -> [B, T, out]` on h of the same encoder.

| name | layer | runs, of an instance | source |
| --- | --- | --- | --- |
| `shared_bottom` | `SharedBottom` | its one MLP | Caruana, Machine Learning 1997 |
| `mmoe` | `MMoE` | all experts | Ma et al., KDD 2018 |
| `ple` | `PLE` | all experts of all levels | Tang et al., RecSys 2020 |
| `home` | `HoME` | all experts of both levels | Wang et al., arXiv 2408.05430 (a reading) |
| `naive_sparse` | `NaiveSparse` | the union of the tasks' picks | Shazeer et al., ICLR 2017, once a task |
| `smes_task_balance` | `TaskBalancedSMES` | as SMES | ablation: Switch's loss for each router alone |
| `smes` | `SMES` | the shared subset and the tasks' own picks | arXiv 2602.09386 |

`build_experts` builds any of them by name; `cost` counts what each executes, and sizes one like another.

Two neighbours are not here, because what is public doesn't make them a layer of this shape:

- MoME (mixture of masked experts): its experts are one over-parameterised network under learnt binary
  masks. By a survey's account neurons and weights are masked, by relaxed Bernoulli draws under an L0
  penalty. The equations themselves, the penalty's weights and the schedule we found nowhere in the open,
  and they decide what the model is. A guess would not be a baseline.
- RankMixer (arXiv 2507.15551): defined well enough, but it mixes tokens of features and puts sparse
  experts inside that mixing. It takes the place of the encoder and has no h `[B, D]` to start from, so that
  "on the same encoder" has no meaning for it. Its ReLU routing alone, on h, would not be RankMixer.

HoME is here as a reading of public accounts; its docstring says what is certain and what is chosen.
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
