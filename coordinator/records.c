/* Records and logs in the store. Knows nothing of what records mean. */
#include "records.h"

#include "jobs.h"
#include "store/store.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Address space, not disk: thousands of jobs with full logs. */
#define MAP_BYTES ((size_t)4 << 30)

#define JOB_PREFIX "job/"
#define KEY_BYTES  64
#define DRAINING   "draining"
#define DELETED    "deleted"

struct records {
    struct store *store;
    char *directory;
};

enum status records_open(const char *directory, struct records **out, struct error *error)
{
    struct records *records = calloc(1, sizeof(*records));
    enum status status;

    if (!records)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    records->directory = strdup(directory);
    status = records->directory ? store_open(directory, MAP_BYTES, &records->store, error)
                                : error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (status != CAIRN_OK) {
        records_close(records);
        return status;
    }
    *out = records;
    return CAIRN_OK;
}

void records_close(struct records *records)
{
    if (!records)
        return;
    store_close(records->store);
    free(records->directory);
    free(records);
}

struct key {
    char text[KEY_BYTES];
    size_t length;
};

static struct key key_job(uint64_t job)
{
    struct key key;

    key.length = (size_t)snprintf(key.text, sizeof(key.text), JOB_PREFIX "%020" PRIu64, job);
    return key;
}

static struct key key_newest(uint64_t job)
{
    struct key key;

    key.length = (size_t)snprintf(key.text, sizeof(key.text), "newest/%020" PRIu64, job);
    return key;
}

static struct key key_entry(uint64_t job, uint64_t number)
{
    struct key key;

    key.length = (size_t)snprintf(key.text, sizeof(key.text), "log/%020" PRIu64 "/%020" PRIu64, job, number);
    return key;
}

/* The number of a job's newest log entry; 0: none. */
static enum status read_newest(struct store_transaction *transaction, uint64_t job, uint64_t *newest,
                               struct error *error)
{
    struct key key = key_newest(job);
    const void *value;
    size_t bytes;
    enum status status = store_get(transaction, key.text, key.length, &value, &bytes, error);

    *newest = 0;
    if (status == CAIRN_NOT_FOUND)
        return CAIRN_OK;
    if (status != CAIRN_OK)
        return status;
    if (bytes != sizeof(*newest))
        return error_set(error, CAIRN_CORRUPT, "the log of job %" PRIu64 " has no proper end", job);
    memcpy(newest, value, sizeof(*newest));
    *newest = le64toh(*newest);
    return CAIRN_OK;
}

/* ---- loading */

struct loading {
    struct records *records;
    struct store_transaction *transaction;
    records_visit *visit;
    void *context;
};

static enum status load_one(void *context, const void *key, size_t key_bytes, const void *value,
                            size_t value_bytes, struct error *error)
{
    const struct loading *loading = context;
    const char *directory = loading->records->directory;
    Cairn__JobRecord *record = cairn__job_record__unpack(NULL, value_bytes, value);
    uint64_t newest;
    enum status status;

    if (!record || !record->status) {
        status = error_set(error, CAIRN_CORRUPT, "%s: the record %.*s is damaged", directory,
                           (int)(key_bytes < KEY_BYTES ? key_bytes : KEY_BYTES), (const char *)key);
        goto out;
    }
    if (record->format == 0 || record->format > RECORD_FORMAT) {
        status = error_set(error, CAIRN_UNSUPPORTED,
                           "%s: the record of job %s has format %u; this coordinator knows %u", directory,
                           record->status->id, record->format, RECORD_FORMAT);
        goto out;
    }
    status = read_newest(loading->transaction, record->status->number, &newest, error);
    if (status == CAIRN_OK)
        status = loading->visit(loading->context, record, newest, error);
out:
    if (record)
        cairn__job_record__free_unpacked(record, NULL);
    return status;
}

enum status records_load(struct records *records, records_visit *visit, void *context, struct error *error)
{
    struct loading loading = {records, NULL, visit, context};
    enum status status = store_begin_read(records->store, &loading.transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = store_scan(loading.transaction, JOB_PREFIX, strlen(JOB_PREFIX), load_one, &loading, error);
    store_abort(loading.transaction);
    return status;
}

/* A record of which there is one, unpacked; *out is NULL when there is none. */
static enum status read_single(struct records *records, const char *key,
                               const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **out,
                               struct error *error)
{
    struct store_transaction *transaction = NULL;
    const void *value;
    size_t bytes;
    enum status status = store_begin_read(records->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    *out = NULL;
    status = store_get(transaction, key, strlen(key), &value, &bytes, error);
    if (status == CAIRN_OK) {
        *out = protobuf_c_message_unpack(descriptor, NULL, bytes, value);
        if (!*out)
            status = error_set(error, CAIRN_CORRUPT, "%s: the record %s is damaged", records->directory, key);
    }
    store_abort(transaction);
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

enum status records_load_draining(struct records *records, Cairn__DrainingNodes **out, struct error *error)
{
    ProtobufCMessage *record = NULL;
    enum status status = read_single(records, DRAINING, &cairn__draining_nodes__descriptor, &record, error);

    *out = (Cairn__DrainingNodes *)record;
    return status;
}

enum status records_load_deleted(struct records *records, Cairn__DeletedJobs **out, struct error *error)
{
    ProtobufCMessage *record = NULL;
    enum status status = read_single(records, DELETED, &cairn__deleted_jobs__descriptor, &record, error);

    *out = (Cairn__DeletedJobs *)record;
    return status;
}

/* ---- storing */

/* Removes what may not be there. */
static enum status remove_key(struct store_transaction *transaction, struct key key, struct error *error)
{
    enum status status = store_delete(transaction, key.text, key.length, error);

    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

static enum status store_entry(struct store_transaction *transaction, const struct effect *effect,
                               struct error *error)
{
    struct key key = key_entry(effect->job, effect->number), newest = key_newest(effect->job);
    uint64_t number = htole64(effect->number);
    enum status status = store_put(transaction, key.text, key.length, effect->bytes, effect->length, error);

    if (status == CAIRN_OK)
        status = store_put(transaction, newest.text, newest.length, &number, sizeof(number), error);
    if (status != CAIRN_OK || effect->number <= JOB_ENTRIES_MAX)
        return status;
    return remove_key(transaction, key_entry(effect->job, effect->number - JOB_ENTRIES_MAX), error);
}

static enum status erase_job(struct store_transaction *transaction, uint64_t job, struct error *error)
{
    uint64_t newest = 0, oldest;
    enum status status = read_newest(transaction, job, &newest, error);

    oldest = newest > JOB_ENTRIES_MAX ? newest - JOB_ENTRIES_MAX + 1 : 1;
    for (uint64_t number = oldest; status == CAIRN_OK && number <= newest; number++)
        status = remove_key(transaction, key_entry(job, number), error);
    if (status == CAIRN_OK)
        status = remove_key(transaction, key_newest(job), error);
    return status == CAIRN_OK ? remove_key(transaction, key_job(job), error) : status;
}

static enum status store_effect(struct store_transaction *transaction, const struct effect *effect,
                                struct error *error)
{
    struct key key;

    switch (effect->type) {
    case EFFECT_RECORD:
        key = key_job(effect->job);
        return store_put(transaction, key.text, key.length, effect->bytes, effect->length, error);
    case EFFECT_DRAINING:
        return store_put(transaction, DRAINING, strlen(DRAINING), effect->bytes, effect->length, error);
    case EFFECT_DELETED:
        return store_put(transaction, DELETED, strlen(DELETED), effect->bytes, effect->length, error);
    case EFFECT_ERASE:
        return erase_job(transaction, effect->job, error);
    case EFFECT_ENTRY:
        return store_entry(transaction, effect, error);
    default:
        return CAIRN_OK; /* nothing to store */
    }
}

static bool has_anything_to_store(const struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        enum effect_type type = effects->items[i].type;

        if (type == EFFECT_RECORD || type == EFFECT_DRAINING || type == EFFECT_DELETED ||
            type == EFFECT_ERASE || type == EFFECT_ENTRY)
            return true;
    }
    return false;
}

enum status records_store(struct records *records, const struct effects *effects, struct error *error)
{
    struct store_transaction *transaction = NULL;
    enum status status;

    if (!has_anything_to_store(effects))
        return CAIRN_OK;
    status = store_begin_write(records->store, &transaction, error);
    for (size_t i = 0; status == CAIRN_OK && i < effects->count; i++)
        status = store_effect(transaction, &effects->items[i], error);
    if (status == CAIRN_OK)
        return store_commit(transaction, error);
    store_abort(transaction);
    return status;
}

/* ---- reading logs */

/* An empty reply with room for count entries; NULL: out of memory. */
static Cairn__LogsReply *reply_new(size_t count)
{
    Cairn__LogsReply *reply = malloc(sizeof(*reply));

    if (!reply)
        return NULL;
    cairn__logs_reply__init(reply);
    reply->entries = calloc(count + 1, sizeof(*reply->entries));
    if (!reply->entries) {
        free(reply);
        return NULL;
    }
    return reply;
}

static enum status read_entry(struct store_transaction *transaction, uint64_t job, uint64_t number,
                              Cairn__LogsReply *reply, struct error *error)
{
    struct key key = key_entry(job, number);
    Cairn__LogEntry *entry;
    const void *value;
    size_t bytes;
    enum status status = store_get(transaction, key.text, key.length, &value, &bytes, error);

    if (status == CAIRN_NOT_FOUND)
        return CAIRN_OK;
    if (status != CAIRN_OK)
        return status;
    entry = cairn__log_entry__unpack(NULL, bytes, value);
    if (!entry)
        return error_set(error, CAIRN_CORRUPT, "entry %" PRIu64 " of the log of job %" PRIu64 " is damaged",
                         number, job);
    reply->entries[reply->n_entries++] = entry;
    return CAIRN_OK;
}

static enum status read_entries(struct store_transaction *transaction, uint64_t job, uint64_t after,
                                Cairn__LogsReply **out, struct error *error)
{
    Cairn__LogsReply *reply;
    uint64_t newest;
    enum status status = read_newest(transaction, job, &newest, error);

    if (status != CAIRN_OK)
        return status;
    if (newest > JOB_ENTRIES_MAX && after < newest - JOB_ENTRIES_MAX)
        after = newest - JOB_ENTRIES_MAX;
    reply = reply_new(newest > after ? (size_t)(newest - after) : 0);
    if (!reply)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint64_t number = after + 1; status == CAIRN_OK && after < newest && number <= newest; number++)
        status = read_entry(transaction, job, number, reply, error);
    if (status == CAIRN_OK)
        *out = reply;
    else
        cairn__logs_reply__free_unpacked(reply, NULL);
    return status;
}

enum status records_read_log(struct records *records, uint64_t job, uint64_t after, Cairn__LogsReply **out,
                             struct error *error)
{
    struct store_transaction *transaction = NULL;
    enum status status = store_begin_read(records->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = read_entries(transaction, job, after, out, error);
    store_abort(transaction);
    return status;
}
