"""Everything that touches Paddle's and PaddleFormers' insides, and nothing else.

Takes: model folders and YAML settings. Gives: a training plugin, kernels that a CPU
has, a loader, and a builder of small models. Does not know: data sets, answers, metrics.
No other package of paddle_ground patches Paddle.
"""
