package repliq.conformance;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import repliq.RepliqException;

/**
 * The scripts of {@code tests/conformance} through the public API of Java; their language is described there.
 *
 * <p>Usage: {@code Conformance [-e] [-r tcp|unix] FOLDER SCRIPT...}. FOLDER is empty and is used for the stores; -e prints
 * errors; with -r every store is used at a server.
 */
public final class Conformance {
    private final PrintStream out;
    private final boolean printErrors;
    private final String way;
    private int steps;

    private Conformance(PrintStream out, boolean printErrors, String way) {
        this.out = out;
        this.printErrors = printErrors;
        this.way = way;
    }

    /** Runs one step; null where it holds, otherwise why not. */
    private String holds(World world, String line, String place) throws Exception {
        Step step;
        try {
            step = new Step(line);
            world.run(step);
            String said = world.said();
            if (printErrors && !said.isEmpty()) {
                out.println("refused " + place + " " + said);
            }
        } catch (Wrong wrong) {
            return wrong.getMessage();
        } catch (RepliqException error) {
            step = new Step(line);
            boolean asked = step.code().equals(error.code().name());
            if (asked && (step.index() < 0 || step.index() == error.messageIndex().orElse(-1))) {
                if (printErrors) {
                    out.println("refused " + place + " " + step.code() + ": " + error.getMessage());
                }
                return null;
            }
            return error.code() + ": " + error.getMessage() + " " + error.messageIndex();
        }
        return step.code().isEmpty() ? null : "succeeded, not " + step.code();
    }

    /** Runs a script; null where it holds, otherwise where it does not and why. */
    String run(Path script, Path folder) throws Exception {
        Files.createDirectory(folder);
        try (World world = new World(folder, way)) {
            String text = new String(Files.readAllBytes(script), StandardCharsets.ISO_8859_1);
            String[] lines = text.split("\n");
            for (int at = 0; at < lines.length; at++) {
                if (lines[at].startsWith("#") || lines[at].isBlank()) {
                    continue;
                }
                steps++;
                if (!way.isEmpty() && lines[at].startsWith("local")) {
                    break;
                }
                String why = holds(world, lines[at], script.getFileName() + ":" + (at + 1));
                if (why != null) {
                    return script + ":" + (at + 1) + ": " + why;
                }
            }
        }
        return null;
    }

    private int runAll(Path folder, List<String> scripts) throws Exception {
        List<String> failed = new ArrayList<>();
        for (int at = 0; at < scripts.size(); at++) {
            String why = run(Path.of(scripts.get(at)), folder.resolve(Integer.toString(at)));
            if (why != null) {
                failed.add(why);
                out.println("FAILED " + why);
            }
        }
        out.println("conformance java" + (way.isEmpty() ? "" : " over " + way) + ": " + scripts.size() + " scripts, " + steps + " steps");
        out.println(scripts.size() - failed.size() + " passed, " + failed.size() + " failed, 0 skipped");
        return failed.isEmpty() ? 0 : 1;
    }

    /** For tests of the interpreter itself. */
    static Conformance quiet() throws IOException {
        return new Conformance(new PrintStream(java.io.OutputStream.nullOutputStream()), false, "");
    }

    public static void main(String[] arguments) throws Exception {
        boolean printErrors = arguments.length > 0 && arguments[0].equals("-e");
        List<String> left = Arrays.asList(arguments).subList(printErrors ? 1 : 0, arguments.length);
        String way = "";
        if (left.size() > 1 && left.get(0).equals("-r")) {
            way = left.get(1);
            left = left.subList(2, left.size());
        }
        if (left.size() < 2) {
            System.err.println("usage: Conformance [-e] [-r tcp|unix] FOLDER SCRIPT...");
            System.exit(2);
        }
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.exit(new Conformance(out, printErrors, way).runAll(Path.of(left.get(0)), left.subList(1, left.size())));
    }
}
