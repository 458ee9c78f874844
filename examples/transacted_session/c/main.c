/*
 * The session tutorial: money moves between two ledgers, and none is lost or made, wherever the program is stopped.
 *
 * Usage: transacted_session [DIRECTORY [TRANSFERS [step]]]
 *
 * A ledger is a queue that holds one message: its balance, and the number of the transfer that led to it. A transfer
 * takes both balances and puts both new ones and a line for the records, in one transaction. With `step` the program
 * waits for Enter after each step: kill it at any, and run it again.
 */
#include <repliq.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(void)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "transacted_session: %s: %s\n", repliq_code_name(error.code), error.text);
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

static repliq_code put(repliq_session *session, repliq_queue queue, long first, long second)
{
    char text[64];
    repliq_message message = REPLIQ_MESSAGE;
    snprintf(text, sizeof text, "%ld %ld", first, second);
    message.payload = repliq_text(text);
    return repliq_session_put(session, queue, &message, 1);
}

/* The balance that is next in a ledger, and its number; *n is 0 before the accounts were opened. */
static repliq_code take(repliq_session *session, repliq_consumer *ledger, long *balance, long *number, size_t *n)
{
    char text[64], *rest;
    repliq_message taken;
    repliq_code code = repliq_session_receive(session, ledger, &taken, 1, 0, n);
    if (code == REPLIQ_OK && *n == 1) {
        snprintf(text, sizeof text, "%.*s", (int)taken.payload.len, (const char *)taken.payload.data);
        *balance = strtol(text, &rest, 10);
        *number = strtol(rest, NULL, 10);
    }
    return code;
}

int main(int argc, char **argv)
{
    long transfers = argc > 2 ? atol(argv[2]) : 10, has, gets, number, amount;
    int by_steps = argc > 3;
    size_t taken, other;
    repliq_store *store;
    repliq_session *session;
    repliq_queue alice, bob, records;
    repliq_consumer *of_alice, *of_bob;

    if (repliq_store_open(argc > 1 ? argv[1] : "bank", NULL, &store)
        || repliq_store_queue(store, "ledger/alice", &alice)
        || repliq_store_queue(store, "ledger/bob", &bob)
        || repliq_store_queue(store, "transfers", &records)
        || repliq_consumer_open(store, "teller", alice, NULL, &of_alice)
        || repliq_consumer_open(store, "teller", bob, NULL, &of_bob)
        || repliq_session_open(store, NULL, &session))
        return fail();

    /* ANCHOR: transfer */
    for (;;) {
        if (take(session, of_alice, &has, &number, &taken) || take(session, of_bob, &gets, &number, &other))
            return fail();
        if (!taken || !other) {
            /* The first run: both accounts are opened, or none. */
            if (put(session, alice, 1000, 0) || put(session, bob, 1000, 0) || repliq_session_commit(session, NULL))
                return fail();
            continue;
        }
        if (number >= transfers) {
            printf("alice %ld, bob %ld, together %ld\n", has, gets, has + gets);
            break;
        }
        number++;
        step(by_steps, number, "taken");

        amount = number * 7 % 100 * (number % 2 == 0 ? -1 : 1);
        if (put(session, alice, has - amount, number)
            || put(session, bob, gets + amount, number)
            || put(session, records, number, amount))
            return fail();
        step(by_steps, number, "put");

        /* Both old balances are gone and all three messages are there, or nothing has happened. */
        if (repliq_session_commit(session, NULL))
            return fail();
        step(by_steps, number, "committed");
    }
    /* The balances that were taken last go back. */
    if (repliq_session_close(session))
        return fail();
    /* ANCHOR_END: transfer */
    return repliq_store_close(store) ? fail() : 0;
}
