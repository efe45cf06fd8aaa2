/* A shard's thread: the shard, its ROUTER, and its writer's thread. Moves messages in and out; the rules are
 * shard.h's.
 *
 * Messages: to it `struct shard_command`, from it `struct shard_report` (shard.h). */
#ifndef CAIRN_SERVER_SHARD_ACTOR_H
#define CAIRN_SERVER_SHARD_ACTOR_H

#include "assignment.h"
#include "job_store.h"
#include "net/actor.h"

#include <stdint.h>

#define SHARD_ENDPOINT_BYTES 512

enum shard_command_kind {
    SHARD_COMMAND_PREPARE,   /* shard_prepare */
    SHARD_COMMAND_COMMIT,    /* shard_commit */
    SHARD_COMMAND_COMMITTED, /* shard_committed */
    SHARD_COMMAND_RELEASE,   /* shard_release */
    SHARD_COMMAND_HOLD,      /* shard_hold */
    SHARD_COMMAND_EXTEND,    /* shard_extend */
    SHARD_COMMAND_GO_ON,     /* shard_go_on */
    SHARD_COMMAND_FORGO,     /* shard_forgo */
    SHARD_COMMAND_AWAY,      /* shard_set_away, of no job */
    SHARD_COMMAND_BACK,      /* the same: the coordinator is back */
    SHARD_COMMAND_MAP,       /* shard_map */
    SHARD_COMMAND_EPOCH,     /* shard_begin_epoch */
    SHARD_COMMAND_REMOVE     /* shard_remove */
};

struct shard_command {
    enum shard_command_kind kind;
    struct assignment *assignment; /* PREPARE, EXTEND: one reference, taken */
    struct slot_map *map;          /* MAP: one reference, taken */
    struct roster *roster;         /* EPOCH: taken */
    uint64_t job, incarnation, step;
};

/* The thread's argument; lives as long as the actor. */
struct shard_actor_params {
    struct job_store_owner owner;
    uint64_t memory_bytes;      /* as shard_new's */
    const char *listen;         /* endpoint to bind */
    char bound[SHARD_ENDPOINT_BYTES]; /* out, when the actor is ready: as it was bound, ports known */
};

/* An actor_run; argument: struct shard_actor_params *. Fails to start when the endpoint cannot be bound. */
void shard_actor_run(struct actor_self *self, void *argument);

#endif
