/* What servers of a fake cluster are told of maps of slots, and answer. Test code only. */
#ifndef CAIRN_TESTS_CHAIN_TALK_H
#define CAIRN_TESTS_CHAIN_TALK_H

#include "tiny_job.h"

static inline Cairn__MapCommand *map_to(const char *server, Cairn__NodeCommand **command)
{
    Cairn__NodeCommand *newest = NULL, *next;

    while ((next = take_command(&cluster, server, CAIRN__NODE_COMMAND__BODY_MAP))) {
        message_free(newest);
        newest = next;
    }
    *command = newest;
    return newest ? newest->map : NULL;
}

static inline void say_mapped(const char *server, uint64_t number)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Mapped body = CAIRN__MAPPED__INIT;

    body.job = body.incarnation = 1;
    body.number = number;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_MAPPED;
    message.mapped = &body;
    say(&cluster, server, &message);
}

static inline void say_copied(const char *server, const Cairn__SlotCopy *copy, uint64_t step)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Copied body = CAIRN__COPIED__INIT;

    body.job = body.incarnation = 1;
    body.slot = copy->slot;
    body.shard = copy->shard;
    body.number = copy->number;
    body.step = step;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_COPIED;
    message.copied = &body;
    say(&cluster, server, &message);
}

/* Whether a server is anywhere in a map's chains. */
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
    }
}

#endif
