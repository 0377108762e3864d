def main(name, config):
    print(name, config["lr"])
