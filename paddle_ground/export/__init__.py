"""Turn a training run into a model folder that others load: merged, sharded, described.

Takes a run folder; gives a folder in Hugging Face's layout. Reads and writes safetensors and JSON; no Paddle.
`write.export` is the door; nothing is imported here, so that the command line can read its flags quickly.
"""
