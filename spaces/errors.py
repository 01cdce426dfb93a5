"""The one error type for a user's mistake: every command catches it and exits with code 2."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message names the value, the rule and the remedy, in the user's own words (a flag, a file,
    a field). Raised before any work starts; never for a defect of the program itself.
    """
