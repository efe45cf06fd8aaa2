/* Layout: a row of uint64: format, step, table and chunk, version, count, then worker, first, next of each
 * clock, and a checksum over all before it. */
#include "clock_record.h"

#include "base/checksum.h"
#include "record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_RECORD_FORMAT 1
#define KEY_BYTES           7
#define CLOCK_WORDS         (sizeof(struct clock) / sizeof(uint64_t))

enum { WORD_FORMAT, WORD_STEP, WORD_CHUNK, WORD_VERSION, WORD_COUNT, HEAD_WORDS };

static void make_key(uint32_t table, uint32_t chunk, uint32_t place, unsigned char key[KEY_BYTES])
{
    const unsigned char bytes[KEY_BYTES] = {'k',
                                            (unsigned char)table,
                                            (unsigned char)(chunk >> 24),
                                            (unsigned char)(chunk >> 16),
                                            (unsigned char)(chunk >> 8),
                                            (unsigned char)chunk,
                                            (unsigned char)place};

    memcpy(key, bytes, sizeof(bytes));
}

static uint64_t chunk_word(uint32_t table, uint32_t chunk)
{
    return (uint64_t)table << 32 | chunk;
}

size_t clock_record_bytes(uint64_t count)
{
    return (HEAD_WORDS + count * CLOCK_WORDS + 1) * sizeof(uint64_t);
}

void clock_record_pack(const struct clock_record *record, void *bytes)
{
    const uint64_t head[HEAD_WORDS] = {[WORD_FORMAT] = CLOCK_RECORD_FORMAT,
                                       [WORD_STEP] = record->step,
                                       [WORD_CHUNK] = chunk_word(record->table, record->chunk),
                                       [WORD_VERSION] = record->version,
                                       [WORD_COUNT] = record->count};
    size_t sum_at = clock_record_bytes(record->count) - sizeof(uint64_t);
    unsigned char *to = bytes;
    uint64_t sum;

    memcpy(to, head, sizeof(head));
    if (record->count > 0)
        memcpy(to + sizeof(head), record->clocks, record->count * sizeof(record->clocks[0]));
    sum = checksum_add(0, to, sum_at);
    memcpy(to + sum_at, &sum, sizeof(sum));
}

enum status clock_record_write(struct store_transaction *transaction, uint32_t place,
                               const struct clock_record *record, struct error *error)
{
    unsigned char key[KEY_BYTES];
    void *value = NULL;
    enum status status;

    make_key(record->table, record->chunk, place, key);
    status = store_reserve(transaction, key, sizeof(key), clock_record_bytes(record->count), &value, error);
    if (status == CAIRN_OK)
        clock_record_pack(record, value);
    return status;
}

/* ---- reading */

static enum status corrupt(uint32_t chunk, const char *what, struct error *error)
{
    return error_set(error, CAIRN_CORRUPT, "the clocks of chunk %" PRIu32 " %s", chunk, what);
}

/* What is wrong with a record of the wanted step; NULL: nothing. */
static const char *record_problem(const uint64_t *head, const unsigned char *bytes, size_t length,
                                  uint64_t chunk)
{
    uint64_t sum;

    if (head[WORD_FORMAT] != CLOCK_RECORD_FORMAT)
        return "are of a format that this program does not read";
    if (head[WORD_CHUNK] != chunk)
        return "are those of another one";
    if (head[WORD_COUNT] > length / sizeof(struct clock) || clock_record_bytes(head[WORD_COUNT]) != length)
        return "are not as long as they say";
    memcpy(&sum, bytes + length - sizeof(sum), sizeof(sum));
    if (sum != checksum_add(0, bytes, length - sizeof(sum)))
        return "have a wrong checksum";
    return NULL;
}

/* Takes the clocks out of a record that is in order. */
static enum status take(const uint64_t *head, const unsigned char *bytes, uint32_t chunk, uint64_t *version,
                        struct clocks *clocks, struct error *error)
{
    uint32_t count = (uint32_t)head[WORD_COUNT];
    struct clock *items = malloc((count ? count : 1) * sizeof(*items)); /* the map is not aligned */
    enum status status;

    if (!items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the clocks of chunk %" PRIu32, chunk);
    memcpy(items, bytes + HEAD_WORDS * sizeof(uint64_t), count * sizeof(*items));
    status = clocks_load(clocks, items, count, error);
    free(items);
    if (status == CAIRN_OK && clocks_total(clocks) != head[WORD_VERSION])
        return corrupt(chunk, "do not add up to its version", error);
    *version = head[WORD_VERSION];
    return status == CAIRN_OK ? status : error_prefix(error, status, "chunk %" PRIu32, chunk);
}

enum status clock_record_unpack(const void *bytes, size_t length, const struct clock_record *wanted,
                                uint64_t *version, struct clocks *clocks, struct error *error)
{
    uint64_t head[HEAD_WORDS];
    const char *problem;

    if (length < clock_record_bytes(0))
        return corrupt(wanted->chunk, "are short", error);
    memcpy(head, bytes, sizeof(head));
    problem = record_problem(head, bytes, length, chunk_word(wanted->table, wanted->chunk));
    if (!problem && head[WORD_STEP] != wanted->step)
        problem = "are of another step";
    return problem ? corrupt(wanted->chunk, problem, error)
                   : take(head, bytes, wanted->chunk, version, clocks, error);
}

enum status clock_record_load(struct store_transaction *transaction, uint32_t table, uint32_t chunk,
                              uint64_t step, uint64_t *version, struct clocks *clocks, struct error *error)
{
    const struct clock_record wanted = {.step = step, .table = table, .chunk = chunk};

    for (uint32_t place = 0; place < RECORD_PLACES; place++) {
        unsigned char key[KEY_BYTES];
        uint64_t head[HEAD_WORDS];
        const void *bytes;
        size_t length;

        make_key(table, chunk, place, key);
        if (store_get(transaction, key, sizeof(key), &bytes, &length, NULL) != CAIRN_OK)
            continue;
        if (length < clock_record_bytes(0))
            return corrupt(chunk, "are short", error);
        memcpy(head, bytes, sizeof(head));
        if (head[WORD_STEP] == step)
            return clock_record_unpack(bytes, length, &wanted, version, clocks, error);
    }
    return error_set(error, CAIRN_NOT_FOUND, "there are no clocks of chunk %" PRIu32 " at step %" PRIu64,
                     chunk, step);
}
