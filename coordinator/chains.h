/* Where the slots of a live training are: chains of shards, the copies that make them longer, and what
 * follows when servers die, come or are to go (docs/design.md, section 7).
 *
 * The record has two maps. slot_shards is of the committed step: who has what durably, where a job goes on
 * from when it goes back. record->map is of now, once the slots have changed in this incarnation: each change
 * makes the next one, stored before anybody hears of it. Survivors of a chain keep their order and a copy
 * comes last; nobody that lives leaves a chain before another one has what is committed. map_since tells of
 * which generations a shard has a slot: those of later steps.
 *
 * One slot is copied at a time, with a pause after each. Knows nothing of epochs but that there must be one
 * when heads have changed (chains_want_epoch). */
#ifndef CAIRN_COORDINATOR_CHAINS_H
#define CAIRN_COORDINATOR_CHAINS_H

#include "jobs.h"
#include "nodes.h"

/* Places the slots of a job that begins anew: chains of its shards, on as many servers each as it has
 * replicas. */
void chains_place(struct turn *turn, struct job_entry *entry);

/* A job goes on from its committed step with these servers: others leave its chains. */
void chains_resume(struct job_entry *entry, struct node *const servers[], size_t count);

/* Forgets the map of an incarnation that has ended. */
void chains_forget(struct job_entry *entry);

/* Whether every slot with anything in it has somebody of the committed step on a server other than those that
 * is_gone tells of. */
bool chains_can_resume(const struct job_entry *entry,
                       bool (*is_gone)(const void *context, const char *server), const void *context);

/* Whether others have all that a server has, so that a job can go on without it. */
bool chains_can_lose(const struct job_entry *entry, const char *server);

/* A server is gone. false: it alone had something; nothing has changed. */
bool chains_lose(struct turn *turn, struct job_entry *entry, const char *server);

/* A server goes by a map; it has a copy. */
void chains_mapped(struct participant *server, uint64_t number);
void chains_copied(struct turn *turn, struct job_entry *entry, struct participant *server,
                   const Cairn__Copied *copied);

/* Whether each slot is in some server's generation of a step; and that it is the job's, for the record. */
bool chains_hold(const struct job_entry *entry, uint64_t step);
void chains_committed(struct turn *turn, struct job_entry *entry);

/* Takes a server that is in no chain of now out of those of the committed step, if as many others as there
 * are to be replicas have what it had, or nothing is committed; whether it is in none any more. */
bool chains_part(struct job_entry *entry, const char *server);

/* Of which generations a server has anything: of steps later than the result; UINT64_MAX: of none. */
uint64_t chains_first_generation(const struct job_entry *entry, const char *server);

/* Does what is due: servers are taken on, slots copied, and left by those that others can do without. */
void chains_update(struct turn *turn, struct job_entry *entry, const struct nodes *nodes);

/* Tells in the job's status which servers are to leave and await a commit only (chain_leavers.c). */
void chains_note_leavers(struct turn *turn, struct job_entry *entry);

/* When the next copy may begin, monotonic; INT64_MAX: none waits for that. */
int64_t chains_deadline_ms(const struct job_entry *entry);

/* Tells a server the map as it is, if there is one. */
void chains_tell(struct turn *turn, const struct job_entry *entry, const struct node *server);

/* Whether no slot is being copied and all servers go by the newest map. */
bool chains_are_settled(const struct job_entry *entry);

/* Whether workers are to hear of other heads, and all servers know of them. */
bool chains_want_epoch(const struct job_entry *entry);

/* The first of each chain, as clients hear of it. live: now; else of the committed step. Owns: the caller,
 * free(). NULL: memory is out. */
uint32_t *chains_heads(struct turn *turn, const struct job_entry *entry, bool live);

/* Whether a server has a place in a record's chains, of the committed step or of now. */
bool chains_name(const Cairn__JobRecord *record, const char *server);

/* Whether something is being copied to a server. */
bool chains_copy_to(const Cairn__JobRecord *record, const char *server);

/* Whether all that a server has of a job can go to others while it trains. */
bool chains_can_spare(const struct job_entry *entry, const struct nodes *nodes, const struct node *server);

#endif
