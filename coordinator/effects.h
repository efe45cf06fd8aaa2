/* What the coordinator's logic wants done: the list that one call of state_handle adds to.
 *
 * Effects are plain bytes, ready to be sent or stored, so that whoever carries them out needs no part of the
 * state. They may be carried out in batches, but always in this order: all records and log entries first,
 * durably; then messages, in the list's order. Running out of memory marks the list as failed: the state may
 * then be half changed, and the program must end and start again from its records. One thread an object. */
#ifndef CAIRN_COORDINATOR_EFFECTS_H
#define CAIRN_COORDINATOR_EFFECTS_H

#include "base/log.h"

#include "control.pb-c.h"
#include "job.pb-c.h"
#include "store.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number in a JobRecord's format member that this program writes; it reads older ones too. */
#define RECORD_FORMAT 2u

/* Where a message came from: a ROUTER's routing identity. */
#define PEER_BYTES_MAX 255
struct peer {
    uint8_t length;
    unsigned char bytes[PEER_BYTES_MAX];
};

bool peer_equal(const struct peer *a, const struct peer *b);

enum effect_type {
    EFFECT_COMMAND,  /* send bytes (a packed NodeCommand) to the node at peer */
    EFFECT_REPLY,    /* send bytes (a packed ClientReply) to the client at peer */
    EFFECT_LOGS,     /* send the client at peer the job's log entries after `after`, as a LogsReply */
    EFFECT_RECORD,   /* store bytes (a packed JobRecord) as the job's record */
    EFFECT_DRAINING, /* store bytes (a packed DrainingNodes) as who is to end */
    EFFECT_DELETED,  /* store bytes (a packed DeletedJobs) as what is left of deleted jobs */
    EFFECT_ERASE,    /* remove the job's record and its log */
    EFFECT_ENTRY,    /* store bytes (a packed LogEntry) as the job's log entry `number` */
    EFFECT_NOTE      /* write event and bytes (a text with its end) to the program's own log */
};

struct effect {
    enum effect_type type;
    struct peer peer;
    unsigned char *bytes;
    size_t length;
    uint64_t job;         /* RECORD, ERASE, ENTRY, LOGS: the job's number */
    uint64_t number;      /* ENTRY: the entry's; LOGS: the request's */
    uint64_t after;       /* LOGS */
    bool end;             /* LOGS: no more will come */
    enum log_level level; /* NOTE */
    const char *event;    /* NOTE; borrowed for ever */
};

struct effects {
    struct effect *items;
    size_t count, capacity;
    bool failed;
};

/* An empty list. */
void effects_init(struct effects *effects);

/* Frees all effects; the list is empty and can be used again, but stays failed. */
void effects_clear(struct effects *effects);

/* As effects_clear, and frees the list's own memory. */
void effects_fini(struct effects *effects);

/* Each packs its message and appends; the message stays the caller's. */
void effects_command(struct effects *effects, const struct peer *peer, Cairn__NodeCommand *command);
void effects_reply(struct effects *effects, const struct peer *peer, Cairn__ClientReply *reply);
void effects_logs(struct effects *effects, const struct effect *logs);
void effects_record(struct effects *effects, const Cairn__JobRecord *record);
void effects_entry(struct effects *effects, uint64_t job, const Cairn__LogEntry *entry);
void effects_draining(struct effects *effects, const Cairn__DrainingNodes *record);
void effects_deleted(struct effects *effects, const Cairn__DeletedJobs *record);
void effects_erase(struct effects *effects, uint64_t job);
void effects_note(struct effects *effects, enum log_level level, const char *event, const char *fields);

#endif
