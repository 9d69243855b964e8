__version__ = "0.1.0"


def __getattr__(name):
    "`SynthProxy`, imported when it is asked for, so that `import synthproxy` takes no time."
    if name == "SynthProxy":
        from .proxies import SynthProxy

        return SynthProxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
