/* The queue of generations. */
#include "commits.h"

#include <string.h>

void commits_init(struct commits *commits, const struct tables *tables, struct store *store, uint64_t every,
                  uint64_t committed_step)
{
    memset(commits, 0, sizeof(*commits));
    commits->tables = tables;
    commits->store = store;
    commits->every = every;
    commits->committed_step = commits->newest_step = committed_step;
}

/* Frees all generations but the one that the writer has. */
static void queue_clear(struct commits *commits)
{
    uint32_t kept = commits_writing(commits) ? 1 : 0;

    for (uint32_t i = kept; i < commits->count; i++)
        generation_free(commits->queue[i]);
    commits->count = kept;
}

void commits_fini(struct commits *commits)
{
    BUG_IF(commits_writing(commits));
    queue_clear(commits);
}

static struct generation *queue_find(const struct commits *commits, uint64_t step)
{
    for (uint32_t i = 0; i < commits->count; i++) {
        if (commits->queue[i]->step == step)
            return commits->queue[i];
    }
    return NULL;
}

void commits_set_away(struct commits *commits, bool is_away)
{
    if (is_away && !commits->is_away)
        commits->dropped = 0;
    commits->is_away = is_away;
}

/* Whether a piece that reaches this version is captured. A generation that was dropped may be reached by some
 * pieces later than by others. */
static bool is_boundary(const struct commits *commits, uint64_t version)
{
    return !commits->abandoned && commits->every > 0 && version % commits->every == 0 &&
           (version > commits->dropped_step || queue_find(commits, version));
}

/* Whether there is room for the generation of a step that is not in the queue if the one that waits is
 * dropped. */
static bool may_drop(const struct commits *commits)
{
    return commits->is_away && commits->count == COMMITS_UNDER_WAY &&
           !commits->queue[COMMITS_UNDER_WAY - 1]->is_asked;
}

bool commits_allow(const struct commits *commits, uint64_t version)
{
    return !is_boundary(commits, version) || commits->count < COMMITS_UNDER_WAY ||
           queue_find(commits, version) || may_drop(commits);
}

bool commits_allow_sparse(const struct commits *commits, const struct sparse_table *sparse, uint64_t version)
{
    uint32_t kept = commits->count;

    if (!commits_allow(commits, version))
        return false;
    if (!queue_find(commits, version) && may_drop(commits))
        kept--; /* whose rows it lets go of */
    for (uint32_t i = 0; is_boundary(commits, version) && i < kept; i++) {
        if (generation_holds(commits->queue[i], sparse))
            return false;
    }
    return true;
}

enum status commits_work(struct commits *commits, bool *has_more, struct error *error)
{
    *has_more = false;
    for (uint32_t i = 0; i < commits->count && !*has_more; i++) {
        enum status status = generation_capture_more(commits->queue[i], has_more, error);

        if (status != CAIRN_OK)
            return status;
    }
    return CAIRN_OK;
}

/* Drops the generation that waits for its turn: the next one has all that is in it. */
static void queue_drop(struct commits *commits)
{
    struct generation *last = commits->queue[--commits->count];

    BUG_IF(last->state != GENERATION_COLLECTING);
    commits->dropped++;
    commits->dropped_step = last->step;
    commits->dropped_after = commits->queue[0]->step;
    generation_free(last);
}

/* The generation of a step, a new one at the end when there is none. */
static enum status queue_open(struct commits *commits, uint64_t step, struct generation **out,
                              struct error *error)
{
    *out = queue_find(commits, step);
    if (*out)
        return CAIRN_OK;
    if (may_drop(commits))
        queue_drop(commits);
    BUG_IF(commits->count == COMMITS_UNDER_WAY);
    *out = generation_new(commits->tables, step);
    if (!*out)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the generation of step %llu",
                         (unsigned long long)step);
    (*out)->store = commits->store;
    commits->queue[commits->count++] = *out;
    return CAIRN_OK;
}

enum status commits_reached_dense(struct commits *commits, uint32_t table, const struct dense_chunk *chunk,
                                  struct error *error)
{
    struct generation *generation;
    enum status status;

    if (!is_boundary(commits, chunk->version) || !generation_expects(chunk->version, chunk))
        return CAIRN_OK;
    status = queue_open(commits, chunk->version, &generation, error);
    return status == CAIRN_OK ? generation_capture_dense(generation, table, chunk, error) : status;
}

enum status commits_reached_sparse(struct commits *commits, uint32_t table, struct error *error)
{
    uint64_t version = commits->tables->items[table].sparse->version;
    struct generation *generation;
    enum status status;

    if (!is_boundary(commits, version) || !sparse_is_expected(commits->tables->items[table].sparse, version))
        return CAIRN_OK;
    status = queue_open(commits, version, &generation, error);
    return status == CAIRN_OK ? generation_capture_sparse(generation, commits->tables, table, error) : status;
}

void commits_arrived(struct commits *commits, struct dense_chunk *chunk)
{
    if (chunk->clocks)
        chunk->first_version = commits->newest_step;
    for (uint32_t i = 0; i < commits->count; i++) {
        if (commits->queue[i]->state != GENERATION_COLLECTING &&
            commits->queue[i]->step > chunk->first_version)
            chunk->first_version = commits->queue[i]->step;
    }
    for (uint32_t i = 0; i < commits->count; i++) {
        if (commits->queue[i]->state == GENERATION_COLLECTING)
            generation_arrived(commits->queue[i], chunk);
    }
}

void commits_rows_arrived(struct commits *commits, struct sparse_table *sparse)
{
    for (uint32_t i = 0; i < commits->count; i++) {
        const struct generation *generation = commits->queue[i];

        if ((generation->state != GENERATION_COLLECTING || generation_holds(generation, sparse)) &&
            generation->step > sparse->first_version)
            sparse->first_version = generation->step;
    }
    for (uint32_t i = 0; i < commits->count; i++)
        commits->queue[i]->piece_count += commits->queue[i]->state == GENERATION_COLLECTING &&
                                          sparse_is_expected(sparse, commits->queue[i]->step);
}

void commits_rows_left(struct commits *commits, uint64_t first_version, uint64_t version)
{
    for (uint32_t i = 0; i < commits->count; i++) {
        struct generation *generation = commits->queue[i];

        generation->piece_count -= generation->state == GENERATION_COLLECTING &&
                                   first_version < generation->step && version < generation->step;
    }
}

void commits_left(struct commits *commits, const struct dense_chunk *chunk)
{
    if (chunk->clocks) /* it was captured when a generation was asked for, or is in none */
        return;
    for (uint32_t i = 0; i < commits->count; i++) {
        if (commits->queue[i]->state == GENERATION_COLLECTING)
            generation_left(commits->queue[i], chunk);
    }
}

/* Captures all pieces of a table. */
static enum status table_capture(struct generation *generation, const struct tables *tables, uint32_t number,
                                 struct error *error)
{
    const struct table *table = &tables->items[number];
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; table->dense && i < table->dense->chunk_count && status == CAIRN_OK; i++) {
        if (!table->dense->chunks[i]->link.awaits)
            status = generation_capture_dense(generation, number, table->dense->chunks[i], error);
    }
    return table->sparse && !sparse_is_blank(table->sparse) && status == CAIRN_OK
               ? generation_capture_sparse(generation, tables, number, error)
               : status;
}

/* Whether some sparse table's rows are still in a generation, so that they can be captured by no other. */
static bool rows_are_held(const struct commits *commits)
{
    for (uint32_t number = 0; number < commits->tables->count; number++) {
        const struct sparse_table *sparse = commits->tables->items[number].sparse;

        for (uint32_t i = 0; sparse && i < commits->count; i++) {
            if (generation_holds(commits->queue[i], sparse))
                return true;
        }
    }
    return false;
}

/* Whether a generation of this step may be captured from what the pieces have now. */
static bool is_at(const struct commits *commits, uint64_t step)
{
    return commits->every == 0 || tables_all_at(commits->tables, step);
}

/* Whether pieces are on their way to a step: those of whom all sums are here, while the others stand at it.
 */
static bool comes_to(const struct commits *commits, uint64_t step)
{
    return !is_at(commits, step) && tables_come_to(commits->tables, step);
}

/* Captures all pieces at once, when there is room for the asked generation. */
static enum status asked_capture(struct commits *commits, struct error *error)
{
    struct generation *generation = commits->asked ? queue_find(commits, commits->asked_step) : NULL;
    enum status status;

    if (generation) { /* due by itself, when the last pieces had come to it */
        generation->is_asked = true;
        commits->asked = false;
    }
    if (!commits->asked || commits->count == COMMITS_UNDER_WAY || rows_are_held(commits) ||
        comes_to(commits, commits->asked_step) || tables_await_pieces(commits->tables))
        return CAIRN_OK;
    commits->asked = false;
    commits->missed = !is_at(commits, commits->asked_step);
    if (commits->missed)
        return CAIRN_OK;
    status = queue_open(commits, commits->asked_step, &generation, error);
    if (status == CAIRN_OK)
        generation->is_asked = true;
    for (uint32_t number = 0; status == CAIRN_OK && number < commits->tables->count; number++) {
        if (tables_has_pieces_at(commits->tables, number, commits->asked_step))
            status = table_capture(generation, commits->tables, number, error);
    }
    return status;
}

enum status commits_go_on(struct commits *commits, struct error *error)
{
    return asked_capture(commits, error);
}

static void note_step(struct commits *commits, uint64_t step)
{
    if (step > commits->newest_step)
        commits->newest_step = step;
}

enum status commits_ask(struct commits *commits, uint64_t step, enum commits_answer *answer,
                        struct error *error)
{
    struct generation *generation = queue_find(commits, step);

    *answer = COMMITS_WRONG;
    if (!tables_can_end_at(commits->tables, step))
        return CAIRN_OK;
    *answer = COMMITS_COMING;
    note_step(commits, step);
    if ((tables_pieces_at(commits->tables, step) == 0 && !tables_await_pieces(commits->tables)) ||
        step == commits->committed_step || (generation && generation->state == GENERATION_WRITTEN)) {
        *answer = COMMITS_DURABLE;
        return CAIRN_OK;
    }
    if (generation) {
        generation->is_asked = true;
        return CAIRN_OK;
    }
    if (commits->abandoned || !(is_at(commits, step) || comes_to(commits, step))) {
        *answer = COMMITS_WRONG;
        return CAIRN_OK;
    }
    commits->asked = true;
    commits->asked_step = step;
    return asked_capture(commits, error);
}

bool commits_missed(struct commits *commits, uint64_t *step)
{
    bool missed = commits->missed;

    commits->missed = false;
    *step = commits->asked_step;
    return missed;
}

struct generation *commits_next(struct commits *commits)
{
    struct generation *first = commits->count > 0 ? commits->queue[0] : NULL;

    if (!first || first->state != GENERATION_COLLECTING || !generation_is_complete(first))
        return NULL;
    first->state = GENERATION_WRITING;
    first->keep_step = commits->committed_step;
    return first;
}

bool commits_writing(const struct commits *commits)
{
    return commits->count > 0 && commits->queue[0]->state == GENERATION_WRITING;
}

/* Drops the oldest generation. */
static void queue_pop(struct commits *commits)
{
    generation_free(commits->queue[0]);
    commits->count--;
    commits->queue[0] = commits->queue[1];
}

void commits_written(struct commits *commits, bool is_durable)
{
    BUG_IF(!commits_writing(commits));
    commits->queue[0]->state = GENERATION_WRITTEN;
    generation_drop(commits->queue[0], is_durable);
    if (commits->queue[0]->step <= commits->committed_step)
        queue_pop(commits);
}

void commits_abandon(struct commits *commits)
{
    queue_clear(commits);
    commits->abandoned = true;
    commits->asked = false;
}

/* Takes the generation of a step out of the queue if it waits to be the job's; false: it does not. */
static bool written_take(struct commits *commits, uint64_t step)
{
    if (commits->count == 0 || commits->queue[0]->state != GENERATION_WRITTEN ||
        commits->queue[0]->step != step)
        return false;
    queue_pop(commits);
    return true;
}

enum status commits_confirm(struct commits *commits, uint64_t step, bool *confirmed, struct error *error)
{
    *confirmed = step > commits->committed_step;
    if (!*confirmed)
        return CAIRN_OK;
    commits->committed_step = step;
    note_step(commits, step);
    while (commits->count > 0 && commits->queue[0]->step <= step && !commits_writing(commits))
        queue_pop(commits);
    return asked_capture(commits, error);
}

enum status commits_forgo(struct commits *commits, uint64_t step, bool *forgone, struct error *error)
{
    *forgone = written_take(commits, step);
    return *forgone ? asked_capture(commits, error) : CAIRN_OK;
}
