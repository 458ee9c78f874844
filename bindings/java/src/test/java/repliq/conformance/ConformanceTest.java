package repliq.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The interpreter of the scripts finds what does not hold. */
class ConformanceTest {
    @TempDir Path dir;

    private String run(String text) throws Exception {
        Path script = Files.writeString(dir.resolve("s.script"), text.replace("|", "\n"));
        String why = Conformance.quiet().run(script, dir.resolve("stores"));
        return why == null ? null : why.substring(why.indexOf(".script:") + 8);
    }

    @ParameterizedTest
    @CsvSource(delimiter = ';', quoteCharacter = '\'', value = {
        "open s \"a\"|queue s q \"\"; 2: INVALID",
        "open s \"a\"|queue s q \"q\" ! INVALID; 2: succeeded",
        "open s \"a\"|queue s q \"\" ! TOO_LARGE; 2: INVALID",
        "# a||open s \"a\"|queue s q \"q\"|put s q \"1\"|snapshot v s|browse v q 1 9 \"2\"; 7: got \"1\"",
        "open s \"a\"|queue s q \"q\"|put s q \"1\"|snapshot v s|browse v q 1 9 \"1\"|check 0 sequence=2; 6: sequence is 1",
        "open s \"a\"|queue s q \"q\"|put s q \"1\" token=t|put s q \"2\" token=u|same t u; 5: the tokens",
        "open s \"a\"|queue s q \"q\"|port p|drain p 1 7; 4: ended: []",
        "open s \"a\"|queue s q \"q\"|put s q \"1\" \"2\" kind=1 priority=11 ! INVALID 1; 3: INVALID",
        "open s \"a\"|status s \"no such words\"; 2: no no such words",
        "hop s; 1: no verb hop",
        "put s q \"1\"; 1: q is not open",
        "open s; 1: word 2 is missing",
        "open s \"a; 1: a quote is not closed",
    })
    void a_step_that_does_not_hold_is_found_at_its_line(String script, String found) throws Exception {
        String why = run(script);
        assertNotNull(why, script);
        assertTrue(why.startsWith(found), why);
    }

    @Test
    void words_are_taken_apart_as_the_language_has_them() {
        Step step = new Step("put  s \"a\\x62\"*3 k=\"\\\"=\\\\\" \"!\" h.é=1 ! INVALID 2");
        assertEquals("ababab", step.word(2));
        assertEquals("!", step.word(3));
        assertEquals("\"=\\", step.field("k"));
        assertEquals("INVALID", step.code());
        assertEquals(2, step.index());
    }

    @Test
    void a_script_that_holds_holds() throws Exception {
        assertNull(run("open s \"a\"|queue s q \"q\"|put s q \"1\"|consumer c s q \"c\"|receive c 9 0 \"1\""));
    }
}
