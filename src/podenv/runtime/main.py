"""The entry point inside an environment: takes the Call, makes it, and ends with the Result's frame.

The order is the promise: streams, signals, the function, its threads and exit handlers, the frame, the end.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time

from . import frame, load, logs, usage
from .call import PREFIX, Call, Failure, Result, unpack
from .tagged import Refused

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, NoReturn

    from .modules import Modules
    from .ticket import Ticket

MAX_MESSAGE = 4_000
MAX_TRACEBACK = 64_000
TERMINATION_LOG_LIMIT = 4_096
"""Bytes of a termination message that Kubernetes keeps."""


class _Terminated(BaseException):
    """SIGTERM: not an Exception, so that the function's ``finally`` blocks run and its ``except Exception`` do not."""


class _Process:
    """This process: its pid (a forked child has another), and whether it was asked to end."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.terminated = False

    def on_terminate(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a child that inherited the handler, as multiprocessing's do
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.terminated:
            os._exit(143)
        self.terminated = True
        raise _Terminated


def main() -> NoReturn:
    """Make the Call that the environment variables hold. Exit code 0 with a value, 1 with a failure, 143 on SIGTERM."""
    environ = _take(os.environ)
    _follow_parent(environ.get("PARENT", ""))
    process = _Process()
    output = _Output()
    ticket = None
    try:
        # Process 1 ignores SIGTERM unless it has a handler.
        signal.signal(signal.SIGTERM, process.on_terminate)
        ticket = _ticket(environ)
        result = _call(environ, ticket)
        if os.getpid() != process.pid:  # the function forked, and the child returned as well
            _run_exit_handlers()
            os._exit(1 if result.error else 0)
        result, payload = _encode(result, ticket, discard=bool(environ.get("DISCARD")))
        _run_exit_handlers()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except _Terminated:
        process.terminated = True
    if ticket:
        ticket.close()
    _flush()
    if process.terminated:  # also when the function swallowed it
        os._exit(143)
    sent = output.send(environ, payload)
    # So that nothing prints after the frame.
    os._exit(0 if sent and not result.error else 1)


def _take(environ: Any) -> dict[str, str]:
    """Our variables, without the prefix; ``environ`` no longer holds them, and the function never sees them."""
    return {name[len(PREFIX) :]: environ.pop(name) for name in list(environ) if name.startswith(PREFIX)}


def _ticket(environ: dict[str, str]) -> Ticket | None:
    """What came with the Call for values that go through storage; None where nothing did."""
    if "CALL_EXCHANGE_0" not in environ:
        return None
    from .ticket import of_env

    return of_env({PREFIX + name: value for name, value in environ.items()})


def _encode(result: Result, ticket: Ticket | None, *, discard: bool) -> tuple[Result, bytes]:
    """The Result, or the one that says why its value is refused, as bytes."""

    def stored(value: Any) -> Any:
        try:
            return ticket.encode(value) if ticket else None
        finally:
            result.usage["peak_memory_bytes"] = usage.peak()  # a table that is written takes memory too

    if discard:
        result.value = None
    try:
        return result, result.encode(stored if ticket else None)
    except Refused as refused:
        failure = _refusal(refused)
    except Exception as error:  # noqa: BLE001 - a mapping or a sequence of the user's own
        failure = Failure(
            "refused", type=_type_name(type(error)), message="the returned value cannot be read: " + _message(error)
        )
    result = Result(error=failure, python=result.python, seconds=result.seconds, usage=result.usage)
    return result, result.encode()


def _refusal(refused: Refused) -> Failure:
    return Failure(refused.kind, type=refused.kind, message=_printable(str(refused), MAX_MESSAGE), code=refused.code)


def _call(environ: dict[str, str], ticket: Ticket | None) -> Result:
    python = sys.version.split()[0]
    try:
        call = Call.from_env({PREFIX + name: value for name, value in environ.items()})
    except Refused as refused:
        return Result(error=Failure("call", type="Refused", message=str(refused)), python=python)
    if call.travels:
        print(call.travels)  # noqa: T201 - the task's log
    modules = _modules(call, environ.get("BYTECODE", ""))
    started = time.perf_counter()
    value, failure, meter = None, None, None
    try:
        logs.prepare()
        function = load.load(call.code)
        args, kwargs = call.args, call.kwargs
        if ticket:
            try:
                args, kwargs = ticket.arguments(function, args, kwargs)
            except Refused as refused:
                return Result(error=_refusal(refused), python=python)
        meter = usage.Meter()
        started = time.perf_counter()
        value = function(*args, **kwargs)
        if type(value).__name__ == "coroutine":
            import asyncio

            value = asyncio.run(value)
    except _Terminated:
        raise
    except SystemExit as error:
        message = f"the function called sys.exit({_argument(error)}) instead of returning a value or raising an error"
        failure = Failure("exited", type="SystemExit", message=message, code=_exit_code(error))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's failure
        seconds = time.perf_counter() - started
        used = meter.read() if meter else None
        return Result(error=_failure(error, _Texts(call, modules)), python=python, seconds=seconds, usage=used)
    seconds = time.perf_counter() - started
    return Result(value, error=failure, python=python, seconds=seconds, usage=meter.read() if meter else None)


class _Output:
    """The log as it was at the start: whatever the function closes or redirects, the frame finds its way."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # None: started without it
                # Before dup2: a file's stream asks for its position, which a pipe under the same number has not.
                stream.reconfigure(  # type: ignore[union-attr]
                    encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False
                )
        # Before dup: a free number 0 is taken.
        null = os.open(os.devnull, os.O_RDONLY)
        if null == 0:
            os.set_inheritable(0, True)
        else:
            os.dup2(null, 0)
            os.close(null)
        self._fd = self._identity = None
        try:
            self._fd = os.dup(1)
            self._identity = _identity(self._fd)
            os.dup2(1, 2)
            faulthandler.enable(file=2)  # a segfault leaves its traceback in the log
        except OSError:
            pass  # started without a stdout: the termination log is left

    def send(self, environ: dict[str, str], payload: bytes) -> bool:
        """Whether the frame was written anywhere."""
        token = environ.get("TOKEN", "")
        sent = self._to_log(token, payload)
        path = environ.get("TERMINATION_LOG")
        message = b"".join(frame.lines(token, payload))
        if path and len(message) <= TERMINATION_LOG_LIMIT:
            try:
                with open(path, "wb") as file:  # noqa: PTH123 - pathlib costs every task milliseconds
                    file.write(message)
                sent = True
            except OSError:
                pass  # the log has it
        time.sleep(float(environ.get("LINGER") or 0))
        return sent

    def _to_log(self, token: str, payload: bytes) -> bool:
        for fd in (self._fd, 1, 2):
            # A function that closes every descriptor may have opened its own file under our number.
            if fd is None or self._identity != _identity(fd):
                continue
            try:
                frame.write(fd, token, payload)
            except OSError:
                continue
            return True
        return False


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _run_exit_handlers() -> None:
    """What the interpreter does at its end, before ours: join threads, then run what atexit holds."""
    threading = sys.modules.get("threading")
    if threading:
        threading._shutdown()
    import atexit

    try:  # noqa: SIM105 - contextlib costs every task milliseconds
        atexit._run_exitfuncs()
    except (Exception, SystemExit):  # noqa: BLE001, S110 - printed already; 3.8 and 3.9 raise the last one again
        pass


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:  # noqa: SIM105 - contextlib costs every task milliseconds
            stream.flush()  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001, S110 - closed, replaced or full: the result still counts
            pass


def _follow_parent(parent: str) -> None:
    """End with the parent, and adopt the orphans of our children, so that the tree stays together (Linux only)."""
    if not parent:
        return
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != int(parent):  # it ended before the first prctl
        os._exit(143)


def _modules(call: Call, bytecode: str) -> Modules | None:
    """The finder of the modules that travelled with ``call``; None where none did."""
    if not call.names:
        return None
    from .modules import Modules

    modules = Modules(call.names, lambda: unpack(call.modules), bytecode)
    modules.install()
    return modules


class _Texts:
    """What travelled, as text: the lines that ran."""

    def __init__(self, call: Call, modules: Modules | None) -> None:
        self.own = load.texts(call.code)
        self._modules = modules

    def show(self) -> None:
        """Let tracebacks show them: linecache may find another file of that name, and asks no loader for a cell."""
        import linecache

        for filename, text in [*self.own.items(), *(self._modules.texts() if self._modules else ())]:
            # A form feed ends no line here.
            lines = [line + "\n" for line in text.split("\n")]
            linecache.cache[filename] = (len(text), None, lines, filename)


def _failure(error: BaseException, texts: _Texts) -> Failure:
    try:
        trace = _traceback(error, texts)
    except Exception:  # noqa: BLE001 - exceptions may define anything
        trace = "(its traceback cannot be written)\n"
    message = _message(error)
    if isinstance(error, SyntaxError) and error.filename in texts.own:
        message = f"Python {sys.version.split()[0]} cannot read the function: {message}"
    return Failure(
        "raised",
        type=_type_name(type(error)),
        message=message,
        traceback=_printable(trace, MAX_TRACEBACK),
        # Without BaseException and object.
        bases=" ".join(_type_name(kind) for kind in type(error).__mro__[1:-2]),
    )


def _traceback(error: BaseException, texts: _Texts) -> str:
    import traceback

    texts.show()
    return "".join(traceback.format_exception(type(error), error, _own_part(error.__traceback__, texts)))


def _own_part(trace: TracebackType | None, texts: _Texts) -> TracebackType | None:
    """The traceback from the function's own first line on: without ours and asyncio's frames above it."""
    step = trace
    while step is not None and step.tb_frame.f_code.co_filename not in texts.own:
        step = step.tb_next
    while step is None and trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("_podenv."):
        trace = trace.tb_next
    return step or trace


def _type_name(kind: type) -> str:
    name = str(kind.__qualname__).rpartition("<locals>.")[2]
    module = str(kind.__module__)
    return _printable(name if module in ("builtins", "__main__") else module + "." + name, 200)


def _message(error: BaseException) -> str:
    try:
        return _printable(str(error), MAX_MESSAGE)
    except BaseException as other:  # noqa: BLE001 - a __str__ may raise anything
        return f"(its message cannot be read: __str__ raised {type(other).__name__})"


def _argument(error: SystemExit) -> str:
    try:
        return _printable("" if error.code is None else repr(error.code), 200)
    except Exception:  # noqa: BLE001 - any object can be an exit code
        return "..."


def _exit_code(error: SystemExit) -> str:
    """What the process would have ended with."""
    code = 0 if error.code is None else error.code
    return str(int(code) & 0xFF) if isinstance(code, int) else "1"


def _printable(text: str, limit: int) -> str:
    """``text`` as UTF-8 can hold it, its middle left out where it is longer than ``limit`` characters."""
    if len(text) > limit:
        head = limit // 4
        text = f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[head - limit :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
