__version__ = "0.1.0"

from .extras import watch_imports

watch_imports() # what an extra would bring is said where it is missing


def __getattr__(name):
    "`SynthProxy`, imported when it is asked for, so that `import synthproxy` takes no time."
    if name == "SynthProxy":
        from .proxies import SynthProxy

        return SynthProxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
