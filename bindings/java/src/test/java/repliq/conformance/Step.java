package repliq.conformance;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A line of a script, taken apart. A word holds bytes, one a character, until it is asked for as a text. */
final class Step {
    private final String line;
    private int at;
    private final List<String> words = new ArrayList<>();
    private final Map<String, String> fields = new LinkedHashMap<>();
    private String code = "";
    private int index = -1;

    /** Takes a line apart, whose bytes are its characters. */
    Step(String line) {
        this.line = line;
        boolean failing = false;
        while (at < line.length()) {
            if (line.charAt(at) == ' ') {
                at++;
                continue;
            }
            failing |= next(failing);
        }
    }

    /** Reads a word; true for the sign that a code follows. */
    private boolean next(boolean failing) {
        String word = "";
        String name = null;
        boolean quotes = false;
        while (at < line.length() && line.charAt(at) != ' ') {
            char sign = line.charAt(at++);
            if (sign == '"') {
                word += quoted();
                quotes = true;
            } else if (sign == '=' && name == null && !quotes) {
                name = word;
                word = "";
            } else {
                word += sign;
            }
        }
        if (name != null) {
            fields.put(name, word);
        } else if (failing && code.isEmpty()) {
            code = word;
        } else if (failing) {
            index = Integer.parseInt(word);
        } else if (word.equals("!") && !quotes) {
            return true;
        } else {
            words.add(word);
        }
        return false;
    }

    /** Reads a quoted text from behind its first quote on. */
    private String quoted() {
        StringBuilder text = new StringBuilder();
        for (;;) {
            char sign = sign();
            if (sign == '"') {
                return times(text.toString());
            }
            text.append(sign == '\\' ? escaped() : sign);
        }
    }

    private char sign() {
        if (at >= line.length()) {
            throw new Wrong("a quote is not closed");
        }
        return line.charAt(at++);
    }

    private char escaped() {
        char sign = sign();
        switch (sign) {
            case 'n':
                return '\n';
            case '0':
                return '\0';
            case 'x':
                return (char) Integer.parseInt("" + sign() + sign(), 16);
            default:
                return sign;
        }
    }

    private String times(String text) {
        int end = at + 1;
        while (end < line.length() && Character.isDigit(line.charAt(end))) {
            end++;
        }
        if (at >= line.length() || line.charAt(at) != '*' || end == at + 1) {
            return text;
        }
        int count = Integer.parseInt(line.substring(at + 1, end));
        at = end;
        return text.repeat(count);
    }

    /** What the step must fail with; empty where it must not. */
    String code() {
        return code;
    }

    /** Which message that must be about; below 0 where it does not matter. */
    int index() {
        return index;
    }

    static byte[] raw(String word) {
        return word.getBytes(StandardCharsets.ISO_8859_1);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private String bare(int which) {
        if (which >= words.size()) {
            throw new Wrong("word " + which + " is missing");
        }
        return words.get(which);
    }

    String word(int which) {
        return text(raw(bare(which)));
    }

    byte[] bytes(int which) {
        return raw(bare(which));
    }

    /** All words from one on. */
    List<byte[]> rest(int first) {
        List<byte[]> rest = new ArrayList<>();
        for (int which = first; which < words.size(); which++) {
            rest.add(bytes(which));
        }
        return rest;
    }

    List<String> names(int first) {
        List<String> names = new ArrayList<>();
        rest(first).forEach(one -> names.add(text(one)));
        return names;
    }

    List<Long> numbers(int first) {
        List<Long> numbers = new ArrayList<>();
        names(first).forEach(one -> numbers.add(Long.valueOf(one)));
        return numbers;
    }

    long number(int which) {
        return Long.parseLong(bare(which));
    }

    int count(int which) {
        return Integer.parseInt(bare(which));
    }

    Duration time(int which) {
        return Duration.ofMillis(number(which));
    }

    /** The fields, whose values are bytes. */
    Map<String, String> fields() {
        return fields;
    }

    /** A field as a text, or null. */
    String field(String name) {
        String value = fields.get(name);
        return value == null ? null : text(raw(value));
    }

    String field(String name, String otherwise) {
        String value = field(name);
        return value == null ? otherwise : value;
    }
}
