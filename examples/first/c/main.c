/*
 * The first program: two orders, a clerk who writes invoices, and the proof that she is through.
 *
 * Usage: first [DIRECTORY]
 */

/* ANCHOR: program */
#include <repliq.h>

#include <stdio.h>

static int fail(void)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    fprintf(stderr, "first: %s: %s\n", repliq_code_name(error.code), error.text);
    return 1;
}

int main(int argc, char **argv)
{
    repliq_store *store;
    repliq_session *session;
    repliq_consumer *clerk;
    repliq_queue orders, invoices;
    repliq_result ordered;
    repliq_message new_orders[2] = {REPLIQ_MESSAGE, REPLIQ_MESSAGE}, taken[64];
    size_t n, i;

    if (repliq_store_open(argc > 1 ? argv[1] : "shop", NULL, &store)
        || repliq_store_queue(store, "orders", &orders)
        || repliq_store_queue(store, "invoices", &invoices)
        || repliq_session_open(store, NULL, &session)
        || repliq_consumer_open(store, "clerk", orders, NULL, &clerk))
        return fail();

    /* Both orders or neither. When commit returns, they survive a power cut. */
    new_orders[0].payload = repliq_text("one pound of tea");
    new_orders[1].payload = repliq_text("two pounds of sugar");
    if (repliq_session_put(session, orders, new_orders, 2) || repliq_session_commit(session, &ordered))
        return fail();

    /* The clerk takes the orders and writes invoices in one transaction: each order is invoiced once. */
    if (repliq_session_receive(session, clerk, taken, 64, 1000, &n))
        return fail();
    for (i = 0; i < n; i++) {
        const char *order = taken[i].payload.data;
        int len = (int)taken[i].payload.len;
        char text[256];
        repliq_message invoice = REPLIQ_MESSAGE;
        printf("%llu %.*s\n", (unsigned long long)taken[i].sequence, len, order);
        snprintf(text, sizeof text, "invoice: %.*s", len, order);
        invoice.payload = repliq_text(text);
        if (repliq_session_put(session, invoices, &invoice, 1))
            return fail();
    }
    if (repliq_session_commit(session, NULL))
        return fail();

    /* A token says where a transaction is: this one has been handled by the clerk. */
    if (repliq_store_wait(store, "consumer:clerk", &ordered.token, 1, 10000))
        return fail();
    printf("the clerk has taken everything\n");
    return repliq_store_close(store) ? fail() : 0;
}
/* ANCHOR_END: program */
