class Cell(Component):
    def __init__(self, size, scale=1.0):
        super().__init__()
        self.weights = np.arange(size, dtype="float32") * scale
        self.register_attrs("weights")
