class Walk(Component):
    def __init__(self, cell, words, steps=2, notes=None):
        super().__init__()
        self.cell, self.words, self.steps, self.notes = cell, words, steps, notes
        self.done, self.seen = 0, {}
        self.register_attrs("done", "seen")

    def run(self):
        print("step", self.done)
        self.cell.weights += 1
        self.done += 1
        self.seen[self.done] = {"pair": (1, 2.5), "raw": b"\x00\x01", "nothing": None}
        flambe.log("walk/sum", float(self.cell.weights.sum()), self.done)
        return self.done < self.steps

    def metric(self):
        return float(self.cell.weights.sum())
