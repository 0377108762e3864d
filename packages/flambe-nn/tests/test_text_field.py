"""TextField."""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flambe.errors import ConfigError
from flambe.field import Field, TextField
from flambe.sampler import BaseSampler
from flambe.tokenizer import CharTokenizer, NGramsTokenizer, WordTokenizer

DATA = np.array(["Flambe is awesome", "This framework rocks!"])


def ready(**options: object) -> TextField:
    field = TextField(**options)  # type: ignore[arg-type]
    field.setup(DATA)
    return field


def test_the_example_of_the_documentation() -> None:
    field = TextField(WordTokenizer())
    field.setup(DATA)
    assert field.vocab_size == 9
    assert field.process("Flambe rocks").tolist() == [2, 7]
    assert field.process("Flambe rocks").dtype == torch.long


def test_specials_come_first_in_their_order() -> None:
    field = ready(sos_token="<s>", eos_token="</s>")
    assert list(field.vocab)[:5] == ["<pad>", "<unk>", "<s>", "</s>", "Flambe"]
    assert field.process("is Flambe new").tolist() == [2, 5, 4, 1, 3]
    assert list(ready(pad_token=None).vocab)[:2] == ["<unk>", "Flambe"]


def test_an_unknown_token_needs_unk() -> None:
    assert ready().process("what is").tolist() == [1, 3]
    with pytest.raises(ValueError, match="token 'what' was not seen in setup, and there is no unk_token"):
        ready(unk_token=None).process("what is")


def test_lower_and_tokenizer() -> None:
    assert ready(lower=True).process("FLAMBE Is").tolist() == [2, 3]
    assert ready(tokenizer=CharTokenizer()).process("Fla").tolist() == [2, 3, 4]


def test_setup_again_adds_tokens_and_keeps_ids() -> None:
    field = ready()
    before = dict(field.vocab)
    field.setup(np.array(["is more"]), np.array(["more still"]))
    assert {token: field.vocab[token] for token in before} == before
    assert field.vocab_size == len(before) + 2


def test_missing_text_is_empty() -> None:
    field = ready()
    assert field.process(float("nan")).tolist() == []
    assert field.process(None).tolist() == []


@pytest.mark.parametrize("options", [{}, {"sos_token": "<s>"}, {"eos_token": "</s>", "lower": True}])
def test_packing_gives_what_process_gives(options: dict[str, object]) -> None:
    texts = np.array(["Flambe is new", "", "This rocks", None], dtype=object)
    field = ready(**options)
    (column,) = field.pack(texts)  # type: ignore[misc]
    for place, text in enumerate(texts):
        assert column.example(place).tolist() == field.process(text).tolist()
        assert column.example(place).dtype == torch.long


def test_an_overridden_process_is_never_bypassed() -> None:
    from flambe.field.field import packs

    class Backwards(TextField):
        def process(self, example: object) -> torch.Tensor:
            return super().process(example).flip(0)

    class Named(TextField):
        pass

    assert packs(TextField())
    assert packs(Named())
    assert not packs(Backwards())
    assert not packs(Field())


# --- vectors ---


def glove(folder: Path, text: str = "is 1 2\nawesome 3 4\nother 5 6\n") -> str:
    file = folder / "vectors.txt"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_tokens_without_a_vector_share_unk(tmp_path: Path) -> None:
    field = ready(embeddings=glove(tmp_path))
    assert field.embedding_matrix is not None
    assert field.vocab_size == len(field.embedding_matrix) == 4
    assert field.vocab["Flambe"] == field.vocab["<unk>"] == 1
    assert field.process("is awesome rocks").tolist() == [2, 3, 1]
    assert field.embedding_matrix[0].tolist() == [0, 0]
    assert field.embedding_matrix[2:].tolist() == [[1, 2], [3, 4]]
    assert field.embedding_dim == 2
    with pytest.raises(ConfigError, match="this TextField has no word vectors. Give it `embeddings`"):
        _ = ready().embedding_dim


def test_unk_init_all_gives_each_a_vector(tmp_path: Path) -> None:
    field = ready(embeddings=glove(tmp_path), unk_init_all=True)
    assert field.embedding_matrix is not None
    assert field.vocab_size == len(field.embedding_matrix) == 9
    again = ready(embeddings=glove(tmp_path), unk_init_all=True)
    assert torch.equal(field.embedding_matrix, again.embedding_matrix)  # type: ignore[arg-type]
    assert field.embedding_matrix[2].abs().sum() > 0


def test_vectors_survive_a_second_setup(tmp_path: Path) -> None:
    field = ready(embeddings=glove(tmp_path))
    field.setup(np.array(["other"]))
    assert field.vocab_size == 5
    assert field.process("other is").tolist() == [4, 2]


def test_word2vec_and_fasttext(tmp_path: Path) -> None:
    text = glove(tmp_path, "2 2\nis 1 2\nrocks 3 4\n")
    assert ready(embeddings=text, embeddings_format="fasttext").vocab_size == 4
    assert ready(embeddings=text, embeddings_format="word2vec").vocab_size == 4
    binary = tmp_path / "vectors.bin"
    binary.write_bytes(b"2 2\nis " + struct.pack("<2f", 1, 2) + b"\nrocks " + struct.pack("<2f", 3, 4) + b"\n")
    field = ready(embeddings=str(binary), embeddings_format="word2vec", embeddings_binary=True)
    assert field.embedding_matrix is not None
    assert field.embedding_matrix[2:].tolist() == [[1, 2], [3, 4]]


def test_words_with_blanks_are_read_from_the_right(tmp_path: Path) -> None:
    field = TextField(NGramsTokenizer(2), embeddings=glove(tmp_path, "x 1 2\nFlambe is 3 4\n"))
    field.setup(DATA)
    assert field.embedding_matrix is not None
    assert field.embedding_matrix[field.vocab["Flambe is"]].tolist() == [3, 4]


VECTORS = Path(__file__).parent / "data" / "vectors"
SAID = json.loads((VECTORS / "expected.json").read_text(encoding="utf-8"))
"""What gensim says of the files that it wrote (data/vectors/make.py)."""


@pytest.mark.parametrize(
    ("file", "form", "binary"),
    [
        ("glove.txt", "glove", False),
        ("word2vec.txt", "word2vec", False),
        ("word2vec.bin", "word2vec", True),
        ("fasttext.vec", "fasttext", False),
        ("fasttext.bin", "fasttext", False),
        ("fasttext.bin", "fasttext", True),
        ("gensim.kv", "gensim", False),
        ("gensim_apart.kv", "gensim", False),
        ("gensim.model", "gensim", False),
    ],
)
def test_real_files_of_every_format(file: str, form: str, binary: bool) -> None:
    said = SAID["runs" if form == "fasttext" else "words"]
    known = [word for word in said if word in SAID["words"]]
    field = TextField(
        NGramsTokenizer(), embeddings=str(VECTORS / file), embeddings_format=form, embeddings_binary=binary
    )
    field.setup(np.array([" ".join(said)]))
    assert field.embedding_matrix is not None
    for word in said if file == "fasttext.bin" else known:
        vector = field.embedding_matrix[field.process(word)[0]]
        torch.testing.assert_close(vector, torch.tensor(said[word]))
    assert field.process("nobody-knows-it").tolist() == [field.vocab["<unk>"]]
    assert not field.embedding_matrix[0].any()
    assert "gensim" not in sys.modules


def test_only_a_binary_model_of_fasttext_knows_words_it_never_saw() -> None:
    options = {"tokenizer": NGramsTokenizer(), "embeddings_format": "fasttext"}
    for file, size in (("fasttext.bin", 4), ("fasttext.vec", 3)):
        field = TextField(embeddings=str(VECTORS / file), **options)  # type: ignore[arg-type]
        field.setup(np.array(["is awesomer"]))
        assert field.vocab_size == size, "two specials, `is` and, by its runs of letters, `awesomer`"


def test_a_file_of_gensim_runs_nothing(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "planted"),)

    for content in ({"vectors": Planted()}, Planted(), [Planted()]):
        (tmp_path / "x.kv").write_bytes(pickle.dumps(content))
        with pytest.raises(ConfigError, match="are no file of gensim"):
            ready(embeddings=str(tmp_path / "x.kv"), embeddings_format="gensim")
    assert not (tmp_path / "planted").exists()


def test_files_of_older_versions_of_gensim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("gensim.models.keyedvectors")
    kind = type("Word2VecKeyedVectors", (), {"__module__": module.__name__})
    module.Word2VecKeyedVectors = kind  # type: ignore[attr-defined]
    for name in ("gensim", "gensim.models", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    old: Any = kind()
    old.index2word, old.syn0 = ["rocks", "is"], np.asfortranarray([[1, 2], [3, 4]], dtype=">f8")
    for protocol in (2, 4):
        (tmp_path / "old.kv").write_bytes(pickle.dumps(old, protocol=protocol))
        field = ready(embeddings=str(tmp_path / "old.kv"), embeddings_format="gensim")
        assert field.embedding_matrix is not None
        assert field.embedding_matrix[2:].tolist() == [[3, 4], [1, 2]]


def cut(file: str, at: int) -> bytes:
    return (VECTORS / file).read_bytes()[:at]


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("gensim", b"word 1 2", "are no file of gensim: .*`save_word2vec_format"),
        ("gensim", cut("gensim.kv", 700), "are no file of gensim"),
        ("gensim", cut("gensim_apart.kv", 5000), "it has no vectors, and there is no .*vectors.npy"),
        ("fasttext", b"5 4\nis 1 2 3 4\n", "are no binary model of fastText .*embeddings_binary"),
        ("fasttext", cut("fasttext.bin", 90), "end too early"),
        ("fasttext", cut("fasttext.bin", 280), "end too early"),
        ("word2vec", cut("word2vec.bin", 60), "end too early"),
    ],
)
def test_damaged_binary_files(form: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        ready(embeddings=str(tmp_path / "x"), embeddings_format=form, embeddings_binary=True)


def test_vectors_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="embeddings nowhere.txt do not exist"):
        ready(embeddings="nowhere.txt")


def test_damaged_vectors_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2: not a word and 2 numbers"):
        ready(embeddings=glove(tmp_path, "is 1 2\nrocks x y\n"))
    with pytest.raises(ConfigError, match="no vector for any token"):
        ready(embeddings=glove(tmp_path, "other 1 2\n"))
    with pytest.raises(ConfigError, match="do not begin with a count and a size"):
        ready(embeddings=glove(tmp_path), embeddings_format="word2vec")


def test_an_unknown_format() -> None:
    with pytest.raises(ValueError, match="embeddings_format 'bert' is not known; expected glove, word2vec"):
        TextField(embeddings_format="bert")


def test_state_comes_back(tmp_path: Path) -> None:
    for options in ({}, {"embeddings": glove(tmp_path)}):
        field = ready(**options)
        state = field._state({}, "x.", {})
        again = TextField()
        again._load_state(state, "x.", {}, True, [], [], [])
        assert again.vocab_size == field.vocab_size
        assert again.vocab == field.vocab
        assert again.process("Flambe rocks").tolist() == field.process("Flambe rocks").tolist()
        state_again = again._state({}, "x.", {})
        assert state.keys() == state_again.keys()


def test_long_texts_are_cut() -> None:
    end, beginning = ready(max_seq_len=2), ready(max_seq_len=2, truncate_end=True)
    assert end.process("Flambe is awesome").tolist() == [3, 4]
    assert beginning.process("Flambe is awesome").tolist() == [2, 3]
    marked = ready(max_seq_len=3, sos_token="<s>", eos_token="</s>")
    assert marked.process("Flambe is awesome").tolist() == [2, 6, 3]
    packed = marked.pack(np.array(["Flambe is awesome", "is"], dtype=object))
    assert packed is not None
    assert [packed[0].example(place).tolist() for place in range(2)] == [[2, 6, 3], [2, 5, 3]]
    with pytest.raises(ValueError, match="max_seq_len is 2; expected at least 3, for a token beside sos and eos"):
        TextField(max_seq_len=2, sos_token="<s>", eos_token="</s>")


def test_unknown_tokens_can_be_left_out() -> None:
    assert ready(drop_unknown=True, unk_token=None).process("what is new Flambe").tolist() == [2, 1]


def test_a_given_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("is\nFlambe\n\n")
    for vocabulary in (["is", "Flambe"], str(tmp_path / "words.txt")):
        field = ready(vocabulary=vocabulary, additional_special_tokens=["<sep>"])
        assert list(field.vocab) == ["<pad>", "<unk>", "<sep>", "is", "Flambe"]
        assert field.process("Flambe is awesome <sep>").tolist()[:3] == [4, 3, 1]
    with pytest.raises(ConfigError, match="nowhere.txt do not exist"):
        TextField(vocabulary="nowhere.txt")


def test_lists_of_texts() -> None:
    field = TextField()
    data = np.empty(2, dtype=object)
    data[:] = [["a b", "c"], ["a"]]
    field.setup(data)
    assert list(field.vocab)[2:] == ["a", "b", "c"]
    assert field.pack(data) is None
    assert [ids.tolist() for ids in field.process(data[0])] == [[2, 3], [4]]
    (batch,) = next(BaseSampler(batch_size=2, shuffle=False).sample([(field.process(each),) for each in data]))
    assert batch.tolist() == [[[2, 3], [4, 0]], [[2, 0], [0, 0]]]


def test_from_embeddings(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("is 1 2\nFlambe 3 4\n")
    field = TextField.from_embeddings(str(tmp_path / "vectors.txt"), lower=False, drop_unknown=True)
    field.setup(DATA)
    assert field.embedding_matrix is not None
    assert field.embedding_matrix[field.vocab["Flambe"]].tolist() == [3, 4]
