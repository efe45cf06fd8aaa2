/* The jobs that the coordinator knows: each with its durable record and what is known only while it lives.
 *
 * A record's status is what clients see. Members that change with progress (step, metrics, rates, the reason
 * for waiting) are stored when something else is; all that a resume needs is stored at once (entry->unsaved).
 * Invariants: numbers grow and are never used again; a job has participants in its active states only; its
 * incarnation and committed step never fall. Knows nothing of what moves a job from state to state (life.h).
 */
#ifndef CAIRN_COORDINATOR_JOBS_H
#define CAIRN_COORDINATOR_JOBS_H

#include "job/job.h"
#include "nodes.h"
#include "turn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_STATE(name) CAIRN__JOB_STATE__JOB_STATE_##name

/* The newest log entries of a job that are kept. */
#define JOB_ENTRIES_MAX 10000u

/* A node in the present incarnation of a job. */
struct participant {
    struct node *node;
    bool prepared, reached;
    uint64_t training_samples, validation_samples; /* worker, when prepared */
    uint64_t reached_step;                         /* worker, when reached */
    char model_hash[HASH_TEXT_BYTES];              /* worker, when reached */
    uint64_t committed_step;                       /* server: its newest generation */
    uint64_t refused_step; /* server: the newest generation that it did not make when asked; 0: none */
    uint64_t empty_until;  /* server: it holds nothing in generations up to this step */
    bool answered;         /* server: the command of a growth that is under way */
};

struct participants {
    struct participant *items;
    size_t count;
};

/* How far the adding of tables is (growth.h). */
enum growth { GROWTH_NONE, GROWTH_HOLDING, GROWTH_EXTENDING };

struct job_entry {
    Cairn__JobRecord *record; /* owned, text and status always set */
    struct job *job;          /* owned: the parsed text; NULL for jobs that had ended when they were loaded */
    struct participants servers, workers; /* in the order of spans and shards; empty unless active */
    uint32_t tables_ready; /* of the job's tables, those that all servers have: the first ones */
    enum growth growth;
    uint32_t growth_tables; /* EXTENDING: how many tables servers are to have */
    uint64_t growth_step;   /* the newest version that a server was held at */
    /* An incarnation on which a node that we lost sight of may still be at work; 0: none. */
    uint64_t stale_incarnation;
    uint64_t validated_step; /* of this incarnation's newest validation */
    uint64_t newest_entry;   /* number of the newest log entry */
    uint64_t revision;       /* grows with every change of the status */
    bool unsaved;            /* the record must be stored in this turn */
};

struct jobs {
    struct job_entry **items; /* in the order of their numbers */
    size_t count, capacity;
};

void jobs_init(struct jobs *jobs);
void jobs_fini(struct jobs *jobs);

/* Adds a job whose number is greater than all others'.
 * Owns: takes record and job (which may be NULL) also on failure. NULL: memory is out. */
struct job_entry *jobs_add(struct turn *turn, struct jobs *jobs, Cairn__JobRecord *record, struct job *job);

/* The number for the next new job. */
uint64_t jobs_next_number(const struct jobs *jobs);

/* A job by its number, or the newest of a name; NULL: none. */
struct job_entry *jobs_find(const struct jobs *jobs, uint64_t number);
struct job_entry *jobs_newest(const struct jobs *jobs, const char *name);

/* The job that a person means: by id, by number, or by a name that only one job has.
 * Errors: CAIRN_NOT_FOUND; CAIRN_INVALID when several have the name. */
enum status jobs_lookup(const struct jobs *jobs, const char *text, struct job_entry **out,
                        struct error *error) MUST_CHECK;

/* Emits a record effect for every entry that is unsaved. */
void jobs_save(struct turn *turn, struct jobs *jobs);

/* Whether nodes work on the job (preparing to committing), or it has ended (completed, stopped, failed). */
bool entry_is_active(const struct job_entry *entry);
bool entry_has_ended(const struct job_entry *entry);

/* Moves a job to a state; stored in this turn. */
void entry_set_state(struct job_entry *entry, Cairn__JobState state);

/* Replaces the parsed job; status members that follow from it are set. Owns: takes job. */
void entry_set_job(struct turn *turn, struct job_entry *entry, struct job *job);

/* Whether servers alone work on the job: it has tables, and no training. Only while entry->job is there. */
static inline bool entry_has_tables(const struct job_entry *entry)
{
    return job_has_tables(entry->job);
}

/* The participant that a node is, or NULL. */
struct participant *entry_participant(struct job_entry *entry, const struct node *node);

/* Takes a node out of the participants, leaving the order of the others. */
void entry_drop(struct job_entry *entry, const struct node *node);

/* Appends a line to the job's log. */
void entry_log(struct turn *turn, struct job_entry *entry, const char *level, const char *source,
               const char *text);

/* The same, from the coordinator itself, at level info. */
void entry_tell(struct turn *turn, struct job_entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline Cairn__JobStatus *entry_status(const struct job_entry *entry)
{
    return entry->record->status;
}

#endif
