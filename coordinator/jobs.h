/* The jobs that the coordinator knows: each with its durable record and what is known only while it lives.
 *
 * A record's status is what clients see. Members that change with progress (step, metrics, rates, the reason
 * for waiting) are stored when something else is; all that a resume needs is stored at once (entry->unsaved).
 * A job is live while its servers hold its state for it in this incarnation; it is then in one of the states
 * from preparing to committing, or waits for workers.
 * Invariants: numbers grow and are never used again; only a live job has participants; its incarnation and
 * committed step never fall. Knows nothing of what moves a job from state to state (life.h).
 */
#ifndef CAIRN_COORDINATOR_JOBS_H
#define CAIRN_COORDINATOR_JOBS_H

#include "deleted.h"

#include "base/step_range.h"
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
    bool prepared;
    bool named;      /* worker: in the newest epoch */
    bool reached;    /* worker: it holds the model of the end */
    bool not_finite; /* worker: the loss is no finite number, though all of its own outputs are */
    uint64_t training_samples, validation_samples; /* worker, when prepared */
    uint64_t number;                               /* worker: as epochs number it; 0: none has named it yet */
    uint64_t first_step; /* worker, throughput modes: the step that it began at, by that number */
    double speed;                                  /* worker: microbatches a second; 0: not known yet */
    int64_t joined_ms;                             /* worker: when it was taken for the job, monotonic */
    uint64_t committed_step;                       /* server: its newest generation */
    uint64_t held_step; /* server: the newest that it has told, though it may have nothing of the job now */
    uint64_t abandoned_step; /* server: the newest generation that it was told to go over; 0: none */
    uint64_t refused_step;   /* server: the newest generation that it did not make when asked; 0: none */
    uint64_t empty_until;    /* server: it holds nothing in generations up to this step */
    bool answered;           /* server: the command of a growth that is under way */
    bool is_newcomer;        /* server: it came while the job runs, and nobody waits for it to be prepared */
    uint64_t mapped;         /* server: the number of the map that it goes by */
};

struct participants {
    struct participant *items;
    size_t count;
};

/* A node that took part when an earlier coordinator ended, and may come back with the work in its hands
 * (retake.h). */
struct awaited {
    char *name;
    bool is_worker;
};

/* The end of the training, as the first worker that reached it told. */
struct outcome {
    bool is_known;
    bool is_recycled; /* workers were taken anew because none had written the model */
    uint64_t step;
    char worker[NODE_NAME_BYTES], model_hash[HASH_TEXT_BYTES];
};

/* How far the adding of tables is (growth.h). */
enum growth { GROWTH_NONE, GROWTH_HOLDING, GROWTH_EXTENDING };

struct job_entry {
    Cairn__JobRecord *record; /* owned, text and status always set */
    struct job *job;          /* owned: the parsed text; NULL for jobs that had ended when they were loaded */
    struct participants servers, workers; /* in the order of shards, of joining; empty unless live */
    struct awaited *awaited;              /* owned, with the names */
    size_t awaited_count;
    int64_t awaited_until_ms; /* monotonic */
    struct outcome outcome;
    bool heads_changed; /* workers push to others than the newest epoch says */
    bool is_moving;     /* slots have been copied since it was last said that all are where they should be */
    struct chain_facts {
        uint64_t map, committed_step;
        size_t servers, prepared, leaving;
        uint32_t tables;
    } planned;                 /* what was so when nothing was left to move; all zero: never */
    int64_t copy_due_ms;       /* when the next slot may be copied, monotonic; 0: now (chains.h) */
    bool has_new_failure;      /* whether a worker is left to try after a failure has yet to be judged */
    bool is_thinner;           /* a worker that the newest epoch names is gone, and has not reached the end */
    int64_t spans_ms;          /* when spans were last made, monotonic */
    int64_t server_wait_ms;    /* since when a server that holds its state is missed, monotonic; 0: none is */
    bool misses_copies;        /* others have all that it holds (server_choice.h) */
    bool does_without;         /* servers that others can stand in for were waited for, and have not come */
    uint64_t not_finite_step;  /* of the newest loss that was no finite number */
    uint64_t asked_step;       /* the newest generation that servers were asked for in this incarnation */
    struct step_range given_up; /* generations that will never be the job's (commits.h) */
    uint64_t divergence_step;  /* the newest step of which sums differed */
    uint32_t divergences_told; /* lines in the log about that step */
    uint32_t tables_ready;     /* of the job's tables, those that all servers have: the first ones */
    enum growth growth;
    uint32_t growth_tables;  /* EXTENDING: how many tables servers are to have */
    uint64_t growth_step;    /* the newest version that a server was held at */
    uint64_t figures_step;   /* the newest that the first worker told figures of */
    uint64_t validated_step; /* of this incarnation's newest validation */
    uint64_t newest_entry;   /* number of the newest log entry */
    uint64_t revision;       /* grows with every change of the status */
    bool unsaved;            /* the record must be stored in this turn */
};

struct jobs {
    struct job_entry **items; /* in the order of their numbers */
    size_t count, capacity;
    struct deleted deleted; /* of those that are no more */
};

void jobs_init(struct jobs *jobs);
void jobs_fini(struct jobs *jobs);

/* Adds a job whose number is greater than all others'.
 * Owns: takes record and job (which may be NULL) also on failure. NULL: memory is out. */
struct job_entry *jobs_add(struct turn *turn, struct jobs *jobs, Cairn__JobRecord *record, struct job *job);

/* Takes a job that has ended out: its record and its log go, and servers remove what they hold of it when
 * they are told (deleted_tell). The entry is freed. Owns: takes what is left of it. */
void jobs_delete(struct turn *turn, struct jobs *jobs, struct job_entry *entry, Cairn__DeletedJob *left);

/* The greatest number of a job that is there, 0: none is; and the number for the next new one. */
uint64_t jobs_last_number(const struct jobs *jobs);
uint64_t jobs_next_number(const struct jobs *jobs);

/* A job by its number, or the newest of a name; NULL: none. */
struct job_entry *jobs_find(const struct jobs *jobs, uint64_t number);
struct job_entry *jobs_newest(const struct jobs *jobs, const char *name);

/* The job that a person means: by id, by number, or by a name that only one job under way has, or only one at
 * all. Errors: CAIRN_NOT_FOUND; CAIRN_INVALID when several have the name. */
enum status jobs_lookup(const struct jobs *jobs, const char *text, struct job_entry **out,
                        struct error *error) MUST_CHECK;

/* Emits a record effect for every entry that is unsaved. */
void jobs_save(struct turn *turn, struct jobs *jobs);

/* Whether the job is live (above), or has ended (completed, stopped, failed). */
bool entry_is_live(const struct job_entry *entry);
bool entry_has_ended(const struct job_entry *entry);

/* Whether an epoch of this incarnation has begun. */
bool entry_has_begun(const struct job_entry *entry);

/* How many workers a training wants at most, and needs at least. */
uint32_t entry_target(const struct job_entry *entry);
uint32_t entry_minimum(const struct job_entry *entry);

/* Errors: CAIRN_INVALID: the job does not run, so what was asked cannot be done. */
enum status entry_check_running(const struct job_entry *entry, struct error *error) MUST_CHECK;

/* How many servers a job wants, and how many of those that it has stay: the first ones, the rest are to give
 * what they have to these. */
uint32_t entry_servers_target(const struct job_entry *entry);
bool entry_server_stays(const struct job_entry *entry, const struct participant *server);

/* Moves a job to a state; stored in this turn. */
void entry_set_state(struct turn *turn, struct job_entry *entry, Cairn__JobState state);

/* The job waits for what a line names, which becomes its reason and, when it is new, a line of its log. */
void entry_wait(struct turn *turn, struct job_entry *entry, const char *what);

/* Replaces the parsed job; status members that follow from it are set. Owns: takes job. */
void entry_set_job(struct turn *turn, struct job_entry *entry, struct job *job);

/* Whether servers alone work on the job: it has tables, and no training. Only while entry->job is there. */
static inline bool entry_has_tables(const struct job_entry *entry)
{
    return job_has_tables(entry->job);
}

/* The participant that a node is, or NULL. */
struct participant *entry_participant(struct job_entry *entry, const struct node *node);

/* Adds a node to the participants: a worker as the last one, or before those of greater numbers, a server in
 * the order of the record's shards, whenever it comes. NULL: memory is out. */
struct participant *entry_add(struct turn *turn, struct job_entry *entry, struct node *node, uint64_t number);

/* Puts workers that no epoch has named yet behind the others, so that they come last in the next one. */
void entry_order_workers(struct job_entry *entry);

/* Takes a node out of the participants, leaving the order of the others. */
void entry_drop(struct job_entry *entry, struct node *node);

/* Adds a name to those that are awaited; takes one out (false: it was not there); forgets all. */
void entry_await(struct turn *turn, struct job_entry *entry, const char *name, bool is_worker);
bool entry_await_no_more(struct job_entry *entry, const char *name, bool is_worker);
void entry_await_nobody(struct job_entry *entry);

/* Appends a line to the job's log. */
void entry_log(struct turn *turn, struct job_entry *entry, const char *level, const char *source,
               const char *text);

/* The same, from the coordinator itself, at level info; or at level warn: what cost steps. */
void entry_tell(struct turn *turn, struct job_entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void entry_warn(struct turn *turn, struct job_entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline Cairn__JobStatus *entry_status(const struct job_entry *entry)
{
    return entry->record->status;
}

#endif
