"""Sentences as BERT reads them: of known words and pieces of words, two at a time."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jdl.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, CLS, SEP, MASK = range(5)


def train_wordpiece(texts: Iterable[str], vocabulary_size: int) -> "Tokenizer":
    """Learns a vocabulary of words and pieces of words from texts.

    Args:
        texts: to learn from, in lower case or not: capitals and accents are removed.
        vocabulary_size: at most so many, among them [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4.

    Returns:
        A tokenizer of Hugging Face; it adds no special tokens by itself.

    Raises:
        UserError: the size is less than the number of special tokens and letters.

    Example:
        >>> tokenizer = train_wordpiece(["low lower lowest low new newer"], 26)
        >>> tokenizer.encode("Newer low").tokens
        ['new', '##er', 'low']

    Source: Schuster and Nakajima, 2012, https://doi.org/10.1109/ICASSP.2012.6289079; Devlin et
    al., 2019, https://arxiv.org/abs/1810.04805, section 3.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    def with_words(vocabulary: dict[str, int]) -> Tokenizer:
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer

    texts, empty = list(texts), with_words({})
    letters = sorted(set().union(*(empty.normalizer.normalize_str(text) for text in texts)))
    letters = [c for c in letters if not c.isspace()]
    known = [*SPECIAL, *letters, *(f"##{c}" for c in letters)]
    if len(known) > vocabulary_size:
        raise UserError(
            f"a vocabulary of {vocabulary_size} is too small: letters alone take {len(known)}"
        )
    # The trainer numbers letters in an order of its own, another one each time, by which it also
    # decides between pieces that are equally frequent; unless it is told the numbers.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size, special_tokens=known, show_progress=False
    )
    empty.train_from_iterator(texts, trainer)
    # As new: letters are no special tokens.
    tokenizer = with_words(empty.get_vocab())
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def sentence_pairs(
    documents: Sequence[Sequence[Sequence[int]]], length: int, *, passes: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    """Puts each sentence together with the next one of its document, or with one of another.

    A text is [CLS] A [SEP] B [SEP]. A is any sentence but the last of a document; B is the next one
    with probability ½, else any sentence of another document. Of a text that is too long, the
    beginning of A or the end of B is cut, of whichever is longer: what stands at the seam stays.

    Args:
        documents: of each the sentences, of each the ids.
        length: tokens of a text, padded.
        passes: times that each sentence is A.
        seed: of the draws.

    Returns:
        "tokens" and "token_types" int32 [n, length], and "label" int32 [n]: 0 where B is the next
        sentence, 1 where it is not. Padding is token 0.

    Raises:
        UserError: fewer than two documents, or none of two sentences, or a length below 5.

    Example:
        >>> pairs = sentence_pairs([[[5], [6, 7]], [[8], [9]]], length=6)
        >>> pairs["tokens"][0].tolist(), pairs["token_types"][0].tolist(), pairs["label"].tolist()
        ([2, 5, 3, 6, 7, 3], [0, 0, 0, 1, 1, 1], [0, 1])

    Source: Devlin et al., 2019, https://arxiv.org/abs/1810.04805, section 3.1 and appendix A.2.
    """
    if len(documents) < 2 or max(map(len, documents)) < 2:
        raise UserError("pairs of sentences need two documents, one of them of two sentences")
    if length < 5:
        raise UserError(f"two sentences and their special tokens do not fit into {length} tokens")
    random = np.random.RandomState(seed)
    firsts = [(d, i) for d, document in enumerate(documents) for i in range(len(document) - 1)]
    firsts = firsts * passes
    tokens = np.zeros((len(firsts), length), np.int32)
    types = np.zeros_like(tokens)
    labels = random.randint(2, size=len(firsts)).astype(np.int32)
    for row, (d, i) in enumerate(firsts):
        second = documents[d][i + 1]
        if labels[row]:
            other = (d + random.randint(1, len(documents))) % len(documents)
            second = documents[other][random.randint(len(documents[other]))]
        a, b = _fit(list(documents[d][i]), list(second), length - 3)
        text = [CLS, *a, SEP, *b, SEP]
        tokens[row, : len(text)] = text
        types[row, len(a) + 2 : len(text)] = 1
    return {"tokens": tokens, "token_types": types, "label": labels}


def _fit(a: list[int], b: list[int], room: int) -> tuple[list[int], list[int]]:
    """Cuts one token after the other from the longer one, far from the seam."""
    over = len(a) + len(b) - room
    if over > 0:
        # Whichever is longer is cut down to the other first; both in turn from there on.
        from_a = min(over, max(0, (over + len(a) - len(b) + 1) // 2))
        from_a = max(from_a, over - len(b) + 1)
        a, b = a[from_a:], b[: len(b) - (over - from_a)]
    return a, b
