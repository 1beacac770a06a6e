class Jobs:
    def __init__(self, emulator):
        self.emulator = emulator

    def has_arn(self, arn):
        return False

    def run(self):
        pass
