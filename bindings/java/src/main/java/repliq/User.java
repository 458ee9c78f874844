package repliq;

import java.util.ArrayList;
import java.util.List;

/** A user of a server, and what it may do. */
public final class User {
    private final String name;
    private final byte[] password;
    private boolean wiped;
    private final List<String[]> rights = new ArrayList<>();

    private User(String name, byte[] password) {
        this.name = Check.given(name, "the name of a user");
        this.password = password;
    }

    /**
     * A user who may replicate into any queue, until {@link #allow} says something else.
     *
     * @param name of the user
     * @param password a copy is taken, and wiped when the server is open; the array stays the caller's
     * @return the user, for one server
     */
    public static User of(String name, char[] password) {
        return new User(name, Secret.of(password));
    }

    /**
     * A user who may replicate into any queue, until {@link #allow} says something else.
     *
     * @param name of the user
     * @param password taken as UTF-8. A text cannot be wiped: prefer an array
     * @return the user, for one server
     */
    public static User of(String name, String password) {
        return new User(name, Secret.of(password));
    }

    /**
     * Allows something, beside what was allowed before.
     *
     * @param verbs replicate, publish, browse, consume and admin, with commas between
     * @param queues names, or patterns with {@code *}, with commas between
     * @return this
     */
    public User allow(String verbs, String queues) {
        rights.add(new String[] {Check.given(verbs, "verbs"), Check.given(queues, "queues")});
        return this;
    }

    void pack(Packer to) {
        if (wiped) {
            throw Check.invalid("the user " + name + " was given to another server, and its password is wiped");
        }
        to.text(name).bytes(password);
        if (rights.isEmpty()) {
            to.i32(1).text("replicate").text("*");
        } else {
            to.i32(rights.size());
            rights.forEach(right -> to.text(right[0]).text(right[1]));
        }
    }

    void wipe() {
        wiped = true;
        Secret.wipe(password);
    }

    @Override
    public String toString() {
        return name;
    }
}
