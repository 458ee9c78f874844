/*
 * The tutorial of prepared transactions: money moves between two banks, each with a store of its own, and none is lost or
 * made, wherever the program is stopped.
 *
 * Usage: two_banks [NAME [TRANSFERS [step]]]
 *
 * A bank is a store with a book of one page: its balance, and the number of the transfer that led to it. A transfer is a
 * transaction in each bank. Both are prepared, then the page of the coordinator's book says what becomes of them, and then
 * they end as it says. The stores are the directories NAME.east, NAME.west and NAME.notes. With `step` the program waits
 * for Enter after each step: kill it at any, and run it again.
 */
#include <repliq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A store with a queue of one message, and the session that has taken it. */
struct book {
    repliq_store *store;
    repliq_queue page;
    repliq_consumer *reader;
    repliq_session *session;
    char text[256]; /* what stands on the page */
};

static int fail(void)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "two_banks: %s: %s\n", repliq_code_name(error.code), error.text);
    return 1;
}

static void step(int by_steps, long number, const char *what)
{
    int read = ' ';
    printf("%ld %s\n", number, what);
    fflush(stdout);
    while (by_steps && read != '\n' && read != EOF)
        read = getchar();
}

static repliq_code open_book(struct book *book, const char *name, const char *of)
{
    char directory[1024];
    repliq_code code;
    snprintf(directory, sizeof directory, "%s.%s", name, of);
    if ((code = repliq_store_open(directory, NULL, &book->store))
        || (code = repliq_store_queue(book->store, "page", &book->page))
        || (code = repliq_consumer_open(book->store, "reader", book->page, NULL, &book->reader)))
        return code;
    return repliq_session_open(book->store, NULL, &book->session);
}

/* Writes what takes the place of what was taken. */
static repliq_code put(struct book *book, const char *text)
{
    repliq_message message = REPLIQ_MESSAGE;
    message.payload = repliq_text(text);
    return repliq_session_put(book->session, book->page, &message, 1);
}

/* Takes what stands on the page; on a new one `first`, which is written. */
static repliq_code take(struct book *book, const char *first)
{
    repliq_message taken;
    repliq_code code;
    size_t n;
    for (;;) {
        if ((code = repliq_session_receive(book->session, book->reader, &taken, 1, 0, &n)))
            return code;
        if (n == 1)
            break;
        if ((code = put(book, first)) || (code = repliq_session_commit(book->session, NULL)))
            return code;
    }
    snprintf(book->text, sizeof book->text, "%.*s", (int)taken.payload.len, (const char *)taken.payload.data);
    return REPLIQ_OK;
}

/* The balance, and the number of the last transfer. */
static repliq_code balance(struct book *book, long *balance, long *number)
{
    char *rest;
    repliq_code code = take(book, "1000 0");
    *balance = strtol(book->text, &rest, 10);
    *number = strtol(rest, NULL, 10);
    return code;
}

static repliq_code change(struct book *book, long balance, long number)
{
    char text[64];
    snprintf(text, sizeof text, "%ld %ld", balance, number);
    return put(book, text);
}

/* Turns the page of the coordinator, durably. */
static repliq_code note(
    struct book *notes, const char *what, const repliq_transaction_id *of_east, const repliq_transaction_id *of_west)
{
    char east[REPLIQ_TRANSACTION_ID_TEXT_SIZE], west[REPLIQ_TRANSACTION_ID_TEXT_SIZE], text[256];
    repliq_code code;
    if ((code = repliq_transaction_id_text(of_east, east, sizeof east))
        || (code = repliq_transaction_id_text(of_west, west, sizeof west)))
        return code;
    snprintf(text, sizeof text, "%s %s %s", what, east, west);
    if ((code = put(notes, text)) || (code = repliq_session_commit(notes->session, NULL)))
        return code;
    return take(notes, "");
}

/* Ends a transaction that may be prepared. */
static repliq_code finish(struct book *book, const char *text, int32_t commit)
{
    repliq_transaction_id id;
    repliq_code code = repliq_transaction_id_parse(text, strlen(text), &id);
    if (code == REPLIQ_OK)
        code = repliq_store_finish(book->store, &id, commit, NULL);
    /* It never was, or the end of it was a day ago. */
    return code == REPLIQ_NO_SUCH_NAME ? REPLIQ_OK : code;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "banks";
    long transfers = argc > 2 ? atol(argv[2]) : 10, has, gets, number, amount;
    int by_steps = argc > 3;
    struct book east, west, notes;
    repliq_transaction_id of_east, of_west;
    char what[16], in_east[REPLIQ_TRANSACTION_ID_TEXT_SIZE], in_west[REPLIQ_TRANSACTION_ID_TEXT_SIZE], xid[32];

    if (open_book(&east, name, "east") || open_book(&west, name, "west") || open_book(&notes, name, "notes"))
        return fail();

    /* ANCHOR: recover */
    /* What the last run left: both transfers end as the note says. */
    if (take(&notes, "nothing"))
        return fail();
    if (sscanf(notes.text, "%15s %64s %64s", what, in_east, in_west) == 3) {
        int32_t commit = strcmp(what, "commit") == 0 ? REPLIQ_YES : REPLIQ_NO;
        if (finish(&east, in_east, commit) || finish(&west, in_west, commit))
            return fail();
    }
    /* ANCHOR_END: recover */

    for (;;) {
        if (balance(&west, &gets, &number) || balance(&east, &has, &number))
            return fail();
        if (number >= transfers) {
            printf("east %ld, west %ld, together %ld\n", has, gets, has + gets);
            break;
        }
        number++;
        step(by_steps, number, "taken");

        /* ANCHOR: transfer */
        amount = number * 7 % 100 * (number % 2 == 0 ? -1 : 1);
        if (change(&east, has - amount, number)
            || change(&west, gets + amount, number)
            || repliq_session_id(east.session, &of_east)
            || repliq_session_id(west.session, &of_west))
            return fail();

        /* From here on somebody knows what may have to be rolled back. */
        if (note(&notes, "rollback", &of_east, &of_west))
            return fail();
        step(by_steps, number, "noted");
        snprintf(xid, sizeof xid, "transfer %ld", number);
        if (repliq_session_prepare(east.session, xid, strlen(xid), &of_east))
            return fail();
        step(by_steps, number, "prepared in the east");
        if (repliq_session_prepare(west.session, xid, strlen(xid), &of_west))
            return fail();
        step(by_steps, number, "prepared in the west");

        /* Both can be committed, whatever happens. This one commit decides. */
        if (note(&notes, "commit", &of_east, &of_west))
            return fail();
        step(by_steps, number, "decided");
        if (repliq_store_finish(east.store, &of_east, REPLIQ_YES, NULL))
            return fail();
        step(by_steps, number, "committed in the east");
        if (repliq_store_finish(west.store, &of_west, REPLIQ_YES, NULL))
            return fail();
        step(by_steps, number, "committed");
        /* ANCHOR_END: transfer */
    }
    /* What was taken last goes back. */
    if (repliq_session_close(east.session) || repliq_session_close(west.session) || repliq_session_close(notes.session))
        return fail();
    return repliq_store_close(east.store) || repliq_store_close(west.store) || repliq_store_close(notes.store) ? fail() : 0;
}
