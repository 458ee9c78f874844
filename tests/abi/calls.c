/*
 * Puts jobs of three messages, takes some of them, and says on its output what it was told. It goes on after an error,
 * as a program that hopes for better times does, and ends well.
 */
#include <repliq.h>

#include <stdio.h>
#include <string.h>

static int error_code(void)
{
    repliq_error error = REPLIQ_ERROR;
    repliq_error_last(&error);
    return error.code;
}

int main(int argc, char **argv)
{
    repliq_store_options options = REPLIQ_STORE_OPTIONS;
    repliq_store *store;
    repliq_consumer *consumer;
    repliq_queue queue;
    static char payloads[3][3000];
    int job, at;

    setvbuf(stdout, NULL, _IONBF, 0);
    options.helper = REPLIQ_NO;
    options.segment_bytes = 65536;
    options.segment_bytes_max = 65536;
    if (argc < 2 || repliq_store_open(argv[1], &options, &store)) {
        printf("closed %s\n", repliq_code_name(error_code()));
        return 0;
    }
    if (repliq_store_queue(store, "q", &queue) || repliq_consumer_open(store, "c", queue, NULL, &consumer)) {
        printf("closed %s\n", repliq_code_name(error_code()));
        repliq_store_close(store);
        return 0;
    }
    for (job = 1; job <= 24; job++) {
        repliq_message messages[3] = {REPLIQ_MESSAGE, REPLIQ_MESSAGE, REPLIQ_MESSAGE}, taken[4];
        size_t n;
        for (at = 0; at < 3; at++) {
            memset(payloads[at], 'x', sizeof payloads[at] - 1);
            payloads[at][sprintf(payloads[at], "%d:%d:", job, at)] = 'x';
            messages[at].payload = repliq_text(payloads[at]);
        }
        printf("begin %d\n", job);
        if (repliq_store_put(store, queue, messages, 3, NULL, NULL))
            printf("failed %d %s\n", job, repliq_code_name(error_code()));
        else
            printf("ok %d\n", job);
        if (job % 3 == 0 && !repliq_consumer_receive(consumer, taken, 4, 0, &n) && n > 0) {
            uint64_t sequences[4];
            size_t i;
            for (i = 0; i < n; i++)
                sequences[i] = taken[i].sequence;
            printf("acks %d\n", (int)sequences[n - 1]);
            if (!repliq_consumer_ack(consumer, sequences, n, NULL))
                printf("acked %d\n", (int)sequences[n - 1]);
        }
    }
    repliq_store_close(store);
    return 0;
}
