"""An inference object, built and loaded

put right: "..." is filled; a folder in place of `my-bucket` (a bucket is written s3://my-bucket)
"""

import flambe
from flambe.compile import Component
from flambe.export import Builder
from flambe.model import LogisticRegression
from flambe.nn import Module


class ClassifierEngine(Component):
    def __init__(self, model: Module):
        self.model = model

    def predict(self, **kwargs):
        # Custom code (for example, requests to APIs)
        p = kwargs["share"]
        return {"POSITIVE": p, "NEGATIVE": 1 - p}


LogisticRegression(2).save("path/to/saved/model")
model = LogisticRegression.load_from_path("path/to/saved/model")
Builder(ClassifierEngine(model), destination="my-folder").run()

inference_engine = flambe.load("my-folder")
assert inference_engine.predict(share=0.75) == {"POSITIVE": 0.75, "NEGATIVE": 0.25}
