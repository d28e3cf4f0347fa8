"""How the encoders and backbones of the scales nano and small are made from scratch.

In:  strict.py's types.
Out: `Recipe` and `EncoderRecipe`, parts of the files in ``params/backbones`` and ``params/encoders``.
Next: components.py puts them into a backbone and an encoder; tokenization.py, corpus.py, pretrain.py and encoder.py
      follow them.
"""

from typing import Annotated, Literal

from pydantic import Field

from barnlib.strict import Count, Fraction, Rate, Seed, Strict


class TokenizerRecipe(Strict):
    """A generation's kind of tokenizer, trained on its own corpus."""

    kind: Literal["sentencepiece_bpe", "byte_level_bpe"]
    vocabulary: Annotated[int, Field(ge=300)]


class CorpusRecipe(Strict):
    """What a generation reads before it sees an image: tokens in all and the share of each kind of text."""

    tokens: Count
    prose: Fraction
    scenes: Fraction
    seismic: Fraction
    structured: Fraction  # JSON records and code
    repeats: Fraction  # random words, written again


class Recipe(Strict):
    """How a backbone is made from scratch; each field is one switch of a generation."""

    tokenizer: TokenizerRecipe
    corpus: CorpusRecipe
    hidden_size: Count
    intermediate_size: Count
    layers: Count
    attention_heads: Count
    key_value_heads: Count
    rope_base: Rate
    context: Count  # longest sequence that the configuration allows
    sequence_tokens: Count  # length of a training window
    learning_rate: Rate
    batch_tokens: Count
    seed: Seed


class EncoderRecipe(Strict):
    """How a CLIP is made from scratch, contrastively, on pictures of the training distribution."""

    pictures: Count  # scenes, and as many cards
    image_size: Count
    patch_size: Count
    hidden_size: Count
    layers: Count
    attention_heads: Count
    text_layers: Count
    projection_size: Count
    epochs: Rate
    batch_images: Count
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    seed: Seed
