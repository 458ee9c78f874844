"""The wheel, the jar and the shared library in one process, all at once, and all open when it ends.

Usage: together.py LIBREPLIQ LIBJVM CLASSPATH FOLDER
"""

import ctypes
import sys
import threading
from pathlib import Path

import repliq

COUNT = 500
LOCKED = 19
# Places in the tables of functions of JNI.
FIND_CLASS, EXCEPTION_OCCURRED, EXCEPTION_DESCRIBE = 6, 15, 16
GET_STATIC_METHOD, CALL_STATIC_OBJECT = 113, 116
NEW_STRING, GET_STRING = 167, 169


class Message(ctypes.Structure):
    """What is zero has its default."""

    _fields_ = [("data", ctypes.c_char_p), ("length", ctypes.c_size_t), ("rest", ctypes.c_uint64 * 16)]


class C:
    """A store through the shared library."""

    def __init__(self, file: str) -> None:
        self.library = ctypes.CDLL(file)
        self.store, self.queue = ctypes.c_void_p(), ctypes.c_uint32()

    def open(self, path: Path) -> int:
        return self.library.repliq_store_open(str(path).encode(), None, ctypes.byref(self.store))

    def begin(self) -> None:
        assert self.library.repliq_store_queue(self.store, b"orders", ctypes.byref(self.queue)) == 0

    def put(self) -> None:
        message = ctypes.byref(Message(b"c", 1))
        code = self.library.repliq_store_put(self.store, self.queue, message, ctypes.c_size_t(1), None, None)
        assert code == 0, code


class Option(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("extra", ctypes.c_void_p)]


class Arguments(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("options", ctypes.POINTER(Option)),
        ("ignore", ctypes.c_uint8),
    ]


class Java:
    """The class Together in a JVM of this process; all calls come from the main thread."""

    def __init__(self, file: str, class_path: str) -> None:
        options = (Option * 2)()
        options[0].text = b"-Djava.class.path=" + class_path.encode()
        options[1].text = b"-Xcheck:jni"
        arguments = Arguments(0x000A0000, 2, options, 0)
        machine, self.env = ctypes.c_void_p(), ctypes.c_void_p()
        create = ctypes.CDLL(file).JNI_CreateJavaVM
        code = create(ctypes.byref(machine), ctypes.byref(self.env), ctypes.byref(arguments))
        assert code == 0, code
        self.own = self.function(FIND_CLASS, ctypes.c_char_p)(self.env, b"repliq/Together")
        self.look()

    def function(self, at: int, *kinds: type, result: type = ctypes.c_void_p):
        table = ctypes.cast(self.env, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
        return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *kinds)(table[at])

    def look(self) -> None:
        if self.function(EXCEPTION_OCCURRED)(self.env):
            self.function(EXCEPTION_DESCRIBE, result=None)(self.env)
            sys.exit("Java threw")

    def call(self, name: str, argument: object) -> str:
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        kind = b"(Ljava/lang/String;)Ljava/lang/String;"
        method = self.function(GET_STATIC_METHOD, pointer, text, text)(self.env, self.own, name.encode(), kind)
        self.look()
        given = self.function(NEW_STRING, text)(self.env, str(argument).encode())
        values = (ctypes.c_void_p * 1)(given)
        answer = self.function(CALL_STATIC_OBJECT, pointer, pointer, pointer)(self.env, self.own, method, values)
        self.look()
        read = self.function(GET_STRING, pointer, pointer, result=text)
        return read(self.env, answer, None).decode()


def main() -> None:
    library, jvm, class_path, folder = sys.argv[1:4] + [Path(sys.argv[4])]
    wheel = repliq.open(folder / "wheel")
    orders = wheel.queue("orders")
    c = C(library)
    assert c.open(folder / "c") == 0
    c.begin()
    java = Java(jvm, class_path)
    url = java.call("open", folder / "java")

    # Each of the three has a core of its own, and knows what the others have open.
    assert C(library).open(folder / "wheel") == LOCKED
    assert C(library).open(folder / "java") == LOCKED
    for held in ("c", "wheel"):
        assert java.call("code", folder / held) == "LOCKED"
    for held in ("c", "java"):
        try:
            repliq.open(folder / held)
            raise SystemExit(f"{held} was opened twice")
        except repliq.LockedError:
            pass

    replication = repliq.Replication(wheel.queue("root"))
    replication.add("java", url, plain=True, password="secret")
    token = replication.send(1, b"from the wheel").token
    wheel.wait(token, at="target:java", timeout=60)

    java.call("start", COUNT)
    work = [lambda: orders.put(b"wheel", level="process"), c.put]
    threads = [threading.Thread(target=lambda put=put: [put() for _ in range(COUNT)]) for put in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert java.call("join", "") == str(COUNT)

    # All of it stays open, with calls that wait.
    consumer = wheel.consumer("clerk", wheel.queue("empty"))
    threading.Thread(target=lambda: consumer.receive(timeout=None), daemon=True).start()
    java.call("wait", "")
    print("together", flush=True)


main()
