"""Scores of descriptions by their words: BLEU, ROUGE-L and CIDEr-D, which readers expect beside the facts.

In:  answers and reference texts, or the predictions table of predict.py.
Out: a score for each answer, and tables of estimates as in metrics.py.

Words and facts are different things: a text with one wrong digit keeps nearly all of its words, and a right text in
other words loses many. wrong_facts.py shows how much. BLEU and ROUGE-L are sacreBLEU's and rouge-score's; CIDEr-D is
computed here, because the implementations of others need Java or downloads for their word splitting alone.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics.bleu import BLEU

from barnlib.analyses.intervals import Interval, Rng, resampled_variance, student_interval
from barnlib.analyses.metrics import ESTIMATE_COLUMNS, check_predictions, estimate_row, groups, ratio_table

MEASURES = ("BLEU", "ROUGE-L", "CIDEr-D")
LONGEST = 4  # n-grams of CIDEr-D
SIGMA = 6.0  # of CIDEr-D's penalty on length, in words

_SPLITTER = DefaultTokenizer(use_stemmer=False)  # lower case, letters and digits only


def words(text: str) -> list[str]:
    """The words of a text as ROUGE counts them: lower case, letters and digits; everything else parts words."""
    return list(_SPLITTER.tokenize(text))


def rouge_l(answers: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L F1 of each answer (Lin 2004): 0 to 1, from the longest common subsequence of words."""
    return np.array([_rouge_l(*pair) for pair in zip(answers, references, strict=True)], dtype=np.float64)


@lru_cache(maxsize=100_000)
def _rouge_l(answer: str, reference: str) -> float:
    return float(RougeScorer(["rougeL"], use_stemmer=False).score(reference, answer)["rougeL"].fmeasure)


def cider_d(answers: Sequence[str], references: Sequence[str], corpus: Sequence[str]) -> NDArray[np.float64]:
    """CIDEr-D of each answer against its one reference: 0 to 10.

    Vedantam, Zitnick & Parikh 2015 (arXiv 1411.5726), section 4 and its variant D: cosine similarity of tf-idf vectors
    of 1- to 4-grams, an answer's counts clipped to the reference's, times a Gaussian penalty on the difference of
    lengths, averaged over n and multiplied by ten. Words are those of :func:`words`, neither stemmed nor lemmatised.

    Args:
        corpus: the reference texts of all pictures, one for each, from which an n-gram's rarity is known. With a
            single picture every n-gram is as frequent as can be, and all scores are 0.

    Raises:
        ValueError: a reference that is not part of the corpus.
    """
    missing = set(references) - set(corpus)
    if missing:
        raise ValueError(f"{len(missing)} references are not part of the corpus, such as {min(missing)!r}")
    seen = Counter(gram for text in corpus for gram in _grams(words(text)))
    rarity = {gram: math.log(len(corpus)) - math.log(count) for gram, count in seen.items()}
    unseen = math.log(len(corpus)) if corpus else 0.0
    return np.array(
        [
            _similarity(words(answer), words(reference), rarity, unseen)
            for answer, reference in zip(answers, references, strict=True)
        ],
        dtype=np.float64,
    )


def _grams(of: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(of[at : at + size]) for size in range(1, LONGEST + 1) for at in range(len(of) - size + 1)
    )


def _similarity(
    answer: Sequence[str], reference: Sequence[str], rarity: dict[tuple[str, ...], float], unseen: float
) -> float:
    ours, theirs = (
        {gram: count * rarity.get(gram, unseen) for gram, count in _grams(text).items()}
        for text in (answer, reference)
    )
    penalty = math.exp(-((len(answer) - len(reference)) ** 2) / (2 * SIGMA**2))
    total = 0.0
    for size in range(1, LONGEST + 1):
        mine = {gram: weight for gram, weight in ours.items() if len(gram) == size}
        other = {gram: weight for gram, weight in theirs.items() if len(gram) == size}
        lengths = math.hypot(*mine.values()) * math.hypot(*other.values())
        common = sum(
            min(weight, other.get(gram, 0.0)) * other.get(gram, 0.0) for gram, weight in mine.items()
        )
        total += penalty * common / lengths if lengths else 0.0
    return 10 * total / LONGEST


def bleu_counts(answers: Sequence[str], references: Sequence[str]) -> NDArray[np.int64]:
    """What corpus BLEU is made of, for each answer: int64[n, 10].

    Matches of 1- to 4-grams, their totals, and the lengths of answer and reference, as sacreBLEU splits and counts.
    """
    rows = [_bleu_counts(*pair) for pair in zip(answers, references, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(-1, 2 * LONGEST + 2)


@lru_cache(maxsize=100_000)
def _bleu_counts(answer: str, reference: str) -> tuple[int, ...]:
    found = BLEU(effective_order=True).sentence_score(answer, [reference])
    return (*found.counts, *found.totals, found.sys_len, found.ref_len)


def bleu(counts: NDArray[np.int64]) -> float:
    """Corpus BLEU of summed counts, int64[10], as sacreBLEU's defaults give it: 0 to 100."""
    whole = [int(count) for count in counts]
    matches, totals = whole[:LONGEST], whole[LONGEST : 2 * LONGEST]
    found = BLEU.compute_bleu(matches, totals, sys_len=whole[-2], ref_len=whole[-1], smooth_method="exp")
    return float(found.score)


def bleu_signature() -> str:
    """The signature that says how BLEU was computed."""
    metric = BLEU()
    metric.corpus_score(["one text"], [["one text"]])
    return str(metric.get_signature())


def text_scores(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone", "condition"),
    *,
    rng: Rng,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """BLEU (of the whole group, 0 to 100), mean ROUGE-L (0 to 1) and mean CIDEr-D (0 to 10) of descriptions.

    CIDEr-D takes its rarities from the references of all descriptions in the table. The interval of BLEU is from
    resampled pictures and runs, as in intervals.py.

    Returns:
        The columns `by`, then `measure` (one of `MEASURES`) and `ESTIMATE_COLUMNS`.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    rows = predictions[predictions["task"] == "seismic_description"].reset_index(drop=True)
    answers, references = rows["answer"].tolist(), rows["reference"].tolist()
    corpus = rows.drop_duplicates("item")["reference"].tolist()
    one = np.ones(len(rows))
    how = {"rng": rng, "resamples": resamples, "level": level}
    means = [
        ratio_table(rows, by, {name: (values, one)}, bounds=(0.0, most), **how)  # type: ignore[arg-type]
        for name, values, most in (
            ("ROUGE-L", rouge_l(answers, references), 1.0),
            ("CIDEr-D", cider_d(answers, references, corpus), 10.0),
        )
    ]
    counts = bleu_counts(answers, references)
    found = [
        {**estimate_row(key, by, group, _bleu_interval(group, counts[group.index], rng, resamples, level))}
        for key, group in groups(rows, by)
    ]
    whole = pd.DataFrame(found, columns=[*by, *ESTIMATE_COLUMNS]).assign(measure="BLEU")
    return pd.concat([whole, *means], ignore_index=True)[[*by, "measure", *ESTIMATE_COLUMNS]]


def _bleu_interval(
    group: pd.DataFrame, counts: NDArray[np.int64], rng: Rng, resamples: int, level: float
) -> Interval:
    """BLEU of a group with its interval over pictures and runs.

    Chance that belongs to one run on one picture is counted twice, so it errs on the wide side.
    """
    variances, clusters = {}, {}
    for column in ("image", "run"):
        names, of = np.unique(group[column].to_numpy(), return_inverse=True)
        sums = np.zeros((len(names), counts.shape[1]))
        np.add.at(sums, of, counts)
        clusters[column] = len(names)
        variances[column] = resampled_variance(sums, _bleus, rng, resamples)
    return student_interval(
        bleu(counts.sum(0)),
        variances["image"],
        variances["run"],
        0.0,
        clusters["image"],
        clusters["run"],
        level=level,
        bounds=(0.0, 100.0),
    )


def _bleus(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([bleu(one) for one in sums.astype(np.int64)])
