/* Arrays in order of worker: a number that is new is greater than all that were before it, but for epochs
 * that name several. */
#include "clocks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void clocks_fini(struct clocks *clocks)
{
    free(clocks->items);
    free(clocks->given);
    free(clocks->live);
    memset(clocks, 0, sizeof(*clocks));
}

/* Where a worker is, or would be. */
static uint32_t place_of(const struct clocks *clocks, uint64_t worker)
{
    uint32_t begin = 0, end = clocks->count;

    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;

        if (clocks->items[middle].worker < worker)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* A worker's place; false: it is not known. */
static bool find(const struct clocks *clocks, uint64_t worker, uint32_t *place)
{
    *place = place_of(clocks, worker);
    return *place < clocks->count && clocks->items[*place].worker == worker;
}

static bool find_live(const struct clocks *clocks, uint64_t worker, uint32_t *place)
{
    return find(clocks, worker, place) && clocks->live[*place];
}

/* Makes room for so many in all. */
static enum status reserve(struct clocks *clocks, uint32_t capacity, struct error *error)
{
    struct clock *items;
    uint64_t *given;
    bool *live;

    if (capacity <= clocks->capacity)
        return CAIRN_OK;
    items = realloc(clocks->items, capacity * sizeof(*items));
    clocks->items = items ? items : clocks->items;
    given = realloc(clocks->given, capacity * sizeof(*given));
    clocks->given = given ? given : clocks->given;
    live = realloc(clocks->live, capacity * sizeof(*live));
    clocks->live = live ? live : clocks->live;
    if (!items || !given || !live)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the clocks of workers");
    clocks->capacity = capacity;
    return CAIRN_OK;
}

/* There is room. */
static void insert(struct clocks *clocks, uint32_t place, const struct clock_start *start)
{
    size_t behind = clocks->count - place;

    memmove(&clocks->items[place + 1], &clocks->items[place], behind * sizeof(clocks->items[0]));
    memmove(&clocks->given[place + 1], &clocks->given[place], behind * sizeof(clocks->given[0]));
    memmove(&clocks->live[place + 1], &clocks->live[place], behind * sizeof(clocks->live[0]));
    clocks->items[place] = (struct clock){start->worker, start->step, start->step};
    clocks->given[place] = 0;
    clocks->count++;
}

enum status clocks_begin_epoch(struct clocks *clocks, const struct clock_start *workers, uint32_t count,
                               struct error *error)
{
    enum status status = reserve(clocks, clocks->count + count, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < clocks->count; i++)
        clocks->live[i] = false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place;

        if (!find(clocks, workers[i].worker, &place))
            insert(clocks, place, &workers[i]);
        clocks->live[place] = true;
    }
    return CAIRN_OK;
}

enum clocks_verdict clocks_judge(const struct clocks *clocks, uint64_t worker, uint64_t step)
{
    uint32_t place;

    if (!find_live(clocks, worker, &place))
        return CLOCKS_FENCED;
    if (step == clocks->items[place].next)
        return CLOCKS_DUE;
    return step < clocks->items[place].next ? CLOCKS_HAD : CLOCKS_GAP;
}

void clocks_apply(struct clocks *clocks, uint64_t worker)
{
    uint32_t place;

    BUG_IF(!find(clocks, worker, &place));
    clocks->items[place].next++;
}

enum status clocks_follow(struct clocks *clocks, uint64_t worker, uint64_t step, struct error *error)
{
    const struct clock_start start = {worker, step};
    uint32_t place;
    enum status status;

    if (find(clocks, worker, &place))
        return clocks->items[place].next == step
                   ? CAIRN_OK
                   : error_set(error, CAIRN_INVALID,
                               "step %" PRIu64 " of worker %" PRIu64 ", the next is %" PRIu64, step, worker,
                               clocks->items[place].next);
    status = reserve(clocks, clocks->count + 1, error);
    if (status != CAIRN_OK)
        return status;
    insert(clocks, place, &start);
    clocks->live[place] = false;
    return CAIRN_OK;
}

bool clocks_next(const struct clocks *clocks, uint64_t worker, uint64_t *step)
{
    uint32_t place;
    bool found = find_live(clocks, worker, &place);

    if (found)
        *step = clocks->items[place].next;
    return found;
}

uint64_t clocks_least(const struct clocks *clocks)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t i = 0; i < clocks->count; i++) {
        if (clocks->live[i] && clocks->items[i].next < least)
            least = clocks->items[i].next;
    }
    return least;
}

uint64_t clocks_total(const struct clocks *clocks)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < clocks->count; i++)
        total += clocks->items[i].next - clocks->items[i].first;
    return total;
}

void clocks_give(struct clocks *clocks, uint64_t worker, uint64_t version)
{
    uint32_t place;

    if (find(clocks, worker, &place))
        clocks->given[place] = version + 1;
}

uint64_t clocks_staleness(const struct clocks *clocks, uint64_t worker, uint64_t version)
{
    uint32_t place;

    if (!find(clocks, worker, &place) || clocks->given[place] == 0)
        return 0;
    return version + 1 - clocks->given[place];
}

enum status clocks_load(struct clocks *clocks, const struct clock *items, uint32_t count, struct error *error)
{
    enum status status;

    for (uint32_t i = 0; i < count; i++) {
        if (items[i].next < items[i].first || (i > 0 && items[i].worker <= items[i - 1].worker))
            return error_set(error, CAIRN_CORRUPT, "the clock of worker %" PRIu64 " makes no sense",
                             items[i].worker);
    }
    status = reserve(clocks, count, error);
    if (status != CAIRN_OK)
        return status;
    clocks->count = count;
    for (uint32_t i = 0; i < count; i++) {
        clocks->items[i] = items[i];
        clocks->given[i] = 0;
        clocks->live[i] = false;
    }
    return CAIRN_OK;
}
