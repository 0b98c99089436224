"""Exceptions that stand for something a person can put right."""


class InputError(ValueError):
    """A value, file or setting that cannot be used as given.

    Its message is one line: what was wrong, the value, the rule, what to do. The stages
    print it without a traceback; anything else that is raised is a bug and shows one.
    """


class FileError(InputError):
    """A file that is missing, truncated or of another kind.

    Who knows what makes the file can add it to the message.
    """
