import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import repliq.socketpro.CScopeUQueue;

/** The structure that Echo carries: eleven fields, in this order. */
final class CMyStruct {
    String NullString = null;
    Object NullObject = null;
    Instant ADateTime = Instant.EPOCH.plus(1_700_000_000_000_000L, ChronoUnit.MICROS);
    double ADouble = 1234.567;
    boolean ABool = true;
    String UnicodeString = "Unicode";
    String AsciiString = "ASCII";
    Object ObjBool = true;
    Object ObjString = "test";
    String[] ObjArrString = {"Hello", "world"};
    int[] ObjArrInt = {1, 76890};

    CScopeUQueue SaveTo(CScopeUQueue to) {
        to.SaveString(NullString).SaveObject(NullObject).SaveDate(ADateTime);
        to.SaveDouble(ADouble).SaveBool(ABool);
        to.SaveString(UnicodeString).SaveString(AsciiString);
        to.SaveObject(ObjBool).SaveObject(ObjString);
        return to.SaveStrings(ObjArrString).SaveInts(ObjArrInt);
    }

    static CMyStruct LoadFrom(CScopeUQueue of) {
        CMyStruct all = new CMyStruct();
        all.NullString = of.LoadString();
        all.NullObject = of.LoadObject();
        all.ADateTime = of.LoadDate();
        all.ADouble = of.LoadDouble();
        all.ABool = of.LoadBool();
        all.UnicodeString = of.LoadString();
        all.AsciiString = of.LoadString();
        all.ObjBool = of.LoadObject();
        all.ObjString = of.LoadObject();
        String[] strings = of.LoadStrings();
        all.ObjArrString = strings == null ? new String[0] : strings;
        int[] ints = of.LoadInts();
        all.ObjArrInt = ints == null ? new int[0] : ints;
        return all;
    }

    /** What a server prints for an Echo. */
    String Text() {
        long microseconds = ChronoUnit.MICROS.between(Instant.EPOCH, ADateTime);
        Object[] words = {
            "Echo", NullString, NullObject, microseconds, ADouble, ABool, UnicodeString, AsciiString, ObjBool, ObjString,
            array(Arrays.stream(ObjArrString)), array(Arrays.stream(ObjArrInt).boxed())
        };
        return joined(Arrays.stream(words));
    }

    private static String array(Stream<?> values) {
        return "[" + joined(values) + "]";
    }

    private static String joined(Stream<?> values) {
        return values.map(CMyStruct::text).collect(Collectors.joining(" "));
    }

    /** A value as a server prints it, the same in every language. */
    private static String text(Object value) {
        return value instanceof Double ? String.format(Locale.ROOT, "%.3f", value) : String.valueOf(value);
    }
}
