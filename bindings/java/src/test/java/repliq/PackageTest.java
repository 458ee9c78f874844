package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The package as it is shipped: its documentation, its README, and its jar in a project of somebody else. */
class PackageTest {
    private static final Path HERE = Fixture.ROOT.resolve("bindings/java");

    @TempDir Path dir;

    private static String readme(String language) throws IOException {
        String text = Files.readString(HERE.resolve("README.md"));
        Matcher block = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL).matcher(text);
        assertTrue(block.find());
        return block.group(1);
    }

    @Test
    void the_documentation_is_complete() throws IOException {
        List<String> files;
        try (Stream<Path> all = Files.walk(HERE.resolve("src/main/java"))) {
            files = all.map(Path::toString).filter(name -> name.endsWith(".java")).collect(Collectors.toList());
        }
        List<String> arguments = Stream.concat(Stream.of("-quiet", "-Xdoclint:all", "-Werror", "--release", "11", "-notimestamp",
            "-d", dir.toString()), files.stream()).collect(Collectors.toList());
        StringWriter said = new StringWriter();
        PrintWriter to = new PrintWriter(said);
        int code = ToolProvider.findFirst("javadoc").get().run(to, to, arguments.toArray(new String[0]));
        assertEquals("", said.toString());
        assertEquals(0, code);
        assertTrue(Files.exists(dir.resolve("repliq/Store.html")));
    }

    /** A repository as `mvn install` leaves it: that of the user with our files, without touching it. */
    private Path repository() throws IOException {
        Path users = Path.of(System.getProperty("repliq.repository"));
        Path made = Path.of(System.getProperty("repliq.jar")).resolveSibling("repository");
        if (Files.exists(made)) {
            try (Stream<Path> old = Files.walk(made)) {
                for (Path one : old.sorted(Comparator.reverseOrder()).collect(Collectors.toList())) {
                    Files.delete(one);
                }
            }
        }
        Files.createDirectories(made);
        link(users, made, "io");
        link(users.resolve("io"), Files.createDirectories(made.resolve("io")), "repliq");
        Path ours = Files.createDirectories(made.resolve("io/repliq/repliq/0.1.0"));
        Files.copy(Path.of(System.getProperty("repliq.jar")), ours.resolve("repliq-0.1.0.jar"));
        Files.copy(HERE.resolve("pom.xml"), ours.resolve("repliq-0.1.0.pom"));
        return made;
    }

    private static void link(Path from, Path to, String but) throws IOException {
        if (!Files.exists(from)) {
            return;
        }
        try (Stream<Path> all = Files.list(from)) {
            for (Path one : all.collect(Collectors.toList())) {
                if (!one.getFileName().toString().equals(but)) {
                    Files.createSymbolicLink(to.resolve(one.getFileName()), one.toAbsolutePath());
                }
            }
        }
    }

    private String run(Path folder, String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), text);
        return text;
    }

    @Test
    void a_project_outside_of_the_tree_uses_the_jar_of_its_repository() throws Exception {
        Path project = Files.createDirectories(dir.resolve("shop"));
        Path sources = Files.createDirectories(project.resolve("src/main/java"));
        Files.writeString(sources.resolve("Shop.java"), readme("java"));
        Files.writeString(project.resolve("pom.xml"), "<project><modelVersion>4.0.0</modelVersion>"
            + "<groupId>org.example</groupId><artifactId>shop</artifactId><version>1</version>"
            + "<properties><maven.compiler.release>11</maven.compiler.release>"
            + "<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>"
            + "<dependencies>" + readme("xml") + "</dependencies><build><plugins>"
            + plugin("resources", "3.3.1") + plugin("compiler", "3.14.0") + "</plugins></build></project>");
        Path repository = repository();
        // Everything else is in the user's repository by now.
        run(project, "mvn", "--quiet", "--batch-mode", "--offline", "-Dmaven.repo.local=" + repository, "compile");
        Path jar = repository.resolve("io/repliq/repliq/0.1.0/repliq-0.1.0.jar");
        String java = Path.of(System.getProperty("java.home"), "bin/java").toString();
        String said = run(project, java, "-Xcheck:jni", "-cp", "target/classes:" + jar, "Shop");
        assertEquals("1 one pound of tea\n2 two pounds of sugar\n", said);
        assertTrue(Files.isDirectory(project.resolve("shop")));
    }

    private static String plugin(String name, String version) {
        return "<plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-" + name + "-plugin</artifactId>"
            + "<version>" + version + "</version></plugin>";
    }
}
