"""The structure that Echo carries: eleven fields, in this order."""

from __future__ import annotations

import dataclasses
import datetime

from repliq.socketpro import CScopeUQueue

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def text(value: object) -> str:
    """A value as a server prints it, the same in every language."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@dataclasses.dataclass
class CMyStruct:
    NullString: str | None = None
    NullObject: None | bool | int | float | str = None
    ADateTime: datetime.datetime = EPOCH + 1_700_000_000_000_000 * MICROSECOND
    ADouble: float = 1234.567
    ABool: bool = True
    UnicodeString: str | None = "Unicode"
    AsciiString: str | None = "ASCII"
    ObjBool: None | bool | int | float | str = True
    ObjString: None | bool | int | float | str = "test"
    ObjArrString: list[str | None] = dataclasses.field(default_factory=lambda: ["Hello", "world"])
    ObjArrInt: list[int] = dataclasses.field(default_factory=lambda: [1, 76890])

    def SaveTo(self, to: CScopeUQueue) -> CScopeUQueue:
        to.SaveString(self.NullString).SaveObject(self.NullObject).SaveDate(self.ADateTime)
        to.SaveDouble(self.ADouble).SaveBool(self.ABool)
        to.SaveString(self.UnicodeString).SaveString(self.AsciiString)
        to.SaveObject(self.ObjBool).SaveObject(self.ObjString)
        return to.SaveStrings(self.ObjArrString).SaveInts(self.ObjArrInt)

    @staticmethod
    def LoadFrom(of: CScopeUQueue) -> CMyStruct:
        return CMyStruct(
            of.LoadString(),
            of.LoadObject(),
            of.LoadDate(),
            of.LoadDouble(),
            of.LoadBool(),
            of.LoadString(),
            of.LoadString(),
            of.LoadObject(),
            of.LoadObject(),
            of.LoadStrings() or [],
            of.LoadInts() or [],
        )

    def Text(self) -> str:
        """What a server prints for an Echo."""
        microseconds = (self.ADateTime - EPOCH) // MICROSECOND
        words = [self.NullString, self.NullObject, microseconds, self.ADouble, self.ABool]
        words += [self.UnicodeString, self.AsciiString, self.ObjBool, self.ObjString]
        line = " ".join(text(word) for word in words)
        arrays = (self.ObjArrString, self.ObjArrInt)
        return " ".join(["Echo", line, *(f"[{' '.join(map(text, one))}]" for one in arrays)])
