"""How the tokenizers under comparison cut the same texts, and what that costs in length.

In:  a study's backbones and items of its data; no trained model.
Out: tables with one row for each backbone, for notebooks/tokens.ipynb.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from barnlib.components import checkpoint_path
from barnlib.data.records import TASKS, Item
from barnlib.hub import local_folder
from barnlib.parameters import load_backbone
from barnlib.prompts import Prompter, reserve_tokens
from barnlib.real_tokenizers import PROBES, load_tokenizer
from barnlib.study import Study

MOST, LEAST = 0.9, 0.1  # ends of what is called the middle 80 % of answers
DIGITS = (1, 2, 3, 4, 6, 8)


def prompters(study: Study) -> dict[str, Prompter]:
    """The prompter of each backbone of a study, by name, with one image token: what an image takes is the encoder's
    business and the same for all. Raises as :func:`barnlib.real_tokenizers.load_tokenizer`."""
    made = {}
    for name in study.backbones:
        folder = local_folder(checkpoint_path(load_backbone(name, study.scale).checkpoint))
        tokenizer = load_tokenizer(folder)
        reserve_tokens(tokenizer)
        made[name] = Prompter(tokenizer, study.prompt.arm, image_tokens=1)
    return made


def answer_lengths(items: Sequence[Item], made: Mapping[str, Prompter]) -> pd.DataFrame:
    """Tokens of the answers to each task, EOS included, as they are trained and written.

    Returns:
        One row for each task and backbone: task, backbone, n (answers), median, low and high (ends of the middle 80 %),
        mean, mean_bytes, bytes_per_token (EOS counts as a byte), prompt (mean tokens of question and fixed text, and
        of the turns before it).
        Tasks without items have no row.
    """
    rows = []
    for task in TASKS:
        of_task = [item for item in items if item.task == task]
        if not of_task:
            continue
        size = np.array([len(item.answer.encode()) + 1 for item in of_task])
        for name, prompter in made.items():
            segments = prompter.segments([item.turn for item in of_task])
            tokens = np.array([len(answer) for _, answer in segments])
            low, median, high = np.quantile(tokens, (LEAST, 0.5, MOST))
            rows.append(
                {
                    "task": task,
                    "backbone": name,
                    "n": len(of_task),
                    "median": float(median),
                    "low": float(low),
                    "high": float(high),
                    "mean": float(tokens.mean()),
                    "mean_bytes": float(size.mean()),
                    "bytes_per_token": float(size.sum() / tokens.sum()),
                    "prompt": float(np.mean([len(question) for question, _ in segments])),
                }
            )
    return pd.DataFrame(rows)


def number_lengths(made: Mapping[str, Prompter], seed: int, numbers: int = 200) -> pd.DataFrame:
    """Mean tokens of whole numbers by how many digits they have, as an answer and without EOS.

    Args:
        seed: draws the numbers, the same for every backbone.
        numbers: how many of each length; of a few digits some are drawn more than once.

    Returns:
        One row for each number of digits (the index), one column for each backbone.
    """
    rng = np.random.default_rng(seed)
    table: dict[int, dict[str, float]] = {}
    for digits in DIGITS:
        first = 10 ** (digits - 1) if digits > 1 else 0
        drawn = [str(number) for number in rng.integers(first, 10**digits, numbers)]
        table[digits] = {
            name: float(np.mean([len(prompter.answer_ids(text)) - 1 for text in drawn]))
            for name, prompter in made.items()
        }
    return pd.DataFrame(table).T.rename_axis("digits")


def pieces(prompter: Prompter, answer: str) -> list[str]:
    """An answer's tokens as text, EOS left out; a token that is no whole character shows as the bytes it stands for."""
    tokenizer = prompter.tokenizer
    shown = []
    for number in prompter.answer_ids(answer)[:-1]:
        text = str(tokenizer.decode([number], clean_up_tokenization_spaces=False))
        token = str(tokenizer.convert_ids_to_tokens(number))
        shown.append(token if "\ufffd" in text or not text.strip() else text.strip())
    return shown


def cut(texts: Sequence[str], made: Mapping[str, Prompter], titles: Mapping[str, str]) -> pd.DataFrame:
    """Each text as each tokenizer cuts it, pieces apart: one row for each text, one column for each backbone."""
    columns = {
        titles[name]: [" | ".join(pieces(prompter, text)) for text in texts]
        for name, prompter in made.items()
    }
    return pd.DataFrame(columns, index=pd.Index(texts, name="answer"))


def agreement(made: Mapping[str, Prompter]) -> pd.DataFrame:
    """What a tokenizer does with the texts on which it was checked when it was loaded.

    Returns:
        One row for each backbone: backbone, vocabulary (entries), texts, tokens (of all of them), bytes_per_token.
    """
    size = sum(len(text.encode()) for text in PROBES)
    rows = []
    for name, prompter in made.items():
        ids = prompter.tokenizer(list(PROBES), add_special_tokens=False).input_ids
        tokens = sum(map(len, ids))
        rows.append(
            {
                "backbone": name,
                "vocabulary": len(prompter.tokenizer),
                "texts": len(PROBES),
                "tokens": tokens,
                "bytes_per_token": size / tokens,
            }
        )
    return pd.DataFrame(rows)


def longest_title(lengths: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The chart's finding: which answers cost most by their medians, and how far the tokenizers are apart there."""
    by_task = lengths.groupby("task", sort=False)["median"].mean()
    worst = lengths[lengths["task"] == by_task.idxmax()].assign(
        written=lambda table: table["median"].map("{:.0f}".format)
    )
    named = {
        written: " and ".join(titles[name] for name in rows["backbone"])
        for written, rows in worst.sort_values("median", kind="stable").groupby("written", sort=False)
    }
    ends = list(named.items())
    (least, fewest), (most, largest) = ends[0], ends[-1]
    if least == most:
        return f"{by_task.idxmax()}: {most} tokens an answer"
    return f"{by_task.idxmax()}: {least} tokens an answer with {fewest}, {most} with {largest}"
