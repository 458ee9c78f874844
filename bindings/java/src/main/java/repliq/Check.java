package repliq;

import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** Checks of arguments; what is refused changed nothing. */
final class Check {
    private Check() {}

    static RepliqException invalid(String text) {
        return RepliqException.of(Code.INVALID, text);
    }

    /** The same, unless it is null. */
    static <T> T given(T value, String name) {
        if (value == null) {
            throw invalid(name + " is null");
        }
        return value;
    }

    /** The same, unless it is out of its bounds. */
    static int range(int value, int least, int most, String name) {
        if (value < least || value > most) {
            throw invalid(name + " is " + value + ", not " + least + " to " + most);
        }
        return value;
    }

    /** The same, unless it is negative. */
    static long positive(long value, String name) {
        if (value < 0) {
            throw invalid(name + " is " + value + ", less than 0");
        }
        return value;
    }

    /** The same, unless it is negative. */
    static int positive(int value, String name) {
        return (int) positive((long) value, name);
    }

    /** A time in milliseconds, unless it is negative. */
    static long milliseconds(Duration time, String name) {
        if (given(time, name).isNegative()) {
            throw invalid(name + " is " + time + ", less than 0");
        }
        try {
            return time.toMillis();
        } catch (ArithmeticException error) {
            throw invalid(name + " is " + time + ", too long");
        }
    }

    /** A text as bytes. */
    static byte[] utf8(String text, String name) {
        return given(text, name).getBytes(StandardCharsets.UTF_8);
    }
}
