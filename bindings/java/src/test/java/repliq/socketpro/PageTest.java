package repliq.socketpro;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The page {@code docs/SOCKETPRO.md} names what is there, and everything that is there. */
class PageTest {
    private static final Path PAGE = Path.of(System.getProperty("repliq.root", "../.."), "docs/SOCKETPRO.md");
    private static final Pattern CALL = Pattern.compile("(?:new )?(\\w+)\\(");
    private static final Pattern SAVE = Pattern.compile("`((?:Save|Load)\\w+)`");
    private static final Pattern FIELD = Pattern.compile("^\\| `(\\w+)` \\|");

    /** The rows of the tables in the section with this heading. */
    private static List<String> rows(String heading) throws IOException {
        String page = Files.readString(PAGE);
        int start = page.indexOf("\n## " + heading + "\n");
        assertTrue(start >= 0, heading);
        int end = page.indexOf("\n## ", start + 1);
        List<String> rows = page.substring(start, end)
                .lines()
                .filter(line -> line.startsWith("| "))
                .collect(Collectors.toList());
        assertTrue(rows.size() > 2, heading);
        return rows;
    }

    /** The calls in the column of Java. */
    private static Set<String> calls(String heading) throws IOException {
        Set<String> found = new TreeSet<>();
        for (String row : rows(heading)) {
            Matcher matcher = CALL.matcher(row.split(" \\| ")[2]);
            while (matcher.find()) {
                found.add(matcher.group(1));
            }
        }
        return found;
    }

    private static Set<String> matches(String heading, Pattern pattern) throws IOException {
        Set<String> found = new TreeSet<>();
        for (String row : rows(heading)) {
            Matcher matcher = pattern.matcher(row);
            while (matcher.find()) {
                found.add(matcher.group(1));
            }
        }
        return found;
    }

    private static Set<String> methods(Class<?> of) {
        return Arrays.stream(of.getDeclaredMethods())
                .filter(one -> Modifier.isPublic(one.getModifiers()))
                .map(one -> one.getName())
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> fields(Class<?> of) {
        return Arrays.stream(of.getFields())
                .filter(one -> !Modifier.isStatic(one.getModifiers()))
                .map(Field::getName)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    @Test
    void theCallsOfThePageAreThoseOfTheClasses() throws IOException {
        Set<String> replication = methods(CReplication.class);
        replication.add("CReplication");
        assertEquals(calls("CReplication"), replication);
        assertEquals(calls("CClientQueue"), methods(CClientQueue.class));
        assertEquals(calls("QueueConfigure"), methods(QueueConfigure.class));
    }

    @Test
    void theFieldsOfThePageAreThoseOfTheClasses() throws IOException {
        assertEquals(matches("ReplicationSetting", FIELD), fields(ReplicationSetting.class));
        assertEquals(matches("CConnectionContext", FIELD), fields(CConnectionContext.class));
    }

    @Test
    void theValuesOfThePageAreThoseOfThePacker() throws IOException {
        Set<String> packer = methods(CScopeUQueue.class);
        packer.removeAll(Set.of("GetBuffer", "GetSize", "SetSize", "Save", "close"));
        assertEquals(matches("CScopeUQueue", SAVE), packer);
        // What each saves is what Save takes.
        Set<Class<?>> each = parameters("Save\\w+");
        assertEquals(each, parameters("Save"));
        assertEquals(13, each.size());
    }

    private static Set<Class<?>> parameters(String name) {
        return Arrays.stream(CScopeUQueue.class.getDeclaredMethods())
                .filter(one -> Modifier.isPublic(one.getModifiers()) && one.getName().matches(name))
                .map(one -> one.getParameterTypes()[0])
                .collect(Collectors.toSet());
    }
}
