"""Qwen2.5-VL: what differs from Qwen3-VL in PaddleFormers' native code, and our kernels for it.

Takes and gives what its neighbours in `backend` do. `backend.natives` is the door to it.
"""
