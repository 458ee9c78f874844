package repliq.socketpro;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Map;
import java.util.Queue;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import repliq.RepliqException;

/** The bytes of CScopeUQueue, which are those of every language. */
class ScopeQueueTest {
    private static final Path VECTORS =
            Path.of(System.getProperty("repliq.root", "../.."), "tests/conformance/scope_queue.txt");
    private static final Pattern WORD = Pattern.compile("\"[^\"]*\"|[^ ]+");
    private static final Map<String, Function<CScopeUQueue, Object>> LOADS = Map.ofEntries(
            Map.entry("bool", CScopeUQueue::LoadBool),
            Map.entry("i32", CScopeUQueue::LoadInt),
            Map.entry("i64", CScopeUQueue::LoadLong),
            Map.entry("f64", CScopeUQueue::LoadDouble),
            Map.entry("time", CScopeUQueue::LoadDate),
            Map.entry("string", CScopeUQueue::LoadString),
            Map.entry("bytes", CScopeUQueue::LoadBytes),
            Map.entry("object", CScopeUQueue::LoadObject),
            Map.entry("bools", CScopeUQueue::LoadBools),
            Map.entry("ints", CScopeUQueue::LoadInts),
            Map.entry("longs", CScopeUQueue::LoadLongs),
            Map.entry("doubles", CScopeUQueue::LoadDoubles),
            Map.entry("strings", CScopeUQueue::LoadStrings));

    private static byte[] fromHex(String hex) {
        byte[] made = new byte[hex.length() / 2];
        for (int i = 0; i < made.length; i++) {
            made[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return made;
    }

    private static Double f64(String word) {
        return Double.valueOf(word.replace("inf", "Infinity"));
    }

    private static String text(String word) {
        return word.equals("null") ? null : word.substring(1, word.length() - 1).replace("\\u0000", "\0");
    }

    private static Object object(Queue<String> words) {
        String type = words.remove();
        switch (type) {
            case "null":
                return null;
            case "bool":
                return words.remove().equals("true");
            case "i32":
                return Integer.valueOf(words.remove());
            case "i64":
                return Long.valueOf(words.remove());
            case "f64":
                return f64(words.remove());
            default:
                assertEquals("string", type);
                return text(words.remove());
        }
    }

    private static boolean[] bools(String[] words) {
        boolean[] made = new boolean[words.length];
        for (int i = 0; i < made.length; i++) {
            made[i] = words[i].equals("true");
        }
        return made;
    }

    /** Saves the first of the words with its type and gives it back; what is a list in words is an array. */
    private static Object save(CScopeUQueue to, String type, Queue<String> words) {
        if (type.equals("object")) {
            Object value = object(words);
            to.Save(value);
            return value;
        }
        String word = words.remove();
        switch (type) {
            case "bool":
                to.Save(word.equals("true"));
                return word.equals("true");
            case "i32":
                to.Save(Integer.parseInt(word));
                return Integer.valueOf(word);
            case "i64":
                to.Save(Long.parseLong(word));
                return Long.valueOf(word);
            case "f64":
                to.Save(f64(word).doubleValue());
                return f64(word);
            case "time":
                Instant time = Instant.EPOCH.plus(Long.parseLong(word), ChronoUnit.MICROS);
                to.Save(time);
                return time;
            case "string":
                to.Save(text(word));
                return text(word);
            case "bytes":
                byte[] bytes = word.equals("null") ? null : fromHex(word.equals("-") ? "" : word);
                to.Save(bytes);
                return bytes;
            default:
                return saveArray(to, type, word, words);
        }
    }

    private static Object saveArray(CScopeUQueue to, String type, String count, Queue<String> words) {
        String[] all = count.equals("null") ? null : new String[Integer.parseInt(count)];
        for (int i = 0; all != null && i < all.length; i++) {
            all[i] = words.remove();
        }
        switch (type) {
            case "bools":
                boolean[] bools = all == null ? null : bools(all);
                to.Save(bools);
                return bools;
            case "ints":
                int[] ints = all == null ? null : Arrays.stream(all).mapToInt(Integer::parseInt).toArray();
                to.Save(ints);
                return ints;
            case "longs":
                long[] longs = all == null ? null : Arrays.stream(all).mapToLong(Long::parseLong).toArray();
                to.Save(longs);
                return longs;
            case "doubles":
                double[] doubles = all == null ? null : Arrays.stream(all).mapToDouble(ScopeQueueTest::f64).toArray();
                to.Save(doubles);
                return doubles;
            default:
                assertEquals("strings", type);
                String[] texts = all == null ? null : Arrays.stream(all).map(ScopeQueueTest::text).toArray(String[]::new);
                to.Save(texts);
                return texts;
        }
    }

    private static void bad(String line, String type, byte[] packed) {
        CScopeUQueue from = new CScopeUQueue(packed);
        assertThrows(RepliqException.Invalid.class, () -> LOADS.get(type).apply(from), line);
        assertArrayEquals(packed, from.GetBuffer(), line);
    }

    private static void good(String line, String values, byte[] packed) {
        Queue<String> words = new ArrayDeque<>();
        Matcher matcher = WORD.matcher(values);
        while (matcher.find()) {
            words.add(matcher.group());
        }
        CScopeUQueue saved = new CScopeUQueue();
        CScopeUQueue loaded = new CScopeUQueue(packed);
        while (!words.isEmpty()) {
            String type = words.remove();
            Object expected = save(saved, type, words);
            // In an array, so that arrays are compared by what they hold.
            assertArrayEquals(new Object[] {expected}, new Object[] {LOADS.get(type).apply(loaded)}, line);
        }
        assertArrayEquals(packed, saved.GetBuffer(), line);
        assertEquals(0, loaded.GetSize(), line);
    }

    @Test
    void theBytesAreThoseOfTheListForAllLanguages() throws IOException {
        int goods = 0;
        int bads = 0;
        for (String line : Files.readAllLines(VECTORS)) {
            if (line.startsWith("#")) {
                continue;
            }
            int sign = line.lastIndexOf(" = ");
            byte[] packed = fromHex(line.substring(sign + 3));
            if (line.startsWith("! ")) {
                bad(line, line.substring(2, sign), packed);
                bads++;
            } else {
                good(line, line.substring(0, sign), packed);
                goods++;
            }
        }
        assertTrue(goods >= 50 && bads >= 25, goods + " good, " + bads + " bad");
    }

    @Test
    void whatCannotBeSavedIsRefusedAndLeavesNothing() {
        CScopeUQueue packer = new CScopeUQueue();
        Executable[] refused = {
            () -> packer.SaveString("\ud800"),
            () -> packer.SaveObject("\udc00 x"),
            () -> packer.SaveStrings(new String[] {"fine", "\ud800"}),
            () -> packer.SaveObject((short) 7),
            () -> packer.SaveObject(new byte[1]),
            () -> packer.SaveDate(null),
            () -> packer.SaveDate(Instant.MAX),
            () -> packer.SetSize(1),
        };
        for (int i = 0; i < refused.length; i++) {
            assertThrows(RepliqException.Invalid.class, refused[i], "the case " + i);
        }
        assertEquals(0, packer.GetSize());
        assertArrayEquals(new byte[0], packer.GetBuffer());
    }

    @Test
    void timesAreCutOffTowardsThePast() {
        CScopeUQueue packer = new CScopeUQueue();
        packer.SaveDate(Instant.EPOCH.minusNanos(1)).SaveDate(Instant.EPOCH.plusNanos(1999));
        assertEquals(-1, packer.LoadLong());
        assertEquals(Instant.EPOCH.plusNanos(1000), packer.LoadDate());
        // All that 64 bits can say is a time of Java.
        for (long edge : new long[] {Long.MIN_VALUE, Long.MAX_VALUE}) {
            Instant time = packer.SaveLong(edge).LoadDate();
            assertEquals(edge, packer.SaveDate(time).LoadLong());
        }
    }

    @Test
    void aPackerIsReadInTheOrderOfItsSavesAndCanBeEmptied() {
        CScopeUQueue packer = new CScopeUQueue();
        assertSame(packer, packer.Save(true).Save(1).Save(2L).Save(0.5).Save("x").SaveString(null));
        packer.Save(new byte[] {1}).Save(Instant.EPOCH).SaveObject(null).Save(Integer.valueOf(7));
        byte[] all = packer.GetBuffer();
        CScopeUQueue copy = new CScopeUQueue(ByteBuffer.wrap(all));
        assertTrue(copy.LoadBool());
        assertEquals(all.length - 1, copy.GetSize());
        assertEquals(1, copy.LoadInt());
        assertEquals(2, copy.LoadLong());
        assertEquals(0.5, copy.LoadDouble());
        assertEquals("x", copy.LoadString());
        assertNull(copy.LoadString());
        assertArrayEquals(new byte[] {1}, copy.LoadBytes());
        assertEquals(Instant.EPOCH, copy.LoadDate());
        assertNull(copy.LoadObject());
        // What is saved behind loaded values is loaded behind them.
        copy.SaveInts(new int[1000]);
        assertEquals(7, copy.LoadObject());
        assertEquals(1000, copy.LoadInts().length);
        assertEquals(0, copy.GetSize());
        packer.SetSize(0);
        assertEquals(0, packer.GetSize());
        assertThrows(RepliqException.Invalid.class, packer::LoadBool);
        assertEquals(1, packer.SaveBool(false).GetSize());
        assertFalse(packer.LoadBool());
    }

    @Test
    void theBytesThatItReadsFromAreACopy() {
        byte[] bytes = {1, 0, 0, 0, 'a'};
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        CScopeUQueue one = new CScopeUQueue(bytes);
        CScopeUQueue other = new CScopeUQueue(buffer);
        bytes[4] = 'b';
        one.GetBuffer()[4] = 'c';
        for (Supplier<String> load : Arrays.<Supplier<String>>asList(one::LoadString, other::LoadString)) {
            assertEquals("a", load.get());
        }
        assertEquals(5, buffer.remaining());
        try (CScopeUQueue named = new CUQueue("\1\0\0\0z".getBytes(StandardCharsets.US_ASCII))) {
            assertEquals("z", named.LoadString());
        }
        assertEquals(0, new CUQueue().GetSize());
    }
}
