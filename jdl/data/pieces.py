"""Words in pieces: a vocabulary by byte-pair encoding, which several languages may share."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from jdl.data.vocabulary import Vocabulary

UNKNOWN, SPACE = "\ufffd", "▁"


class Pieces(Vocabulary):
    """Pieces of text, numbered from 1; 0 ends a text, and pads it.

    The most frequent pair of neighbouring pieces is made one, beginning with characters, until
    there are enough. A space belongs to the piece after it, so that pieces joined are the text. A
    character that the texts never have is "\ufffd".

    Args:
        texts: to learn the pieces from.
        size: how many ids there will be, the end's included.

    Example:
        >>> pieces = Pieces(["low lower lowest", "new newer newest"], size=20)
        >>> pieces.cut("lower newest")
        ['▁low', 'er', '▁new', 'est']
        >>> pieces.join(pieces.decode(pieces.encode(pieces.cut("lower newest"))))
        'lower newest'

    Source: Sennrich et al., 2016, https://arxiv.org/abs/1508.07909, section 3.2.
    """

    def __init__(self, texts: Iterable[str], size: int):
        self._tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=size - 1, special_tokens=[UNKNOWN], show_progress=False
        )
        self._tokenizer.train_from_iterator(texts, trainer)
        super().__init__(self._tokenizer.get_vocab())

    def cut(self, text: str) -> list[str]:
        """Returns the pieces of a text."""
        return self._tokenizer.encode(text).tokens

    def join(self, pieces: Iterable[str]) -> str:
        """Returns the text of pieces."""
        return "".join(pieces).replace(SPACE, " ").strip()
