package repliq;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Takes the JSON of the native library apart, which is well formed: anything else is a bug of this library. */
final class Json {
    private final String text;
    private int at;

    Json(String text) {
        this.text = text;
    }

    /** The object that is all of the text. */
    Map<String, Object> object() {
        Map<String, Object> members = members();
        blanks();
        if (at != text.length()) {
            throw wrong();
        }
        return members;
    }

    private Object value() {
        blanks();
        switch (peek()) {
            case '{':
                return members();
            case '[':
                return elements();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> members() {
        Map<String, Object> members = new LinkedHashMap<>();
        take('{');
        if (!is('}')) {
            do {
                blanks();
                String name = string();
                take(':');
                members.put(name, value());
            } while (is(','));
            take('}');
        }
        return Collections.unmodifiableMap(members);
    }

    private List<Object> elements() {
        List<Object> elements = new ArrayList<>();
        take('[');
        if (!is(']')) {
            do {
                elements.add(value());
            } while (is(','));
            take(']');
        }
        return Collections.unmodifiableList(elements);
    }

    private String string() {
        take('"');
        StringBuilder made = new StringBuilder();
        for (char sign = next(); sign != '"'; sign = next()) {
            made.append(sign == '\\' ? escaped() : sign);
        }
        return made.toString();
    }

    private char escaped() {
        char sign = next();
        switch (sign) {
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                if (text.length() - at < 4) {
                    throw wrong();
                }
                at += 4;
                return (char) Integer.parseInt(text.substring(at - 4, at), 16);
            default:
                return sign;
        }
    }

    private Object number() {
        int begin = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String number = text.substring(begin, at);
        try {
            return Long.valueOf(number);
        } catch (NumberFormatException error) {
            // Not whole, or larger than a long.
            try {
                return Double.valueOf(number);
            } catch (NumberFormatException none) {
                throw wrong();
            }
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong();
        }
        at += word.length();
        return value;
    }

    private void blanks() {
        while (at < text.length() && text.charAt(at) <= ' ') {
            at++;
        }
    }

    private char peek() {
        if (at == text.length()) {
            throw wrong();
        }
        return text.charAt(at);
    }

    private char next() {
        char sign = peek();
        at++;
        return sign;
    }

    /** Takes this sign where it is the next one. */
    private boolean is(char sign) {
        blanks();
        boolean found = peek() == sign;
        at += found ? 1 : 0;
        return found;
    }

    private void take(char sign) {
        if (!is(sign)) {
            throw wrong();
        }
    }

    private RepliqException wrong() {
        return RepliqException.of(Code.PANIC, "a status of the native library is no JSON at " + at + ": " + text);
    }
}
