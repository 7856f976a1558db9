"""Training: check a YAML, start `paddleformers-cli train` on it, follow it, and keep the run folder.

Takes: a PaddleFormers YAML and samples files. Gives: a run folder with a model in it.
Does not know: what the model will answer, or how good the answers are.
"""
