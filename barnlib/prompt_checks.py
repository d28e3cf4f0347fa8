"""Checks 1 and 2 of the preflight: prompts and labels, as the trainer packs them.

In:  the prompter, every training item, the groups that the trainer will pack, and the cached features.
Out: what was counted. A violation raises :class:`PreflightError`.
Next: preflight.py runs these checks, and then those of model_checks.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from barnlib.data.records import Item
from barnlib.data.turns import Turn
from barnlib.packing import IGNORED, PREFIX, Group, PackedBatch, pack
from barnlib.prompts import IMAGE_TOKEN, Prompter

GROUPS_AT_ONCE = 32
JOINT_TEXTS = 500  # prompts that are also tokenised in one piece


class PreflightError(ValueError):
    """A check failed: says which one, at which item, what was expected and what was found."""


def check_groups(
    prompter: Prompter,
    items: Sequence[Item],
    feature_rows: Mapping[str, int],
    groups: Sequence[Group],
    features: Tensor,
) -> dict[str, int]:
    """Checks 1 and 2 over a whole epoch: no item is dropped, every label is the answer and EOS, prompts are the same in
    training and inference, the turns of a conversation read as they were trained, every image has features.

    Returns:
        {"supervised_tokens", "positions"}: how many ids of an epoch are supervised, and how many are packed in all.

    Raises:
        PreflightError: the first item that is not as it should be.
    """
    _check_features(items, feature_rows, features)
    packed_turns = Counter((row, turn) for row, turns in groups for turn in turns)
    for item in items:
        packed_turns[feature_rows[item.image], item.turn] -= 1
        if packed_turns[feature_rows[item.image], item.turn] < 0:
            raise PreflightError(
                f"check 1 (labels): item '{item.id}': expected once in an epoch, found dropped"
            )
    extra = [turn for turn, count in packed_turns.items() if count > 0]
    if extra:
        raise PreflightError(
            f"check 1 (labels): {len(extra)} turns of an epoch belong to no item, such as {extra[0]}"
        )
    counted = {"supervised_tokens": 0, "positions": 0}
    for start in range(0, len(groups), GROUPS_AT_ONCE):
        some = groups[start : start + GROUPS_AT_ONCE]
        packed = pack(prompter, some)
        check_batch(prompter, some, packed)
        counted["supervised_tokens"] += int((packed.labels != IGNORED).sum())
        counted["positions"] += packed.labels.numel()
    return counted


def check_batch(prompter: Prompter, groups: Sequence[Group], packed: PackedBatch) -> None:
    """Checks 1 and 2 on one batch packed for training, from the tensors as the model gets them.

    Raises:
        PreflightError: names the question of the first branch that is wrong.
    """
    _check_special_ids(prompter)
    questions = pack(prompter, [(row, [turn.asked for turn in turns]) for row, turns in groups])
    ids, labels, branch, asked, asked_branch = (
        tensor.tolist()
        for tensor in (packed.input_ids, packed.labels, packed.branch, questions.input_ids, questions.branch)
    )
    seen = _seen(packed)
    for row, (feature_row, turns) in enumerate(groups):
        if packed.feature_rows[row] != feature_row:
            raise PreflightError(
                f"check 2 (prompts): group {row}: expected feature row {feature_row}, found {packed.feature_rows[row]}"
            )
        parts, inference = _parts(ids[row], branch[row]), _parts(asked[row], asked_branch[row])
        marks = _parts(labels[row], branch[row])
        _check_prefix(prompter, parts[PREFIX], ids[row])
        for number, turn in enumerate(turns):
            prompt = parts[PREFIX] + inference[number]
            _check_history(prompter, turn, prompt)
            _check_branch(prompter, turn, prompt, next(seen), parts[number], marks[number])
        outside = sum(label != IGNORED for part in marks if part < 0 for label in marks[part])
        if outside:
            raise PreflightError(
                f"check 1 (labels): group {row} (feature row {feature_row}): {outside} labels on the prefix or on "
                "padding; expected labels on answers only"
            )


def joint_tokenisation(prompter: Prompter, items: Sequence[Item]) -> dict[str, int]:
    """How many prompts and answers give the same ids when tokenised in one piece, as a processor does with the exported
    model: {"equal", "of"}. Not a violation where they differ, but the exported model then sees other ids."""
    some = items[:JOINT_TEXTS]
    texts = [
        prompter.prompt_text(item.question, item.history) + prompter.template.before_answer + item.answer
        for item in some
    ]
    equal = 0
    for item, ids in zip(some, prompter.tokenizer(texts, add_special_tokens=False).input_ids, strict=True):
        at = ids.index(prompter.image_token_id)
        whole = ids[:at] + [prompter.image_token_id] * prompter.image_tokens + ids[at + 1 :]
        expected = prompter.prompt_ids(item.question, item.history) + prompter.answer_ids(item.answer)[:-1]
        equal += whole == expected[prompter.bos_id is not None :]
    return {"equal": equal, "of": len(some)}


def _check_features(items: Sequence[Item], feature_rows: Mapping[str, int], features: Tensor) -> None:
    for item in items:
        row = feature_rows.get(item.image)
        if row is None or not 0 <= row < len(features):
            raise PreflightError(
                f"check 2 (prompts): item '{item.id}': expected features of image '{item.image}' in a table of "
                f"{len(features)} rows, found row {row}"
            )
    broken = torch.nonzero(~features.isfinite().flatten(1).all(1))
    if len(broken):
        raise PreflightError(
            f"check 2 (prompts): features of row {int(broken[0])} are not finite; expected numbers"
        )


def _check_special_ids(prompter: Prompter) -> None:
    if prompter.pad_id in {prompter.bos_id, *prompter.eos_ids}:
        raise PreflightError(
            f"check 2 (prompts): padding is id {prompter.pad_id}; expected an id that is neither BOS "
            f"({prompter.bos_id}) nor EOS ({', '.join(map(str, prompter.eos_ids))})"
        )
    found = prompter.tokenizer(IMAGE_TOKEN, add_special_tokens=False).input_ids
    if found != [prompter.image_token_id]:
        raise PreflightError(
            f"check 2 (prompts): '{IMAGE_TOKEN}': expected the one id {prompter.image_token_id}, found {found}"
        )


def _check_prefix(prompter: Prompter, prefix: list[int], row: list[int]) -> None:
    if prompter.bos_id is not None and (prefix.count(prompter.bos_id) != 1 or prefix[0] != prompter.bos_id):
        raise PreflightError(
            f"check 2 (prompts): expected one BOS (id {prompter.bos_id}), at the start, found "
            f"{prefix.count(prompter.bos_id)} in {prefix[:4]}..."
        )
    found = prefix.count(prompter.image_token_id), row.count(prompter.image_token_id)
    if found != (prompter.image_tokens, prompter.image_tokens):
        raise PreflightError(
            f"check 2 (prompts): expected {prompter.image_tokens} image tokens, all in the prefix, found {found[0]} in "
            f"the prefix and {found[1]} in the whole row"
        )


def _check_history(prompter: Prompter, turn: Turn, prompt: list[int]) -> None:
    """The turns before have the ids with which each of them is trained, and BOS stands nowhere but at the start and
    where a chat template begins a turn with it, as LLaMA-2's does.

    Args:
        prompt: ids of inference, prefix and history included.
    """
    earlier = [Turn(*pair, turn.history[:number]) for number, pair in enumerate(turn.history)]
    for before, (asked, answered) in zip(earlier, prompter.segments(earlier), strict=True):
        expected = prompter.prefix_ids + asked + answered
        ends = answered[-1] == prompter.eos_id and prompter.decode(answered) == before.answer
        if prompt[: len(expected)] != expected or not ends:
            raise PreflightError(
                f"check 2 (prompts): question {turn.question!r}: expected the turn {before.question!r} before it to "
                f"end with {before.answer!r} and EOS (id {prompter.eos_id}), in all {expected}, found "
                f"{prompt[: len(expected)]}"
            )
    if prompter.bos_id is None:
        return
    written = str(prompter.template.next_turn).count(str(prompter.tokenizer.bos_token))
    bos = 1 + len(turn.history) * (written + (prompter.bos_id == prompter.eos_id))
    if prompt.count(prompter.bos_id) != bos:
        raise PreflightError(
            f"check 2 (prompts): question {turn.question!r}: expected {bos} BOS (id {prompter.bos_id}) before its "
            f"answer, found {prompt.count(prompter.bos_id)} in {prompt}"
        )


def _check_branch(
    prompter: Prompter, turn: Turn, prompt: list[int], seen: Tensor, ids: list[int], labels: list[int]
) -> None:
    """One turn as the model gets it in training.

    Args:
        prompt: ids of inference, prefix and history included.
        seen: int64[2, S], ids and positions that the end of its branch sees.
        ids, labels: of its branch.
    """
    supervised = [label for label in labels if label != IGNORED]
    read, positions = seen.tolist()
    if read[: len(prompt)] != prompt or positions != list(range(len(positions))):
        raise PreflightError(
            f"check 2 (prompts): question {turn.question!r}: expected the ids of inference {prompt}, one after the "
            f"other from position 0 on, found in training {read[: len(prompt)]} at {positions}"
        )
    if not supervised or supervised[-1] != prompter.eos_id or prompter.decode(supervised) != turn.answer:
        raise PreflightError(
            f"check 1 (labels): question {turn.question!r}: expected the answer {turn.answer!r} and EOS (id "
            f"{prompter.eos_id}) as labels, found {prompter.decode(supervised)!r} from ids {supervised}"
        )
    start = len(ids) - (len(read) - len(prompt))  # of the answer in the branch
    if labels != [IGNORED] * start + ids[start:]:
        raise PreflightError(
            f"check 1 (labels): question {turn.question!r}: expected labels on the {len(ids) - start} positions after "
            f"the prompt, each with the id that stands there, found {labels}"
        )


def _seen(packed: PackedBatch) -> Iterator[Tensor]:
    """int64[2, S] for each branch: ids and positions that its last position sees."""
    ends = packed.ends()
    both = torch.stack([packed.input_ids, packed.position_ids], 1)  # int64[B, 2, L]
    for row, mask in zip(ends.nonzero()[:, 0].tolist(), packed.attention_mask[:, 0][ends], strict=True):
        yield both[row][:, mask]


def _parts(values: list[int], branch: list[int]) -> dict[int, list[int]]:
    """Values of a row by branch, prefix and padding included."""
    parts: dict[int, list[int]] = {}
    for value, number in zip(values, branch, strict=True):
        parts.setdefault(number, []).append(value)
    return parts
