/* Adding tables to a job that runs.
 *
 * The job's record says which tables were added, in the order of their numbers. A table that is asked for is
 * put there at once, and then:
 *
 *     holding     HoldCommand to all servers: they make no new versions, and say how far they have come
 *     extending   the record is stored, then ExtendCommand, with the newest of those versions: the new tables
 *                 begin there
 *     none        all servers have them: the record is stored, then GoOnCommand; clients are answered
 *
 * What is asked for meanwhile makes another round. A job that ends in one forgets tables that not all servers
 * have; one that goes back to an earlier step keeps them, with their initial values at that step, for nothing
 * that was pushed to them is durable there. Knows nothing of clients. */
#ifndef CAIRN_COORDINATOR_GROWTH_H
#define CAIRN_COORDINATOR_GROWTH_H

#include "jobs.h"

/* Adds a table to a running job with tables, or finds the one that is there: *number. text: an entry of the
 * job file's list of tables. Errors: CAIRN_INVALID with a line for who asked: the text is wrong, or the name
 * is another table's. */
enum status growth_ask(struct turn *turn, struct job_entry *entry, const char *text, uint32_t *number,
                       struct error *error) MUST_CHECK;

/* Begins a round if tables were asked for; not while servers are awaited, or slots copied. */
void growth_update(struct turn *turn, struct job_entry *entry);

/* Whether all servers have a table. */
bool growth_is_ready(const struct job_entry *entry, uint32_t number);

/* Reports of a server. tables: how many it has. */
void growth_held(struct turn *turn, struct job_entry *entry, struct participant *server, uint64_t step);
void growth_extended(struct turn *turn, struct job_entry *entry, struct participant *server, uint32_t tables);

/* A server is gone without which the job goes on. */
void growth_lost(struct turn *turn, struct job_entry *entry);

/* The job ends, or goes back: forgets what was not added to the end. */
void growth_abandon(struct turn *turn, struct job_entry *entry);

/* A server that was out of reach is told once more where the adding of tables stands. */
void growth_repeat(struct turn *turn, const struct job_entry *entry, const struct participant *server);

/* A coordinator that starts again takes up a running job: tables that servers may have been told of are added
 * to the end, by all; those that were only asked for are forgotten, and servers that are held for them go on.
 * tables_ready: as the record tells. */
void growth_take_up(struct turn *turn, struct job_entry *entry, uint32_t tables_ready);

/* The job is to go on from its committed step: tables that began later begin there. */
void growth_go_back(struct job_entry *entry);

/* The job's text as far as all servers have it; borrows from the entry. */
void growth_text(const struct job_entry *entry, Cairn__JobText *text);

#endif
