"""The one error that artists meet: what is wrong, and what they can do."""


class DreamzoomError(Exception):
    """Something can't go on for a reason worth telling.

    Args:
        message: One line: what is wrong and where.
        remedy: One line: what to do.
        operator: The operator that does it, which the panel then draws as a button ("dreamzoom.install_server").
    """

    def __init__(self, message: str, remedy: str = "", operator: str = ""):
        super().__init__(message)
        self.remedy = remedy
        self.operator = operator
