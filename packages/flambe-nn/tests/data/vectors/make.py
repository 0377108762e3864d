"""Write the files beside this one, with gensim 4.4 (``pip install gensim``): python make.py"""

import json
import os
from pathlib import Path

from gensim.models import FastText, Word2Vec
from gensim.models.fasttext import save_facebook_model

HERE = Path(__file__).parent
TEXTS = [["is", "awesome", "café"], ["is", "rocks", "framework", "café"]] * 3

if __name__ == "__main__":
    os.chdir(HERE)  # gensim writes down the names that it is given
    words = Word2Vec(TEXTS, vector_size=4, min_count=1, seed=1, workers=1)
    words.wv.save("gensim.kv")
    words.wv.save("gensim_apart.kv", separately=["vectors"])
    words.save("gensim.model")
    words.wv.save_word2vec_format("word2vec.txt")
    words.wv.save_word2vec_format("word2vec.bin", binary=True)
    words.wv.save_word2vec_format("glove.txt", write_header=False)
    runs = FastText(TEXTS, vector_size=4, min_count=1, seed=1, workers=1, bucket=20, min_n=2, max_n=4)
    save_facebook_model(runs, "fasttext.bin")
    runs.wv.save_word2vec_format("fasttext.vec")
    said = {
        "words": {word: words.wv[word].tolist() for word in words.wv.index_to_key},
        "runs": {word: runs.wv[word].tolist() for word in [*runs.wv.index_to_key, "awesomer", "übercafé", "é"]},
    }
    (HERE / "expected.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
