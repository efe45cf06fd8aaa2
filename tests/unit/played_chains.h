/* Servers that do what a coordinator under test tells them about the slots of the tiny job, by hand or all of it.
 * Test code only. */
#ifndef CAIRN_TESTS_PLAYED_CHAINS_H
#define CAIRN_TESTS_PLAYED_CHAINS_H

#include "chain_view.h"
#include "tiny_job.h"

/* Of the newest map that a test has taken: what servers say is of that. */
static uint64_t map_incarnation;

static inline Cairn__MapCommand *map_to(const char *server, Cairn__NodeCommand **command)
{
    Cairn__NodeCommand *newest = NULL, *next;

    while ((next = take_command(&cluster, server, CAIRN__NODE_COMMAND__BODY_MAP))) {
        message_free(newest);
        newest = next;
    }
    *command = newest;
    if (newest)
        map_incarnation = newest->map->incarnation;
    return newest ? newest->map : NULL;
}

/* Time, in which these servers and both workers are there. */
static inline void let_pass(const char *const servers[], size_t count, int64_t ms)
{
    for (; ms > 0; ms -= 250) {
        for (size_t i = 0; i < count; i++)
            heartbeat(&cluster, servers[i]);
        heartbeat(&cluster, "w1");
        heartbeat(&cluster, "w2");
        pass(&cluster, 250);
    }
}

/* That the job is in. */
static inline uint64_t incarnation(void)
{
    Cairn__ClientReply *reply = status_of(&cluster, "1");
    uint64_t result = reply->job->incarnation;

    message_free(reply);
    return result;
}

static inline void say_mapped(const char *server, uint64_t number)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Mapped body = CAIRN__MAPPED__INIT;

    body.job = 1;
    body.incarnation = map_incarnation;
    body.number = number;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_MAPPED;
    message.mapped = &body;
    say(&cluster, server, &message);
}

static inline void say_copied(const char *server, const Cairn__SlotCopy *copy, uint64_t step)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Copied body = CAIRN__COPIED__INIT;

    body.job = 1;
    body.incarnation = map_incarnation;
    body.slot = copy->slot;
    body.shard = copy->shard;
    body.number = copy->number;
    body.step = step;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_COPIED;
    message.copied = &body;
    say(&cluster, server, &message);
}

/* "scaler" gets the reply. */
static inline void ask_servers(const char *job, uint32_t servers)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__ScaleRequest body = CAIRN__SCALE_REQUEST__INIT;

    body.job = (char *)job;
    body.servers = servers;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SCALE;
    request.scale = &body;
    ask(&cluster, "scaler", &request);
}

/* A model whose weights make some chunks. */
static inline const char *chained_model(uint32_t servers, uint32_t replicas, const char *optimizer)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "name: tiny\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 16}\n"
             "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
             "train: {steps: 10, batch_size: 8, microbatches: 4, optimizer: %s}\n"
             "cluster: {servers: %u, replicas: %u, workers: {min: 2, max: 3}}\n",
             optimizer, servers, replicas);
    return text;
}

/* How many shards every slot of the job has, as its record tells. */
static inline void expect_chains(uint32_t length)
{
    Cairn__JobRecord *record = cairn__job_record__unpack(NULL, cluster.jobs[1].length, cluster.jobs[1].bytes);
    struct chain_view view = chain_view_live(record);

    for (uint32_t slot = 0; slot < view.slots; slot++)
        ck_assert_uint_eq(chain_length(view, slot), length);
    message_free(record);
}

/* Whether a server is anywhere in a map's chains; with copies, or as what is being copied to. */
static inline bool names(const Cairn__MapCommand *map, const char *server)
{
    for (size_t i = 0; i < map->n_slot_shards; i++) {
        if (map->slot_shards[i] < map->n_shards &&
            strcmp(map->shards[map->slot_shards[i]]->server, server) == 0)
            return true;
    }
    return false;
}

/* All servers do what they are told until there is nothing more to do: each copy is made at once, at a step.
 */
static inline void move_all(const char *const servers[], size_t count, uint64_t step)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (size_t i = 0; i < count; i++) {
            Cairn__NodeCommand *command;
            Cairn__MapCommand *map = map_to(servers[i], &command);

            busy = busy || map;
            if (map)
                say_mapped(servers[i], map->number);
            for (size_t j = 0; map && j < map->n_copies; j++) {
                if (strcmp(map->shards[map->copies[j]->shard]->server, servers[i]) == 0)
                    say_copied(servers[i], map->copies[j], step);
            }
            message_free(command);
        }
        pass(&cluster, 50);
        for (size_t i = 0; i < count; i++)
            heartbeat(&cluster, servers[i]);
        heartbeat(&cluster, "w1");
        heartbeat(&cluster, "w2");
    }
}

#endif
