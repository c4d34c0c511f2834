"""Make a language model of random weights: what it says is noise, unless a grammar holds it."""

from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ("save_tiny",)

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


def save_tiny(path: Path) -> None:
    """Save a llama of some ten thousand weights, with a tokenizer of bytes, where Outlines is."""
    transformers: Any = import_module("transformers")
    torch: Any = import_module("torch")
    torch.set_num_threads(1)  # several wait for one another on a busy machine
    torch.manual_seed(0)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=_tokenizer(), **SPECIAL)
    tokenizer.chat_template = TEMPLATE
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)


def _tokenizer() -> Any:
    tokenizers: Any = import_module("tokenizers")
    level = tokenizers.pre_tokenizers.ByteLevel
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = level(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=level.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(['{"animal": "fox", "count": 3}'] * 3, trainer)
    return inner
