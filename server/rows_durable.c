/* Tags, before-images and rows of a generation. */
#include "rows_durable.h"

#include "rows_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_FORMAT    1u
#define TAG_KEY_BYTES 5

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records hold numbers as they lie in memory");

struct tag {
    uint32_t format, table;
    uint64_t record_bytes;
    struct durable_facts now, before;
    uint32_t reserved, checksum; /* of all that is before it */
};

static void tag_key(uint32_t table, unsigned char key[TAG_KEY_BYTES])
{
    key[0] = 'r';
    memcpy(key + 1, &table, sizeof(table));
}

static uint32_t tag_checksum(const struct tag *tag)
{
    return row_record_sum(tag->table, tag, offsetof(struct tag, checksum));
}

/* Reads and checks the tag; without one all of it is zero and is_there false. */
static enum status tag_read(const struct durable *durable, struct store_transaction *transaction,
                            struct tag *tag, bool *is_there, struct error *error)
{
    unsigned char key[TAG_KEY_BYTES];
    const void *value;
    size_t bytes;
    enum status status;

    memset(tag, 0, sizeof(*tag));
    *is_there = false;
    tag_key(durable->table, key);
    status = store_get(transaction, key, sizeof(key), &value, &bytes, error);
    if (status != CAIRN_OK)
        return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
    if (bytes != sizeof(*tag))
        return error_set(error, CAIRN_CORRUPT, "the tag of table %u's rows has %zu bytes, not %zu",
                         durable->table, bytes, sizeof(*tag));
    memcpy(tag, value, sizeof(*tag));
    if (tag->format != TAG_FORMAT)
        return error_set(error, CAIRN_CORRUPT,
                         "the tag of table %u's rows is of format %u, this program reads %u", durable->table,
                         tag->format, TAG_FORMAT);
    if (tag->checksum != tag_checksum(tag) || tag->table != durable->table)
        return error_set(error, CAIRN_CORRUPT, "the tag of table %u's rows is damaged", durable->table);
    if (tag->record_bytes != durable->record_bytes)
        return error_set(error, CAIRN_CORRUPT, "the rows of table %u have records of %llu bytes, not %zu",
                         durable->table, (unsigned long long)tag->record_bytes, durable->record_bytes);
    *is_there = true;
    return CAIRN_OK;
}

static enum status tag_write(const struct durable *durable, struct store_transaction *transaction,
                             const struct durable_facts *now, const struct durable_facts *before,
                             struct error *error)
{
    unsigned char key[TAG_KEY_BYTES];
    struct tag tag = {.format = TAG_FORMAT,
                      .table = durable->table,
                      .record_bytes = durable->record_bytes,
                      .now = *now,
                      .before = *before};

    tag.checksum = tag_checksum(&tag);
    tag_key(durable->table, key);
    return store_put(transaction, key, sizeof(key), &tag, sizeof(tag), error);
}

/* --- writing --- */

enum status durable_begin(const struct durable *durable, struct store_transaction *transaction, uint64_t step,
                          uint64_t keep_step, struct durable_writer *writer, struct error *error)
{
    struct tag tag;
    bool is_there;
    enum status status;

    *writer = (struct durable_writer){.durable = durable, .transaction = transaction};
    status = tag_read(durable, transaction, &tag, &is_there, error);
    if (status != CAIRN_OK)
        return status;
    writer->continues = is_there && tag.now.step != keep_step;
    if (writer->continues && tag.before.step != keep_step && durable->is_loose)
        writer->continues = false;
    if (writer->continues && tag.before.step != keep_step)
        return error_set(
            error, CAIRN_STALE,
            "the rows of table %u are at step %llu, a generation over step %llu cannot be written",
            durable->table, (unsigned long long)tag.now.step, (unsigned long long)keep_step);
    writer->facts = tag.now;
    writer->facts.step = step;
    writer->previous = writer->continues ? tag.before : tag.now;
    writer->previous.step = keep_step;
    writer->record = malloc(durable->record_bytes);
    if (!writer->record)
        return error_set(error, CAIRN_NO_MEMORY, "no memory to write a generation of rows");
    if (!writer->continues)
        status = store_table_clear(transaction, &durable->before, error);
    if (status == CAIRN_OK)
        status = store_cursor_open(transaction, &durable->before, &writer->before, error);
    if (status == CAIRN_OK)
        status = store_cursor_open(transaction, &durable->rows, &writer->rows, error);
    return status;
}

/* Whether the generation that is continued has kept what the row was. */
static enum status before_find(struct durable_writer *writer, uint64_t hash, bool *is_kept,
                               struct error *error)
{
    const void *image;
    size_t bytes;
    enum status status = CAIRN_NOT_FOUND;

    if (writer->continues)
        status = store_cursor_get(writer->before, hash, &image, &bytes, error);
    *is_kept = status == CAIRN_OK;
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

/* Keeps what the row was, if it was; the value in the map is copied before anything is written. */
static enum status before_put(struct durable_writer *writer, uint64_t hash, bool *was_there,
                              struct error *error)
{
    size_t record_bytes = writer->durable->record_bytes, bytes;
    const void *value;
    void *place;
    bool is_kept;
    enum status status = store_cursor_get(writer->rows, hash, &value, &bytes, error);

    *was_there = status == CAIRN_OK;
    if (status != CAIRN_OK && status != CAIRN_NOT_FOUND)
        return status;
    if (*was_there && bytes != record_bytes)
        return error_set(error, CAIRN_CORRUPT, "a record of table %u's rows has %zu bytes, not %zu",
                         writer->durable->table, bytes, record_bytes);
    if (*was_there)
        memcpy(writer->record, value, record_bytes);
    status = before_find(writer, hash, &is_kept, error);
    if (status != CAIRN_OK || is_kept)
        return status;
    status = store_cursor_reserve(writer->before, hash, *was_there ? record_bytes : 0, !writer->continues,
                                  &place, error);
    if (status == CAIRN_OK && *was_there)
        memcpy(place, writer->record, record_bytes);
    return status;
}

enum status durable_put(struct durable_writer *writer, uint64_t hash, const void *record, struct error *error)
{
    bool was_there;
    void *place;
    enum status status = before_put(writer, hash, &was_there, error);

    if (status != CAIRN_OK)
        return status;
    if (was_there) {
        writer->facts.rows--;
        writer->facts.sum -= row_record_checksum(writer->record);
    }
    if (!record)
        return was_there ? store_cursor_remove(writer->rows, hash, error) : CAIRN_OK;
    status = store_cursor_reserve(writer->rows, hash, writer->durable->record_bytes, false, &place, error);
    if (status != CAIRN_OK)
        return status;
    memcpy(place, record, writer->durable->record_bytes);
    writer->facts.rows++;
    writer->facts.sum += row_record_checksum(record);
    return CAIRN_OK;
}

enum status durable_end(struct durable_writer *writer, enum status status, struct error *error)
{
    store_cursor_close(writer->rows);
    store_cursor_close(writer->before);
    free(writer->record);
    if (status == CAIRN_OK)
        status = tag_write(writer->durable, writer->transaction, &writer->facts, &writer->previous, error);
    return status;
}

/* --- opening --- */

/* Puts one before-image back. */
static enum status image_restore(const struct durable *durable, struct store_cursor *rows, uint64_t hash,
                                 const void *image, size_t bytes, void *record, struct error *error)
{
    void *place;
    enum status status;

    if (bytes == 0)
        return store_cursor_remove(rows, hash, error);
    status = row_record_check(hash, image, bytes, durable->record_bytes, error);
    if (status != CAIRN_OK)
        return status;
    memcpy(record, image, bytes);
    status = store_cursor_reserve(rows, hash, bytes, false, &place, error);
    if (status == CAIRN_OK)
        memcpy(place, record, bytes);
    return status;
}

static enum status images_restore(const struct durable *durable, struct store_transaction *transaction,
                                  struct error *error)
{
    struct store_cursor *rows = NULL, *before = NULL;
    void *record = malloc(durable->record_bytes);
    uint64_t hash;
    const void *image;
    size_t bytes;
    enum status status = CAIRN_OK;

    if (!record)
        status = error_set(error, CAIRN_NO_MEMORY, "no memory to restore rows");
    if (status == CAIRN_OK)
        status = store_cursor_open(transaction, &durable->rows, &rows, error);
    if (status == CAIRN_OK)
        status = store_cursor_open(transaction, &durable->before, &before, error);
    if (status == CAIRN_OK)
        status = store_cursor_seek(before, 0, &hash, &image, &bytes, error);
    while (status == CAIRN_OK) {
        status = image_restore(durable, rows, hash, image, bytes, record, error);
        if (status == CAIRN_OK)
            status = store_cursor_next(before, &hash, &image, &bytes, error);
    }
    store_cursor_close(rows);
    store_cursor_close(before);
    free(record);
    if (status == CAIRN_NOT_FOUND)
        status = store_table_clear(transaction, &durable->before, error);
    return status;
}

/* The number of rows is what the tag says. */
static enum status count_check(const struct durable *durable, struct store_transaction *transaction,
                               const struct durable_facts *facts, struct error *error)
{
    uint64_t count = 0;
    enum status status = store_table_count(transaction, &durable->rows, &count, error);

    if (status == CAIRN_OK && count != facts->rows)
        return error_set(error, CAIRN_CORRUPT,
                         "the store has %llu rows of table %u, not %llu as its tag says",
                         (unsigned long long)count, durable->table, (unsigned long long)facts->rows);
    return status;
}

/* Goes back to the generation before. */
static enum status go_back(const struct durable *durable, struct store_transaction *transaction,
                           const struct tag *tag, struct error *error)
{
    enum status status = images_restore(durable, transaction, error);

    if (status == CAIRN_OK)
        status = tag_write(durable, transaction, &tag->before, &tag->before, error);
    return status == CAIRN_OK ? count_check(durable, transaction, &tag->before, error) : status;
}

static enum status step_check(const struct durable *durable, const struct tag *tag, bool is_there,
                              uint64_t step, struct error *error)
{
    if (!is_there && step != 0)
        return error_set(error, CAIRN_CORRUPT, "the store has no rows of table %u, the job needs step %llu",
                         durable->table, (unsigned long long)step);
    if (is_there && tag->now.step != step && tag->before.step != step)
        return error_set(error, CAIRN_CORRUPT,
                         "the store has the rows of table %u at steps %llu and %llu, the job needs step %llu",
                         durable->table, (unsigned long long)tag->now.step,
                         (unsigned long long)tag->before.step, (unsigned long long)step);
    return CAIRN_OK;
}

/* Removes the rows of an earlier job, whose tag is gone; else there are none. */
static enum status begin_anew(const struct durable *durable, struct store_transaction *transaction,
                              struct error *error)
{
    enum status status = store_table_clear(transaction, &durable->rows, error);

    return status == CAIRN_OK ? store_table_clear(transaction, &durable->before, error) : status;
}

static enum status recover(const struct durable *durable, uint64_t step, bool is_new, bool is_any,
                           struct durable_facts *facts, struct error *error)
{
    struct store_transaction *transaction;
    struct tag tag;
    bool is_there = false;
    enum status status = store_begin_write(durable->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = tag_read(durable, transaction, &tag, &is_there, error);
    if (is_there && is_any)
        step = tag.now.step;
    if (status == CAIRN_OK && (is_there || !(is_new || is_any)))
        status = step_check(durable, &tag, is_there, step, error);
    if (status == CAIRN_OK && is_there)
        status = count_check(durable, transaction, &tag.now, error);
    *facts = tag.now;
    if (status != CAIRN_OK || (is_there && tag.now.step == step)) {
        store_abort(transaction);
        return status;
    }
    *facts = tag.before;
    status = is_there ? go_back(durable, transaction, &tag, error) : begin_anew(durable, transaction, error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    return store_commit(transaction, error);
}

enum status durable_open(struct durable *durable, uint64_t step, bool is_new, bool is_any,
                         struct durable_facts *facts, struct error *error)
{
    char name[32];
    enum status status;

    snprintf(name, sizeof(name), "rows.%u", durable->table);
    status = store_table_open(durable->store, name, &durable->rows, error);
    snprintf(name, sizeof(name), "rows.%u.before", durable->table);
    if (status == CAIRN_OK)
        status = store_table_open(durable->store, name, &durable->before, error);
    return status == CAIRN_OK ? recover(durable, step, is_new, is_any, facts, error) : status;
}
