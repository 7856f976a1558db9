"""The memory that one GPU needs in a training step, part by part: every formula of the planner.

Takes a model's size and a `Setup`, gives bytes. The arithmetic is Korthikanti et al., "Reducing Activation
Recomputation in Large Transformer Models" (2022), written out for Qwen's operations, and Rajbhandari et
al., "ZeRO" (2020), for sharding. It was held against torch (HF transformers, bf16, one H200) and against what
Paddle's allocator counts for small models on a CPU; Paddle on a GPU was not measured. docs/plan.md has the
tables. Knows no YAML and no data.

Letters, as in the formulas: h hidden, q and kv width of all query and of all key heads, f intermediate,
V vocabulary, L layers, t tensor-parallel degree, T tokens in the micro batch. A token of a decoder layer
keeps for its backward pass, in bytes:

    two RMSNorms, each with float32 copies of input and product        16 h
    query: projected, normed (float32 copies), rotated, attention out  10 q
    keys and values: the same                                          10 kv
    SwiGLU: gate, up, their activation and product, bf16                8 f
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from paddle_ground.train.plan.model_size import ModelSize

GIB = 1 << 30
_HALF, _FLOAT = 2, 4


@dataclass(frozen=True, slots=True)
class Setup:
    """What decides about memory, besides the model.

    Attributes:
        tokens: Of the micro batch on one GPU: rows x length of a row.
        row: Length of a row.
        patches: Vision patches in the micro batch.
        tensor_parallel: GPUs that share one model.
        sequence_parallel: Norms and residuals are parted among them, too.
        sharding_stage: 0 none; 1 optimizer states, 2 gradients too, 3 weights too.
        sharding_degree: GPUs that share them.
        recompute: Each decoder layer keeps its input only and runs twice.
        attention: `flashmask`, `sdpa` or `eager`.
        frozen: Parts that do not learn: of `llm`, `aligner`, `vision`.
        lora_rank: 0 for full training.
        lora_targets: Kinds of layers that have an adapter; empty for all.
        half: Activations are 2 bytes (bf16, fp16); else all is float32.
        half_weights: Weights are 2 bytes, too (O2), with float32 copies in the optimizer.
        main_gradients: Gradients are kept in float32 (`amp_master_grad`).
        accumulates: Gradients live from one micro batch to the next.
        optimizer: Count AdamW's states; a bare forward and backward pass has none.
        buffer: Bytes for what is not counted: CUDA's context, communication, fragmentation.
    """

    tokens: int
    row: int
    patches: int = 0
    tensor_parallel: int = 1
    sequence_parallel: bool = False
    sharding_stage: int = 0
    sharding_degree: int = 1
    recompute: bool = False
    attention: str = "flashmask"
    frozen: frozenset[str] = frozenset()
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = ()
    half: bool = True
    half_weights: bool = True
    main_gradients: bool = True
    accumulates: bool = False
    optimizer: bool = True
    buffer: int = 0

    @property
    def width(self) -> int:
        """Bytes of an activation."""
        return _HALF if self.half else _FLOAT

    @property
    def weight_width(self) -> int:
        """Bytes of a weight."""
        return _HALF if self.half and self.half_weights else _FLOAT


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one GPU at the peak of a step, by part; `total` is their sum.

    Attributes:
        weights: Trained and frozen.
        gradients: Of what is trained, as far as they are there at the peak.
        optimizer: Float32 weights and both moments.
        activations: Kept for the backward pass, and what a layer needs while it runs backward.
        logits: The head's output, its float32 copies and their gradient.
        vision: Patches as they are fed, features, and the tower's activations where it is trained.
        buffer: As stated.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    vision: float
    buffer: float

    @property
    def total(self) -> float:
        """Bytes."""
        return float(sum(getattr(self, field.name) for field in fields(self)))


def layer_token_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes that one decoder layer keeps of one token: A = 16 h + (10 q + 10 kv + 8 f) / t.

    Under LoRA also the products of its four A matrices (fused qkv, output, fused up and gate, down); with
    eager attention a row of scores, as bf16 and float32.
    """
    t = setup.tensor_parallel
    norms = 16 * model.hidden / (t if setup.sequence_parallel else 1)
    rest = (10 * model.query + 10 * model.key_value + 8 * model.intermediate) / t
    scores = 8 * model.heads * setup.row / t if setup.attention == "eager" else 0
    return (norms + rest + scores) * setup.width / _HALF + 4 * setup.lora_rank * setup.width


def saved_token_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes that all decoder layers keep of one token: S = 2 h L with recompute, A L without."""
    if not setup.recompute:
        return model.layers * layer_token_bytes(model, setup)
    share = setup.tensor_parallel if setup.sequence_parallel else 1
    return model.layers * model.hidden * setup.width / share


def logits_bytes(model: ModelSize, setup: Setup, *, backward: bool = True) -> float:
    """Bytes around the loss: T (14 V + 8 h); 10 V before the backward pass.

    Logits in bf16 (2 V), their float32 copy and its softmax (8 V), and going back its gradient (4 V).
    In float32 the first copy is the logits themselves.
    """
    wide = (10 if setup.half else 8) + (4 if backward else 0)
    return setup.tokens * (wide * model.vocabulary / setup.tensor_parallel + 8 * model.hidden)


def mask_bytes(setup: Setup) -> float:
    """Bytes of a dense mask, which sdpa and eager attention make of the row indices: T x row."""
    return 0.0 if setup.attention == "flashmask" else float(setup.tokens * setup.row * setup.width)


def vision_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes for images: patches as they are fed, features for the decoder, the tower's activations.

    A block that is trained keeps 22 v + 4 w of a patch (v width, w MLP: two norms, queries, keys and
    values, rotated ones, attention, GELU; with RMSNorm and SwiGLU 30 v + 8 w), or 2 v with recompute; a
    frozen one only while it runs, and that is over before the decoder's peak.
    """
    v, w = model.vision_hidden, model.vision_intermediate
    visual_tokens = setup.patches / model.merge**2
    fed = setup.patches * model.patch_values * setup.width
    features = visual_tokens * model.mergers * model.hidden * setup.width
    kept = 0.0
    if not {"vision", "aligner"} <= setup.frozen:
        kept += visual_tokens * model.mergers * 3 * model.merge**2 * v * setup.width
    if "vision" not in setup.frozen:
        block = (model.tower.kept_width * v + model.tower.kept_wide * w) * setup.width / _HALF
        once = model.vision_layers * v * setup.width + block
        kept += setup.patches * (once if setup.recompute else model.vision_layers * block)
    return fed + features + kept


def trainable_numbers(model: ModelSize, setup: Setup) -> int:
    """Count the numbers that learn on one GPU: of the parts that are not frozen, or LoRA's."""
    learning = [p for p in model.parameters if p.part not in setup.frozen]
    if setup.lora_rank:
        kinds = setup.lora_targets
        adapted = [p for p in learning if not kinds or p.name.split(".")[-2] in kinds]
        return sum(p.lora(setup.lora_rank, setup.tensor_parallel) for p in adapted)
    return sum(p.split(setup.tensor_parallel) for p in learning)


def weights_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes of all weights on one GPU; stage 3 parts those that learn and holds one layer whole."""
    whole = sum(p.split(setup.tensor_parallel) for p in model.parameters)
    learning = trainable_numbers(model, setup)
    if setup.lora_rank:
        whole += learning
    if setup.sharding_stage < 3:
        return float(whole * setup.weight_width)
    gathered = max(p.split(setup.tensor_parallel) for p in model.parameters)
    return (whole - learning + learning / setup.sharding_degree + gathered) * setup.weight_width


def gradients_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes of all gradients: 2 a number in bf16, 4 as float32 main gradients; parted from stage 2 on."""
    width = _FLOAT if setup.main_gradients else setup.weight_width
    share = setup.sharding_degree if setup.sharding_stage >= 2 else 1
    return trainable_numbers(model, setup) * width / share


def optimizer_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes of AdamW: both moments in float32, and at O2 the weights in float32; parted from stage 1 on."""
    if not setup.optimizer:
        return 0.0
    width = 12 if setup.weight_width == _HALF else 8
    share = setup.sharding_degree if setup.sharding_stage >= 1 else 1
    return trainable_numbers(model, setup) * width / share


def tied_extra_bytes(model: ModelSize, setup: Setup) -> float:
    """Bytes that a tied embedding's gradient takes twice more while its two uses are summed: 2 (2 V h)."""
    if not model.tied or setup.lora_rank or "llm" in setup.frozen:
        return 0.0
    return 2 * setup.weight_width * model.vocabulary * model.hidden / setup.tensor_parallel


def forward_peak(model: ModelSize, setup: Setup) -> float:
    """Bytes above weights and inputs at the end of the forward pass: T (10 V + 8 h + S)."""
    kept = setup.tokens * saved_token_bytes(model, setup)
    return kept + mask_bytes(setup) + logits_bytes(model, setup, backward=False)


def step_memory(model: ModelSize, setup: Setup) -> Memory:
    """Give the peak of a step, by part.

    It is either at the head, when all layers' activations and the logits are there (and of gradients only
    those of earlier micro batches), or at the end of the backward pass, when all gradients and what the
    first layer runs with are there: T (A + 8 f + 10 h).
    """
    gradients = gradients_bytes(model, setup)
    kept = setup.tokens * saved_token_bytes(model, setup) + mask_bytes(setup)
    at_head = (gradients if setup.accumulates else 0.0, kept, logits_bytes(model, setup))
    t = setup.tensor_parallel
    running = (8 * model.intermediate / t + 10 * model.hidden) * setup.width / _HALF
    running += layer_token_bytes(model, setup)
    at_end = (
        gradients + tied_extra_bytes(model, setup),
        setup.tokens * running + mask_bytes(setup),
        0.0,
    )
    highest = max(at_head, at_end, key=sum)
    return Memory(
        weights=weights_bytes(model, setup),
        gradients=highest[0],
        optimizer=optimizer_bytes(model, setup),
        activations=highest[1],
        logits=highest[2],
        vision=vision_bytes(model, setup),
        buffer=float(setup.buffer),
    )
