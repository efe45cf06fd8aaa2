/* What the files of the shard share: its state. Nobody else includes this. */
#ifndef CAIRN_SERVER_SHARD_STATE_H
#define CAIRN_SERVER_SHARD_STATE_H

#include "commits.h"
#include "shard.h"
#include "tables.h"

/* A PrepareCommand that waits until the writer has let go of the job's older incarnation. */
struct successor {
    struct assignment *assignment; /* NULL: there is none */
    uint64_t incarnation, step;
};

/* The shard's part of one live job. */
struct shard_job {
    struct shard_job *next;
    struct assignment *assignment;
    struct slot_map *map;      /* the one in force */
    bool has_chains;           /* it has chunks that other shards have too */
    struct assignment **older; /* [older_count]: those before tables were added, which these borrow from */
    uint32_t older_count;
    uint32_t tables_told; /* to clients: how many there are, if some were added; else 0 */
    uint64_t incarnation;
    struct store *store;
    struct tables *tables;
    struct commits commits;
    uint32_t dropped_logged;       /* generations that were dropped, as the log tells */
    uint64_t dropped_told;         /* the step of the newest that the server was told of */
    struct duplicates *duplicates; /* NULL: what comes twice is not compared */
    struct roster *roster;         /* throughput modes: of the newest epoch; NULL: there was none yet */
    bool held;    /* no piece goes on to another version */
    bool failed;  /* reported */
    bool retired; /* released or replaced: only its last write is waited for */
    bool deleted; /* and then its store is to go as well */
    struct successor successor;
};

/* What is to be told to another shard of a chain: more of the same kind may follow. */
struct chain_message {
    struct data_header header; /* no payloads: there is none */
    struct shard_job *job;
    uint32_t to; /* its place among the job's shards */
    uint64_t bytes;
    struct buffer *payloads[WIRE_PAYLOADS_MAX];
};

/* The payloads of one chunk in such a message. */
#define CHAIN_PARTS_MAX (3 + OPTIMIZER_SLOTS_MAX)
struct chain_parts {
    uint32_t chunk, count;
    enum data_type types[CHAIN_PARTS_MAX];
    struct buffer *values[CHAIN_PARTS_MAX]; /* borrowed; NULL: without a length */
};

struct shard {
    struct job_store_owner owner;
    uint64_t memory_bytes; /* for the sparse rows of all jobs; 0: no bound */
    struct shard_events events;
    struct subscribers *subscribers;
    struct replies *replies;
    struct chain_message outgoing;
    struct shard_job *jobs;
    bool is_away; /* the coordinator */
    /* The store of a job that is not live, kept open for the next committed pull. NULL: none. */
    struct store *archive;
    uint64_t archive_job;
};

struct request;

/* A live job, NULL when there is none of that number, or of that incarnation. */
struct shard_job *shard_find(struct shard *shard, uint64_t job);
struct shard_job *shard_find_incarnation(struct shard *shard, uint64_t job, uint64_t incarnation);

/* Reports about a job to the server; of report, shard, job and incarnation are filled in. */
void shard_tell(struct shard *shard, const struct assignment *assignment, uint64_t incarnation,
                struct shard_report report);

/* Lets clients know of all tables, if some were added (shard_extend.c). */
void shard_announce(struct shard_job *job);

/* The writer is done with a generation of a job: what waited for room, or for rows that it held, goes on
 * (shard_commits.c). */
void shard_commits_go_on(struct shard *shard, struct shard_job *job);

/* Reports what generation of a job was dropped since last time, if one was, and says in the log that steps go
 * on without the coordinator: of the first one, and whenever it has been twice as many (shard_away.c). */
void shard_tell_dropped(struct shard *shard, struct shard_job *job);

/* ---- memory for sparse rows (shard_memory.c) */

/* What the rows of each sparse table may take in memory when there are `more` of them than now; 0: no bound.
 */
uint64_t shard_memory_share(const struct shard *shard, uint32_t more);

/* Makes the rows of all jobs leave memory until there is the share of `more` tables.
 * Errors: those of rows_set_budget; shard_memory_spread gives back what was taken. */
enum status shard_memory_yield(struct shard *shard, uint32_t more, struct error *error) MUST_CHECK;

/* Gives all tables their share of what there is now. */
void shard_memory_spread(struct shard *shard);

/* ---- what comes twice (shard_duplicates.c) */

/* Begins to compare the pushes of a job, if it is one whose pushes are. Errors: CAIRN_NO_MEMORY. */
enum status shard_duplicates_open(struct shard_job *job) MUST_CHECK;

/* Compares what a push that is in order has brought for a chunk with what came for the same node before, and
 * reports it when it differs. array: NULL, the node has none. */
void shard_duplicates_check(const struct request *request, uint32_t chunk, const struct buffer *array);

/* ---- the throughput modes: each push is an update by itself (shard_updates.c) */

/* Handle a push or pull for weights that have clocks, whose job, payloads and samples are checked. arrays: of
 * a push, decoded; taken. */
void request_push_updates(const struct request *request, struct buffer *const arrays[]);
void request_pull_updates(const struct request *request);

/* Whether a push is of a worker that may push, and of steps that are in order; else refuses. */
bool request_check_updates(const struct request *request);

/* Sends a chunk's updates on that the one after has not, applies those that it has, and answers. */
void shard_advance_updates(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk);

/* Refuses all who wait for a chunk's updates to be applied; any chunk. */
void shard_refuse_updates(struct shard *shard, const struct shard_job *job, struct dense_chunk *chunk,
                          enum data_refused reason, const char *message);

/* A chunk has come here: its clocks know who is in the newest epoch. Errors: CAIRN_NO_MEMORY. */
enum status shard_name_workers(const struct shard_job *job, struct dense_chunk *chunk,
                               struct error *error) MUST_CHECK;

/* Says in the log whose updates a job has that ends here. */
void shard_log_updates(const struct shard *shard, const struct shard_job *job);

/* ---- what is due (shard_advance.c) */

/* Moves a chunk, or a sparse table, that is due to its next version, unless a generation holds it
 * back, and answers those who wait for it. number: of the table. */
void shard_advance_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                         struct dense_chunk *chunk);
void shard_advance_sparse(struct shard *shard, struct shard_job *job, uint32_t number);

/* A sum table's sums are whole: makes those versions that may be, and answers who waits for them. */
void shard_advance_sums(struct shard *shard, struct shard_job *job, uint32_t number);

/* What held pieces back has ended: moves those that are due. */
void shard_advance_all(struct shard *shard, struct shard_job *job);

/* A chunk's sum is whole: measures it if the update needs norms, and moves it when it is due. */
void shard_summed_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                        struct dense_chunk *chunk);

/* Measures what is summed of a sparse table with norms, tells it, and ends the exchange of the step in hand
 * if all is known. */
void shard_measure_rows(struct shard *shard, struct shard_job *job, uint32_t number);

/* Takes what another shard tells of sums; told: as the header says, borrowed; NULL: it asks. */
void shard_take_part(struct shard *shard, const struct data_header *header, const struct buffer *told);

/* Another map is in force: measures the chunks that this shard is the head of now. */
void shard_norms_moved(struct shard *shard, struct shard_job *job);

/* Asks all others for what is missing of the exchange at hand; and whether somebody who asks for the newest
 * version of rows waits for that. */
void shard_ask_norms(struct shard *shard, const struct shard_job *job, uint32_t number);
bool shard_rows_await_norms(const struct sparse_table *sparse);

/* What a copy of a piece of a table with norms takes along: *known NULL: nothing. False: out of memory.
 * Owns: the caller. Then, where it comes: whether foreign bytes fit a piece at `version`, and taking them.
 * known: NULL: none. */
bool shard_norms_known(const struct norm_rounds *rounds, struct buffer **known) MUST_CHECK;
bool shard_norms_fit(const struct norm_rounds *rounds, uint64_t version, const struct buffer *known);
void shard_norms_come(struct shard *shard, struct shard_job *job, uint32_t number, uint64_t version,
                      const struct buffer *known);

/* ---- chains (shard_chain.c) */

/* Sends what is whole down the chain, unless it is on its way. */
void shard_forward_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                         struct dense_chunk *chunk);
void shard_forward_sums(struct shard *shard, struct shard_job *job, uint32_t number);

/* Tells the one before that `version` of a chunk is here; nobody is before a head. */
void shard_acknowledge(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t chunk,
                       const struct chain_link *link, uint64_t version);

/* Sends all there is of a chunk, or of sums, to the one after, which has nothing yet, and then what is whole.
 */
void shard_snapshot_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                          struct dense_chunk *chunk);
void shard_snapshot_sums(struct shard *shard, struct shard_job *job, uint32_t number);

/* Asks the one before for a snapshot. */
void shard_ask(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t chunk,
               const struct chain_link *link);

/* Takes what another shard of a chain says. payloads: taken. */
void shard_take_chain(struct shard *shard, const struct data_header *header, struct buffer *const payloads[]);

/* A message to another shard of a job, without payloads yet; sends one that gathers with nothing else.
 * payloads: borrowed. */
struct data_header shard_chain_header(const struct shard *shard, const struct shard_job *job,
                                      enum data_kind kind, uint32_t number, uint64_t step);
void shard_chain_tell(struct shard *shard, const struct shard_job *job, uint32_t to,
                      const struct data_header *header, struct buffer *const payloads[]);

/* Whether a job waits for another shard of a chain, and says again what makes that tell. */
bool shard_chains_wait(const struct shard_job *job);
void shard_chains_nudge(struct shard *shard, struct shard_job *job);

/* The same of sparse tables (shard_chain_rows.c): sends sums that are here down the chains of their slots,
 * and tells those before of them; takes what others say, payloads borrowed; says again what is waited for. */
void shard_forward_rows(struct shard *shard, struct shard_job *job, uint32_t number);
void shard_take_chain_rows(struct shard *shard, struct shard_job *job, const struct data_header *header,
                           struct buffer *const payloads[]);
bool shard_rows_wait(const struct sparse_table *sparse);

/* Copies of slots (shard_copy_rows.c): asks for what is awaited, tells those who asked for a version that it
 * has come, takes what others ask and answer. */
void shard_ask_rows(struct shard *shard, struct shard_job *job, uint32_t number);
void shard_tell_asked(struct shard *shard, struct shard_job *job, uint32_t number);

/* A map is in force: who asked for a copy by it before it was heard of here will be told where this shard
 * stands, and asks again. */
void shard_copy_recall(struct sparse_table *sparse, uint64_t map);
void shard_take_copy_rows(struct shard *shard, struct shard_job *job, const struct data_header *header,
                          struct buffer *const payloads[]);
void shard_rows_nudge(struct shard *shard, struct shard_job *job, uint32_t number);

/* Sends what is to be told; no job's map may change, and none may go, before. */
void shard_chains_flush(struct shard *shard);

/* Reports each slot that is being copied here as copied when all of it is (shard_map.c). */
void shard_report_copied(struct shard *shard, struct shard_job *job, uint32_t slot);

/* Tells another shard of a chain; of header kind, table, step and what belongs to the kind are set. */
void shard_chain_say(struct shard *shard, struct shard_job *job, uint32_t to, struct data_header *header,
                     const struct chain_parts *parts);

/* ---- the same of chunks with clocks (shard_chain_updates.c) */

/* A job goes on from a generation, of which each shard has its own: all but heads await what heads have. */
void shard_await_heads(struct shard_job *job);

/* The head of a chunk is gone before anybody had what it has, and this shard is the next one: takes its own
 * record of the generation that the job went back to, and gives it to those after it.
 * Errors: those of generation_load_chunk and CAIRN_NO_MEMORY: the chunk is not here. */
enum status shard_succeed_head(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk,
                               struct error *error) MUST_CHECK;

/* Both ends of each link begin. */
void shard_begin_chains(struct shard *shard, struct shard_job *job);

/* Sends the updates that the one after has not been sent. */
void shard_forward_updates(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk);

/* As shard_snapshot_dense. */
void shard_snapshot_updates(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk);

/* Takes what another shard says of chunks with clocks. payloads: borrowed. */
void shard_take_chain_updates(struct shard *shard, struct shard_job *job, const struct data_header *header,
                              struct buffer *const payloads[]);

/* Refuses all who wait in a list: there will be no answer. */
void shard_refuse_waiting(struct shard *shard, const struct shard_job *job, uint32_t table,
                          struct waiting_list *list, enum data_refused reason, const char *message);

/* A message in hand. */
struct request {
    struct shard *shard;
    struct client *client;
    const struct data_header *header;
    struct shard_job *job; /* once it was checked */
    struct table *table;   /* the same */
};

/* Refuses the message; returns false. */
bool request_refuse(const struct request *request, enum data_refused reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What an answer of a version to it is about. */
struct reply_subject request_subject(const struct request *request, uint64_t version);

/* Lets go of a message's payloads. */
void request_drop(const struct data_header *header, struct buffer *const payloads[]);

/* Lets the client wait in a list. keys: whose rows, in sparse tables; NULL otherwise. */
void request_wait(const struct request *request, struct waiting_list *list, uint64_t version,
                  enum answer answer, struct buffer *keys);

/* Handle a push or pull for a dense table or sums, whose job is checked. payloads: as shard_handle's, taken.
 */
void request_push_arrays(const struct request *request, struct buffer *const payloads[]);
void request_pull_arrays(const struct request *request, struct buffer *const payloads[]);

/* The same for a sparse table. */
void request_push_rows(const struct request *request, struct buffer *const payloads[]);
void request_pull_rows(const struct request *request, struct buffer *const payloads[]);

/* Handle a question about a table, whose job is checked (shard_questions.c). payloads: borrowed. */
void request_statistics(const struct request *request);
void request_export(const struct request *request, struct buffer *const payloads[]);

/* The same, of a dense table or sums (shard_missing.c). */
void request_missing(const struct request *request);

/* Answers somebody with a chunk's version, which is kept. */
void shard_answer_chunk(struct shard *shard, const struct reply_subject *subject, struct client *client,
                        struct dense_chunk *chunk, enum answer answer);

/* Whether a sparse table's next version comes without anybody pushing anything, so that somebody may have
 * seen it elsewhere: who asks for the newest version is answered when it is here, or when that holds no more.
 */
bool shard_rows_go_on(const struct shard_job *job, const struct sparse_table *sparse);

/* Answers somebody with rows of a version that the table keeps. */
void shard_answer_rows(struct shard *shard, struct shard_job *job, uint32_t number, const struct wait *wait);

/* Reports the job as failed, once. */
void shard_fail(struct shard *shard, struct shard_job *job, const struct error *error);

/* The same, and nothing more of it is made durable. */
void shard_abandon(struct shard *shard, struct shard_job *job, const struct error *error);

/* Gives what has become due to the writer and sends the collected replies: the end of every entry point. */
void shard_flush(struct shard *shard);

/* The store to answer committed pulls of a job from, live or not. Owns: the shard. */
enum status shard_store(struct shard *shard, uint64_t job, struct store **store,
                        struct error *error) MUST_CHECK;

/* What the reply to one who waited is about. */
struct reply_subject shard_subject(const struct shard_job *job, uint32_t table, const struct wait *wait);

/* Whether a reply could be kept for sending; says so when not. */
void shard_reply_check(const struct reply_subject *subject, enum status status);

#endif
