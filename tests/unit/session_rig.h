/* A session with sockets in the place of shards. Test code only. */
#ifndef CAIRN_TESTS_SESSION_RIG_H
#define CAIRN_TESTS_SESSION_RIG_H

#include "sockets.h"

#include "net/wire.h"
#include "session.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define SHARDS       3
#define SLOTS        PLACEMENT_SLOTS_MIN
#define CHUNK_FLOATS 16
#define METRICS      4
#define JOB          7
#define WORKER       5
#define INCARNATION  3

/* A message as a shard gets it. */
struct arrival {
    struct frames frames; /* identity, header, payloads */
    struct data_header header;
};

struct seen {
    unsigned calls;
    uint32_t table;
    uint32_t chunk;
    uint64_t version;
    size_t elements;
    double first, last;
    bool is_aligned;
    uint32_t applied_table;
    uint64_t applied_version;
};

struct rig {
    void *context;
    void *shards[SHARDS];
    char endpoints[SHARDS][ENDPOINT_BYTES];
    const char *endpoint_list[SHARDS];
    uint32_t slot_shards[SLOTS];
    struct session_table tables[TABLE_COUNT];
    struct session_params params;
    struct session *session;
    struct seen seen;
    struct arrival arrival;
};

static inline void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version,
                             const void *values, size_t elements)
{
    struct seen *seen = context;
    size_t element_bytes = table == TABLE_WEIGHTS ? sizeof(float) : sizeof(double);

    seen->calls++;
    seen->table = table;
    seen->chunk = chunk;
    seen->version = version;
    seen->elements = elements;
    seen->is_aligned = (uintptr_t)values % element_bytes == 0;
    seen->first = table == TABLE_WEIGHTS ? (double)*(const float *)values : *(const double *)values;
    seen->last = table == TABLE_WEIGHTS ? (double)((const float *)values)[elements - 1]
                                        : ((const double *)values)[elements - 1];
}

static inline void on_applied(void *context, uint32_t table, uint32_t chunk, uint64_t version)
{
    struct seen *seen = context;

    ck_assert_uint_eq(chunk, 0);
    seen->applied_table = table;
    seen->applied_version = version;
}

static inline enum status rig_connect(struct rig *rig, struct error *error)
{
    const struct session_events events = {.values = on_values, .applied = on_applied, .context = &rig->seen};

    return session_new(rig->context, &rig->params, &events, &rig->session, error);
}

static inline void rig_open(struct rig *rig, uint64_t floats)
{
    struct error error = {.message = ""};

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    for (int i = 0; i < SHARDS; i++) {
        rig->shards[i] = bound_socket(rig->context, ZMQ_ROUTER, rig->endpoints[i]);
        rig->endpoint_list[i] = rig->endpoints[i];
    }
    placement_assign(rig->slot_shards, SLOTS, SHARDS);
    rig->tables[TABLE_WEIGHTS] =
        session_dense_table(floats, CHUNK_FLOATS, (uint32_t)((floats + CHUNK_FLOATS - 1) / CHUNK_FLOATS));
    rig->tables[TABLE_METRICS] = rig->tables[TABLE_VALIDATION] = session_sums_table(METRICS);
    rig->params = (struct session_params){.job = JOB,
                                          .incarnation = INCARNATION,
                                          .shard_count = SHARDS,
                                          .endpoints = rig->endpoint_list,
                                          .slot_count = SLOTS,
                                          .slot_shards = rig->slot_shards,
                                          .worker = WORKER,
                                          .table_count = TABLE_COUNT,
                                          .tables = rig->tables};
    ck_assert_msg(rig_connect(rig, &error) == CAIRN_OK, "%s", error.message);
    frames_init(&rig->arrival.frames);
}

static inline void rig_close(struct rig *rig)
{
    frames_clear(&rig->arrival.frames);
    session_free(rig->session);
    for (int i = 0; i < SHARDS; i++)
        zmq_close(rig->shards[i]);
    zmq_ctx_term(rig->context);
}

/* The next message to a shard, in rig->arrival. */
static inline const struct data_header *arrive(struct rig *rig, uint32_t shard)
{
    struct frames *frames = &rig->arrival.frames;
    struct error error = {.message = ""};

    frames_clear(frames);
    receive_soon(rig->shards[shard], frames);
    ck_assert_uint_ge(frames->count, 2);
    ck_assert_msg(wire_data_unpack(frames_data(frames, 1), frames_length(frames, 1), &rig->arrival.header,
                                   &error) == CAIRN_OK,
                  "%s", error.message);
    return &rig->arrival.header;
}

/* Pulls the first chunks of a table. */
static inline enum status pull(struct rig *rig, uint32_t table, uint64_t version, uint32_t chunk_count)
{
    const struct session_pull pull = {.table = table, .version = version, .chunk_count = chunk_count};

    return session_pull(rig->session, &pull, NULL);
}

static inline uint32_t home_of(const struct rig *rig, enum table_id table, uint32_t chunk)
{
    return rig->slot_shards[placement_slot(table, chunk, SLOTS)];
}

#endif
