"""Other views of annotated images: cut, mirrored, resized, recoloured, joined; boxes and phrases follow.

One small file an operation. `picture` holds what they work on, `rows` moves annotations along, `mirror`
and `words` say what a phrase still means afterwards. Everything is drawn from generators handed in.
"""
